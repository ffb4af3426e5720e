#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/clock.h"
#include "mezzo/base/strings.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::storage::testing {

/// What every BlobStore must do. A driver's test instantiates it with a harness:
///
///     struct MyHarness {
///       BlobStore& store();
///       std::string Fetch(const std::string& url);  // What a client gets for a signed URL; "" when refused.
///     };
///     INSTANTIATE_TYPED_TEST_SUITE_P(My, BlobStoreSuite, MyHarness);
///
/// Every test has a harness of its own, but the store behind it may be shared: keys use a tenant made for the
/// test.
template <typename Harness>
class BlobStoreFixture : public ::testing::Test {
 protected:
  BlobStore& store() { return harness_.store(); }
  Harness& harness() { return harness_; }
  [[nodiscard]] TimePoint Soon() const { return clock_.Now() + std::chrono::seconds(60); }
  [[nodiscard]] WallTime Now() const { return clock_.WallNow(); }

  [[nodiscard]] const TenantId& tenant() const { return tenant_; }
  /// Below this test's tenant.
  [[nodiscard]] BlobKey Key(const std::string& below) const {
    return *BlobKey::Parse(tenant_.str() + "/" + below);
  }

  BlobFacts Put(const BlobKey& key, std::string_view content, BlobWriteOptions options = {}) {
    auto facts = WriteBlob(store(), key, AsBytes(content), std::move(options), Soon());
    EXPECT_TRUE(facts.ok()) << facts.error().ToString();
    return *std::move(facts);
  }
  /// The content, or the error's reason in brackets.
  std::string Get(const BlobKey& key) {
    auto content = ReadBlob(store(), key, ByteCount{64} << 20, Soon());
    return content.ok() ? *std::move(content) : "[" + content.error().reason() + "]";
  }
  std::string GetRange(const BlobKey& key, ByteRange range) {
    auto reader = store().Read(key, range, Soon());
    if (!reader.ok()) return "[" + reader.error().reason() + "]";
    return Drain(**reader, 1000);
  }
  std::string Drain(BlobReader& reader, std::size_t step) {
    std::string content;
    std::vector<std::byte> buffer(step);
    while (true) {
      const auto got = reader.Read(buffer, Soon());
      if (!got.ok()) return "[" + got.error().reason() + "]";
      if (*got == 0) return content;
      content += AsText(std::span(buffer).first(*got));
    }
  }
  /// Names below the prefix, in pages of `limit`.
  std::vector<std::string> Names(const BlobPrefix& prefix, std::size_t limit = 1000) {
    std::vector<std::string> names;
    std::string after;
    while (true) {
      const auto page = store().List(prefix, after, limit, Soon());
      EXPECT_TRUE(page.ok()) << page.error().ToString();
      if (!page.ok()) return names;
      EXPECT_LE(page->entries.size(), limit);
      for (const BlobEntry& entry : page->entries)
        names.push_back(entry.key.text().substr(tenant_.str().size() + 1));
      if (!page->more) return names;
      if (page->entries.empty()) {
        ADD_FAILURE() << "a page without entries says that there are more";
        return names;
      }
      after = page->entries.back().key.text();
    }
  }
  /// Sweeps until nothing is left to do; how many went.
  std::size_t Sweep(WallTime now, std::size_t limit = 100) {
    std::size_t removed = 0;
    for (bool more = true; more;) {
      const auto sweep = store().SweepExpired(now, limit, Soon());
      EXPECT_TRUE(sweep.ok()) << sweep.error().ToString();
      if (!sweep.ok()) return removed;
      EXPECT_LE(sweep->removed, limit);
      removed += sweep->removed;
      more = sweep->more;
    }
    return removed;
  }
  /// Bytes that differ from place to place, so that a part in the wrong place shows.
  static std::string Pattern(std::size_t size, unsigned seed = 1) {
    std::string bytes(size, '\0');
    std::uint32_t state = seed;
    for (char& c : bytes) {
      state = state * 1664525 + 1013904223;
      c = static_cast<char>(state >> 24);
    }
    return bytes;
  }
  [[nodiscard]] BlobPrefix TenantPrefix() const { return *BlobPrefix::Of(tenant_); }

 private:
  static TenantId NewTenant() {
    static std::atomic<int> count{0};  // No partner: ids only.
    return TenantId("t" + std::to_string(RealClock().WallNow().time_since_epoch().count()) + "-" +
                    std::to_string(++count));
  }
  const RealClock clock_;
  const TenantId tenant_ = NewTenant();
  Harness harness_;
};

}  // namespace mezzo::storage::testing
