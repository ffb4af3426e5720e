#include "mezzo/inference/answer_cache.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "mezzo/models/config_json.h"

namespace mezzo::inference {
namespace {

using cache::ResultCache;

Error Unreadable(const std::filesystem::path& file, const std::string& why) {
  return Unavailable("cache_digest", "the digest of '" + file.string() + "' can't be made: " + why);
}

Result<void> DigestFile(const std::filesystem::path& file, Sha256& digest) {
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  std::ifstream in(file, std::ios::binary);
  if (!in) return Unreadable(file, "it can't be opened");
  std::vector<char> piece(kPiece);
  while (in) {
    in.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    digest.Update(std::as_bytes(std::span(piece.data(), static_cast<std::size_t>(in.gcount()))));
  }
  if (!in.eof()) return Unreadable(file, "reading it failed");
  return {};
}

/// Of what decides the answers: the version's files in the order of their names, and the configuration.
Result<Sha256Digest> ContentOf(const models::ModelVersion& version) {
  namespace fs = std::filesystem;
  std::vector<fs::path> files;
  std::error_code failed;
  if (!version.folder.empty() && fs::is_directory(version.folder, failed)) {
    for (fs::recursive_directory_iterator at(version.folder, failed), end; !failed && at != end;
         at.increment(failed)) {
      if (at->is_regular_file(failed)) files.push_back(at->path());
    }
    if (failed) return Unreadable(version.folder, failed.message());
  }
  std::sort(files.begin(), files.end());
  Sha256 digest;
  const auto add = [&digest](std::string_view text) {
    const std::uint64_t size = text.size();
    digest.Update(std::as_bytes(std::span(&size, 1)));
    digest.Update(std::as_bytes(std::span(text.data(), text.size())));
  };
  for (const auto& file : files) {
    add(fs::relative(file, version.folder, failed).string());
    add(std::to_string(fs::file_size(file, failed)));
    MEZZO_TRY_VOID(DigestFile(file, digest));
  }
  add(models::ConfigToJson(*version.config));
  return digest.Finish();
}

std::string TextOf(const ParameterValue& value) {
  struct Visitor {
    std::string operator()(bool flag) const { return flag ? "b1" : "b0"; }
    std::string operator()(std::int64_t number) const { return "i" + std::to_string(number); }
    std::string operator()(double number) const {
      std::string text = "d" + std::string(sizeof(number), '\0');
      std::memcpy(text.data() + 1, &number, sizeof(number));
      return text;
    }
    std::string operator()(const std::string& text) const { return "s" + text; }
  };
  return std::visit(Visitor(), value);
}

/// How long a model's refusal of its input is kept: it would come again, but costs little.
constexpr Duration kLongestRefusal = std::chrono::seconds(10);

/// Keeps its own copy, so that it owns nothing but its bytes.
SharedBytes CopyOf(const SharedBytes& bytes) {
  const tensor::MutableBuffer buffer = tensor::AllocateBuffer(bytes.size());
  if (bytes.size() > 0) std::memcpy(buffer.data(), bytes.data(), bytes.size());
  return buffer.Share();
}

}  // namespace

CachedAnswer::CachedAnswer(const InferenceAnswer& answer)
    : parameters_(answer.parameters), cost_(answer.device_share) {
  constexpr ByteCount kBookkeeping = 256;
  bytes_ = kBookkeeping;
  outputs_.reserve(answer.outputs.size());
  for (const NamedTensor& output : answer.outputs) {
    outputs_.push_back({.name = output.name,
                        .tensor = {.dtype = output.tensor.dtype,
                                   .shape = output.tensor.shape,
                                   .data = CopyOf(output.tensor.data)}});
    bytes_ += kBookkeeping + static_cast<ByteCount>(output.name.size() + output.tensor.data.size());
  }
}

InferenceAnswer CachedAnswer::Answer() const {
  InferenceAnswer answer;
  answer.outputs = outputs_;
  answer.parameters = parameters_;
  return answer;
}

AnswerCache::AnswerCache(Ports ports)
    : ports_(ports),
      metrics_(ports.registry, ports.tier),
      unverified_count_(ports.registry.NewCallbackCounter(
          "mezzo_cache_unverified_total", "Calls that bypassed the cache while its epochs could not be read.",
          [this] { return static_cast<double>(unverified_.load(std::memory_order_relaxed)); })) {}

Result<std::unique_ptr<const CachePlace>> AnswerCache::PlaceOf(const models::ModelVersion& version) {
  const models::CacheConfig& config = version.config->cache;
  if (config.mode == models::CacheMode::kOff) return std::unique_ptr<const CachePlace>();
  auto place = std::make_unique<CachePlace>();
  MEZZO_TRY(place->content, ContentOf(version));
  const std::string& name = version.name.str();
  place->model = ports_.epochs != nullptr ? ports_.epochs->Model(name) : ports_.results.Model(name);
  if (place->model == nullptr) return std::unique_ptr<const CachePlace>();  // Beyond the cache's bound.
  place->by_tenant = config.scope == models::CacheScope::kTenant;
  place->rules = {.ttl = config.ttl,
                  .stale_for = config.stale_while_revalidate,
                  .negative_ttl = std::min<Duration>(config.ttl, kLongestRefusal),
                  .max_entry_bytes = config.max_entry,
                  .single_flight_only = config.mode == models::CacheMode::kSingleFlight,
                  .shared = config.shared};
  metrics_.Show(place->model);
  return std::unique_ptr<const CachePlace>(std::move(place));
}

cache::CacheKey AnswerCache::KeyOf(const CachePlace& place, const models::ModelVersion& version,
                                   const InferenceCall& call, const RequestPlan& plan,
                                   const tenancy::Tenant& tenant) {
  std::size_t expected = 256;  // Names, shapes and parameters: more only in rare calls.
  for (const tensor::Tensor* input : plan.inputs) expected += input != nullptr ? input->data.size() : 0;
  cache::KeyBuilder key("infer", expected);
  key.Text(version.name.str()).Text(version.version_text).Text(AsText(place.content));
  key.Text(place.by_tenant ? tenant.id.str() : std::string());
  for (const tensor::Tensor* input : plan.inputs) {
    key.Integer(input != nullptr ? 1 : 0);
    if (input == nullptr) continue;
    key.Integer(static_cast<std::int64_t>(input->dtype))
        .Integer(static_cast<std::int64_t>(input->shape.rank()));
    for (const std::int64_t dim : input->shape.dims()) key.Integer(dim);
    key.Bytes(input->data.view());
  }
  for (const std::size_t output : plan.wanted) key.Integer(static_cast<std::int64_t>(output));
  std::vector<std::pair<std::string, std::string>> parameters;
  parameters.reserve(call.parameters.size());
  for (const auto& [name, value] : call.parameters) parameters.emplace_back(name, TextOf(value));
  key.Members(std::move(parameters));
  return key.Finish();
}

ResultCache::Outcome AnswerCache::Begin(const CachePlace& place, const models::ModelVersion& version,
                                        const InferenceCall& call, const RequestPlan& plan,
                                        const tenancy::Tenant& tenant, TimePoint now) {
  if (call.no_store) return {};
  if (ports_.epochs != nullptr && !ports_.epochs->IsFresh(now)) {
    unverified_.fetch_add(1, std::memory_order_relaxed);
    return {};
  }
  return ports_.results.Begin(place.model, KeyOf(place, version, call, plan, tenant), place.rules, now);
}

}  // namespace mezzo::inference
