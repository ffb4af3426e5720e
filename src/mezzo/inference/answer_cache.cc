#include "mezzo/inference/answer_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/inference/answer_codec.h"

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

std::vector<NamedTensor> CopyOf(const std::vector<NamedTensor>& outputs) {
  std::vector<NamedTensor> copies;
  copies.reserve(outputs.size());
  for (const NamedTensor& output : outputs) {
    copies.push_back({.name = output.name,
                      .tensor = {.dtype = output.tensor.dtype,
                                 .shape = output.tensor.shape,
                                 .data = CopyOf(output.tensor.data)}});
  }
  return copies;
}

}  // namespace

CachedAnswer::CachedAnswer(const InferenceAnswer& answer)
    : CachedAnswer(CopyOf(answer.outputs), answer.parameters, answer.device_share) {}

CachedAnswer::CachedAnswer(std::vector<NamedTensor> outputs, Parameters parameters, Duration cost)
    : outputs_(std::move(outputs)), parameters_(std::move(parameters)), cost_(cost) {
  constexpr ByteCount kBookkeeping = 256;
  bytes_ = kBookkeeping;
  for (const NamedTensor& output : outputs_) {
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
  cache::CachedRef answer = DecodeAnswer(text, Duration());
  if (answer == nullptr) return Internal("answer_text", "a stored answer can't be read");
  return answer;
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
  if (config.shared && hosts_ == nullptr) {
    place->rules.shared = false;
    if (ports_.log != nullptr) {
      ports_.log->Warn("cache.shared has no effect: hosts share results through `redis.url` and a database",
                       {{"model", name}});
    }
  }
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
  std::size_t expected = 256;  // Names, shapes and parameters: more only in rare calls.
  for (const tensor::Tensor* input : plan.inputs) expected += input != nullptr ? input->data.size() : 0;
  cache::KeyBuilder key("infer", expected);
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

void AnswerCache::Share(cache::SharedTier& hosts) {
  MEZZO_CHECK(ports_.epochs != nullptr);
  hosts_ = &hosts;
}

runtime::Task<Result<AnswerCache::FromHosts>> AnswerCache::AskHosts(runtime::Context ctx,
                                                                    const CachePlace* place,
                                                                    const ResultCache::Ticket* ticket,
                                                                    Duration predicted, bool refresh) {
  FromHosts said;
  if (hosts_ == nullptr || !place->rules.shared) co_return said;
  cache::SharedTier::Question question{
      .key = ticket->key(), .epoch = ticket->epoch(), .predicted = predicted};
  // What this host has was made when the others' was, and is about to end. Half a life is new.
  if (refresh) question.min_left = place->rules.ttl / 2;
  MEZZO_CO_TRY(cache::SharedTier::Outcome outcome, co_await hosts_->Begin(ctx, std::move(question)));
  said.waited = outcome.waited;
  said.lease = std::move(outcome.lease);
  if (outcome.kind != cache::SharedTier::Kind::kFound) co_return said;
  const TimePoint now = ports_.clock.Now();
  // The epoch may have risen, or be in doubt, since the caller began.
  if (ResultCache::EpochOf(place->model) != ticket->epoch() || !ports_.results.trusted() ||
      !Verified(*place, now)) {
    hosts_->CountOutdated();
    co_return said;
  }
  if (!outcome.error.has_value()) {
    said.answer = DecodeAnswer(outcome.payload, outcome.cost);
    if (said.answer == nullptr) {
      hosts_->CountCorrupt();
      co_return said;
    }
  }
  said.error = std::move(outcome.error);
  said.cost = outcome.cost;
  said.expires = AddSaturating(now, outcome.left);
  co_return said;
}

void AnswerCache::Share(std::optional<cache::SharedTier::Lease> lease, const CachePlace& place,
                        std::shared_ptr<const CachedAnswer> answer) {
  if (!lease.has_value()) return;
  if (answer->bytes() > place.rules.max_entry_bytes) {
    lease->Refuse(std::min<Duration>(place.rules.ttl, kLongestRefusal));
    return;
  }
  const ByteCount bytes = answer->bytes();
  const Duration cost = answer->cost();
  lease->Store([answer = std::move(answer)] { return EncodeAnswer(*answer); }, bytes, cost, place.rules.ttl);
}

void AnswerCache::Share(std::optional<cache::SharedTier::Lease> lease, const CachePlace& place,
                        const Error& error, Duration cost) {
  if (!lease.has_value() || !cache::WouldComeAgain(error.code())) return;
  lease->StoreError(error, cost, place.rules.negative_ttl);
}

}  // namespace mezzo::inference
