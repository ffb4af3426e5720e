#include "mezzo/storage/metered_blob_store.h"

#include <utility>

namespace mezzo::storage {

class MeteredBlobStore::Meters {
 public:
  Meters(std::string_view name, observe::Registry& registry, const Clock& clock)
      : clock_(clock),
        name_(name),
        calls_(registry.NewCounterFamily("mezzo_storage_blob_calls_total", "Calls to object stores.",
                                         {"store", "operation", "outcome"})),
        seconds_(registry.NewHistogramFamily("mezzo_storage_blob_seconds",
                                             "Duration of calls to object stores.", {"store", "operation"})),
        running_(
            registry
                .NewGaugeFamily("mezzo_storage_blob_running", "Calls to object stores that run.", {"store"})
                .With({name})),
        read_(Bytes(registry, "read")),
        written_(Bytes(registry, "written")) {}

  [[nodiscard]] TimePoint Begin() {
    running_.Add(1);
    return clock_.Now();
  }
  template <typename T>
  void End(std::string_view operation, TimePoint begun, const Result<T>& result) {
    running_.Add(-1);
    seconds_.With({name_, operation}).Observe(clock_.Now() - begun);
    Count(operation, result.ok() ? std::string_view("ok") : std::string_view(result.error().reason()));
  }
  template <typename Call>
  auto Measure(std::string_view operation, Call call) {
    const TimePoint begun = Begin();
    auto result = call();
    End(operation, begun, result);
    return result;
  }
  void Count(std::string_view operation, std::string_view outcome) {
    calls_.With({name_, operation, outcome}).Add();
  }
  void AddRead(ByteCount bytes) { read_.Add(bytes); }
  void AddWritten(ByteCount bytes) { written_.Add(bytes); }

 private:
  [[nodiscard]] observe::Counter& Bytes(observe::Registry& registry, std::string_view direction) const {
    return registry
        .NewCounterFamily("mezzo_storage_blob_bytes_total", "Content read from and written to object stores.",
                          {"store", "direction"})
        .With({name_, direction});
  }

  const Clock& clock_;
  const std::string name_;
  observe::Family<observe::Counter>& calls_;
  observe::Family<observe::Histogram>& seconds_;
  observe::Gauge& running_;
  observe::Counter& read_;
  observe::Counter& written_;
};

class MeteredBlobStore::Writer final : public BlobWriter {
 public:
  Writer(std::unique_ptr<BlobWriter> inner, Meters& meters) : inner_(std::move(inner)), meters_(meters) {}

  Result<void> Append(BytesView bytes, TimePoint deadline) override {
    auto appended = inner_->Append(bytes, deadline);
    if (!appended.ok()) meters_.Count("write", appended.error().reason());
    return appended;
  }
  Result<BlobFacts> Commit(TimePoint deadline) override {
    auto facts = meters_.Measure("write", [&] { return inner_->Commit(deadline); });
    if (facts.ok()) meters_.AddWritten(facts->size);
    return facts;
  }

 private:
  const std::unique_ptr<BlobWriter> inner_;
  Meters& meters_;
};

class MeteredBlobStore::Reader final : public BlobReader {
 public:
  Reader(std::unique_ptr<BlobReader> inner, Meters& meters) : inner_(std::move(inner)), meters_(meters) {}

  [[nodiscard]] const BlobFacts& facts() const override { return inner_->facts(); }
  Result<std::size_t> Read(std::span<std::byte> into, TimePoint deadline) override {
    auto got = inner_->Read(into, deadline);
    if (got.ok()) {
      meters_.AddRead(*got);
    } else {
      meters_.Count("read", got.error().reason());
    }
    return got;
  }

 private:
  const std::unique_ptr<BlobReader> inner_;
  Meters& meters_;
};

MeteredBlobStore::MeteredBlobStore(BlobStore& inner, std::string_view name, observe::Registry& registry,
                                   const Clock& clock)
    : inner_(inner), meters_(std::make_unique<Meters>(name, registry, clock)) {}
MeteredBlobStore::~MeteredBlobStore() = default;

Result<std::unique_ptr<BlobWriter>> MeteredBlobStore::Write(const BlobKey& key, BlobWriteOptions options,
                                                            TimePoint deadline) {
  auto writer = inner_.Write(key, std::move(options), deadline);
  if (!writer.ok()) {
    meters_->Count("write", writer.error().reason());
    return writer;
  }
  return std::unique_ptr<BlobWriter>(std::make_unique<Writer>(*std::move(writer), *meters_));
}

Result<std::unique_ptr<BlobReader>> MeteredBlobStore::Read(const BlobKey& key, ByteRange range,
                                                           TimePoint deadline) {
  MEZZO_TRY(auto reader, meters_->Measure("read", [&] { return inner_.Read(key, range, deadline); }));
  return std::unique_ptr<BlobReader>(std::make_unique<Reader>(std::move(reader), *meters_));
}

Result<BlobFacts> MeteredBlobStore::Stat(const BlobKey& key, TimePoint deadline) {
  return meters_->Measure("stat", [&] { return inner_.Stat(key, deadline); });
}

Result<void> MeteredBlobStore::Delete(const BlobKey& key, TimePoint deadline) {
  return meters_->Measure("delete", [&] { return inner_.Delete(key, deadline); });
}

Result<BlobPage> MeteredBlobStore::List(const BlobPrefix& prefix, const std::string& after, std::size_t limit,
                                        TimePoint deadline) {
  return meters_->Measure("list", [&] { return inner_.List(prefix, after, limit, deadline); });
}

Result<std::string> MeteredBlobStore::SignUrl(const BlobKey& key, const BlobUrlOptions& options) {
  return inner_.SignUrl(key, options);
}

Result<void> MeteredBlobStore::Archive(const BlobKey& key, TimePoint deadline) {
  return meters_->Measure("archive", [&] { return inner_.Archive(key, deadline); });
}

Result<BlobSweep> MeteredBlobStore::SweepExpired(WallTime now, std::size_t limit, TimePoint deadline) {
  return meters_->Measure("sweep", [&] { return inner_.SweepExpired(now, limit, deadline); });
}

}  // namespace mezzo::storage
