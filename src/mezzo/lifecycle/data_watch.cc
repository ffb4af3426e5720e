#include "mezzo/lifecycle/data_watch.h"

#include <utility>

#include <nlohmann/json.hpp>

namespace mezzo::lifecycle {
namespace {

using Json = nlohmann::ordered_json;

std::int64_t MicrosOf(WallTime time) {
  return std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count();
}
WallTime TimeOf(std::int64_t micros) { return WallTime(std::chrono::microseconds(micros)); }

Json SightJson(const std::optional<DataSight>& sight) {
  if (!sight) return nullptr;
  return {{"digest", sight->digest},
          {"files", sight->files},
          {"bytes", sight->bytes},
          {"newest_us", MicrosOf(sight->newest)}};
}

std::optional<DataSight> SightOf(const Json& json) {
  if (json.is_null()) return std::nullopt;
  return DataSight{.digest = json.at("digest").get<std::string>(),
                   .files = json.at("files").get<std::uint64_t>(),
                   .bytes = json.at("bytes").get<std::uint64_t>(),
                   .newest = TimeOf(json.at("newest_us").get<std::int64_t>())};
}

/// Clocks of file systems tick slowly: a file that came within one tick shows by the number. Times are
/// compared as they are kept: what is finer is lost on the way through the database.
bool HasNews(const DataSight& before, const DataSight& now) {
  return MicrosOf(now.newest) > MicrosOf(before.newest) || now.files > before.files;
}

}  // namespace

std::string DataWatch::ToJson() const {
  return Json({{"taken", SightJson(taken)},
               {"pending", SightJson(pending)},
               {"since_us", MicrosOf(pending_since)},
               {"runs", runs}})
      .dump();
}

Result<DataWatch> DataWatch::FromJson(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    DataWatch watch;
    watch.taken = SightOf(json.at("taken"));
    watch.pending = SightOf(json.at("pending"));
    watch.pending_since = TimeOf(json.at("since_us").get<std::int64_t>());
    watch.runs = json.at("runs").get<std::int64_t>();
    return watch;
  } catch (const Json::exception& error) {
    return InvalidArgument("pipeline_run_invalid",
                           std::string("what was seen of a dataset can't be read: ") + error.what());
  }
}

DataStep Watch(const DataWatch& watch, const DataSight& sight, Duration settle, WallTime now) {
  DataStep step{.next = watch};
  DataWatch& next = step.next;
  if (!watch.taken) {
    next.taken = sight;
    return step;
  }
  if (sight.digest == watch.taken->digest) {
    next.pending.reset();
    next.pending_since = WallTime();
    return step;
  }
  if (!watch.pending || watch.pending->digest != sight.digest || watch.pending_since > now) {
    next.pending = sight;
    next.pending_since = now;
  }
  if (now - next.pending_since < settle) return step;
  step.fire = HasNews(*watch.taken, sight);
  if (step.fire) ++next.runs;
  next.taken = sight;
  next.pending.reset();
  next.pending_since = WallTime();
  return step;
}

}  // namespace mezzo::lifecycle
