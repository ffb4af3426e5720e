#include "mezzo/inference/answer_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "mezzo/inference/answer_text.h"

namespace mezzo::inference {
namespace {

using cache::ResultCache;

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

Result<cache::CachedRef> CachedAnswer::Decode(std::string_view text) {
  InferenceAnswer answer;
  MEZZO_TRY(answer.outputs, DecodeOutputs(text));
  return cache::CachedRef(std::make_shared<const CachedAnswer>(answer));
}

AnswerCache::AnswerCache(Ports ports)
    : ports_(ports),
      metrics_(ports.registry, ports.tier),
      hit_age_(ports.registry.NewHistogramFamily(
          "mezzo_cache_hit_age_seconds", "Age of kept answers when they were served.", {"model"}, 4096)),
      corrected_count_(ports.registry.NewCallbackCounter(
          "mezzo_cache_corrected_total", "Calls that were answered with a correction.",
          [this] { return static_cast<double>(corrected_.load(std::memory_order_relaxed)); })),
      unverified_count_(ports.registry.NewCallbackCounter(
          "mezzo_cache_unverified_total", "Calls that bypassed the cache while its epochs could not be read.",
          [this] { return static_cast<double>(unverified_.load(std::memory_order_relaxed)); })) {}

Result<std::unique_ptr<const CachePlace>> AnswerCache::PlaceOf(const models::ModelVersion& version) {
  const models::CacheConfig& config = version.config->cache;
  if (config.mode == models::CacheMode::kOff) return std::unique_ptr<const CachePlace>();
  auto place = std::make_unique<CachePlace>();
  MEZZO_TRY(place->content, digests_.Of(version));
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
  place->hit_age = &hit_age_.With({name});
  if (ports_.publications != nullptr) {
    place->published = ports_.publications->Publish(name, version.version_text, place->content);
  }
  return std::unique_ptr<const CachePlace>(std::move(place));
}

cache::CacheKey AnswerCache::KeyOf(const CachePlace& place, const models::ModelVersion& version,
                                   const InferenceCall& call, const RequestPlan& plan,
                                   const tenancy::Tenant& tenant) const {
  std::uint64_t purged = 0;
  if (place.by_tenant && ports_.tenants != nullptr) {
    purged = ports_.tenants->Of(tenant.id.str(), version.name.str());
  }
  return QuestionOf(place, version, call, plan, tenant.id.str(), purged);
}

cache::CacheKey AnswerCache::QuestionOf(const CachePlace& place, const models::ModelVersion& version,
                                        const InferenceCall& call, const RequestPlan& plan,
                                        std::string_view tenant, std::uint64_t purged) {
  cache::KeyBuilder key("infer");
  key.Text(version.name.str()).Text(version.version_text).Text(AsText(place.content));
  key.Text(place.by_tenant ? tenant : std::string_view());
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
  if (purged > 0) key.Integer(static_cast<std::int64_t>(purged));
  return key.Finish();
}

void AnswerCache::Withdrawn(const std::string& model, std::int64_t version) {
  if (ports_.publications != nullptr) ports_.publications->Withdraw(model, std::to_string(version));
}

cache::CachedRef AnswerCache::CorrectionOf(const CachePlace& place, const models::ModelVersion& version,
                                           const InferenceCall& call, const RequestPlan& plan,
                                           const tenancy::Tenant& tenant, TimePoint now) {
  if (ports_.corrections == nullptr || ports_.corrections->empty() || call.no_store) return nullptr;
  if (ports_.epochs != nullptr && !ports_.epochs->IsFresh(now)) return nullptr;
  auto found = ports_.corrections->Find(QuestionOf(place, version, call, plan, tenant.id.str()));
  if (found != nullptr) corrected_.fetch_add(1, std::memory_order_relaxed);
  return found;
}

void AnswerCache::Refill(const CachePlace& place, const models::ModelVersion& version,
                         const InferenceCall& call, const RequestPlan& plan, const tenancy::Tenant& tenant,
                         const InferenceAnswer& answer, std::uint64_t epoch) {
  ports_.results.Replace(place.model, KeyOf(place, version, call, plan, tenant), place.rules,
                         std::make_shared<const CachedAnswer>(answer), answer.device_share, epoch);
}

bool AnswerCache::Verified(const CachePlace& place, TimePoint now) {
  const bool known = ports_.epochs == nullptr || ports_.epochs->IsFresh(now);
  if (known && (place.published == nullptr || place.published->recorded())) return true;
  unverified_.fetch_add(1, std::memory_order_relaxed);
  return false;
}

ResultCache::Outcome AnswerCache::Begin(const CachePlace& place, const models::ModelVersion& version,
                                        const InferenceCall& call, const RequestPlan& plan,
                                        const tenancy::Tenant& tenant, TimePoint now) {
  if (call.no_store) return {};
  if (!Verified(place, now)) return {};
  auto outcome =
      ports_.results.Begin(place.model, KeyOf(place, version, call, plan, tenant), place.rules, now);
  if (outcome.value != nullptr && place.hit_age != nullptr) place.hit_age->Observe(outcome.age);
  return outcome;
}

}  // namespace mezzo::inference
