#include "mezzo/models/repository_catalog.h"

#include <utility>

#include "mezzo/models/internal/catalog_core.h"

namespace mezzo::models {

RepositoryCatalog::RepositoryCatalog(Options options, Parts parts)
    : core_(std::make_unique<Core>(std::move(options), parts)) {}
RepositoryCatalog::~RepositoryCatalog() = default;

Result<void> RepositoryCatalog::Start(VersionBinder* binder) { return core_->Start(binder); }
void RepositoryCatalog::PollNow() { core_->PollNow(); }
Result<bool> RepositoryCatalog::LookNow(std::string_view model) { return core_->LookNow(model); }
void RepositoryCatalog::Stop() { core_->Stop(); }
ByteCount RepositoryCatalog::bytes_used() const { return core_->bytes_used(); }

Result<VersionRef> RepositoryCatalog::Acquire(std::string_view model, std::string_view version) {
  return core_->Acquire(model, version);
}
runtime::Task<Result<VersionRef>> RepositoryCatalog::AcquireLoaded(runtime::Context ctx, ModelName model,
                                                                   std::string version) {
  return core_->AcquireLoaded(std::move(ctx), std::move(model), std::move(version));
}
Result<std::shared_ptr<const ModelConfig>> RepositoryCatalog::ConfigOf(std::string_view model,
                                                                       std::string_view version) {
  return core_->ConfigOf(model, version);
}
Result<std::vector<std::int64_t>> RepositoryCatalog::VersionsOf(std::string_view model) {
  return core_->VersionsOf(model);
}
bool RepositoryCatalog::IsReady(std::string_view model, std::string_view version) {
  return core_->IsReady(model, version);
}
bool RepositoryCatalog::StartupDone() { return core_->StartupDone(); }
std::vector<IndexEntry> RepositoryCatalog::Index(bool ready_only) { return core_->Index(ready_only); }
runtime::Task<Result<void>> RepositoryCatalog::Load(runtime::Context ctx, ModelName model,
                                                    LoadOverrides overrides) {
  return core_->Load(std::move(ctx), std::move(model), std::move(overrides));
}
runtime::Task<Result<void>> RepositoryCatalog::Unload(runtime::Context ctx, ModelName model) {
  return core_->Unload(std::move(ctx), std::move(model));
}

}  // namespace mezzo::models
