#include "mezzo/app/warm_models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/testing/manual_clock.h"

namespace mezzo::app {
namespace {

using ::testing::ElementsAre;

/// Answers Index() only.
class Shelf final : public models::Catalog {
 public:
  Result<models::VersionRef> Acquire(std::string_view, std::string_view) override { return No(); }
  runtime::Task<Result<models::VersionRef>> AcquireLoaded(runtime::Context, ModelName, std::string) override {
    co_return No();
  }
  Result<std::shared_ptr<const models::ModelConfig>> ConfigOf(std::string_view, std::string_view) override {
    return No();
  }
  Result<std::vector<std::int64_t>> VersionsOf(std::string_view) override { return No(); }
  bool IsReady(std::string_view, std::string_view) override { return false; }
  bool StartupDone() override { return true; }
  std::vector<models::IndexEntry> Index(bool ready_only) override {
    EXPECT_TRUE(ready_only);
    ++asked;
    return entries;
  }
  runtime::Task<Result<void>> Load(runtime::Context, ModelName, models::LoadOverrides) override {
    co_return No();
  }
  runtime::Task<Result<void>> Unload(runtime::Context, ModelName) override { co_return No(); }

  std::vector<models::IndexEntry> entries;
  int asked = 0;

 private:
  static Error No() { return Unimplemented("unimplemented", "not asked for here"); }
};

TEST(WarmModelsTest, APipelineIsWarmWhenItsNetworkIs) {
  mezzo::testing::ManualClock clock;
  Shelf shelf;
  shelf.entries = {{.name = "mlp", .version = "1", .reason = {}},
                   {.name = "sd/text_encoder", .version = "1", .reason = {}},
                   {.name = "sd/unet", .version = "1", .reason = {}}};
  WarmModels warm(shelf, clock);

  EXPECT_THAT(warm.Names(), ElementsAre("mlp", "sd/text_encoder", "sd"));
}

TEST(WarmModelsTest, IsLookedUpOnceASecond) {
  mezzo::testing::ManualClock clock;
  Shelf shelf;
  WarmModels warm(shelf, clock);
  EXPECT_THAT(warm.Names(), ElementsAre());
  shelf.entries = {{.name = "mlp", .version = "1", .reason = {}}};
  clock.Advance(std::chrono::milliseconds(999));
  EXPECT_THAT(warm.Names(), ElementsAre());
  EXPECT_EQ(shelf.asked, 1);

  clock.Advance(std::chrono::milliseconds(1));

  EXPECT_THAT(warm.Names(), ElementsAre("mlp"));
  EXPECT_EQ(shelf.asked, 2);
}

}  // namespace
}  // namespace mezzo::app
