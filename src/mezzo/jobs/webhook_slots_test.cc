#include "mezzo/jobs/webhook_slots.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::jobs {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const TenantId kAnn("ann");
const TenantId kBob("bob");

WebhookSlots Slots() { return WebhookSlots({.total = 5, .per_endpoint = 2, .per_tenant = 3}); }

TEST(EndpointOf, IsSchemeHostAndPort) {
  EXPECT_EQ(EndpointOf("https://a.example:8443/hook?x=1"), "https://a.example:8443");
  EXPECT_EQ(EndpointOf("https://a.example?x=/"), "https://a.example");
  EXPECT_EQ(EndpointOf("https://a.example"), "https://a.example");
  EXPECT_EQ(EndpointOf("nonsense/x"), "nonsense");
}

TEST(EndpointKey, IsShortWhateverTheUrl) {
  EXPECT_EQ(EndpointKey(kAnn, "https://a/hook"), "ann https://a");
  EXPECT_EQ(EndpointKey(kAnn, "https://" + std::string(5000, 'a')), "ann overlong");
}

TEST(WebhookSlots, AnEndpointGetsItsShareWhateverThePath) {
  WebhookSlots slots = Slots();
  EXPECT_TRUE(slots.TryTake(kAnn, "https://a/1"));
  EXPECT_TRUE(slots.TryTake(kAnn, "https://a/2"));
  EXPECT_FALSE(slots.TryTake(kAnn, "https://a/3"));
  EXPECT_THAT(slots.Closed(), ElementsAre("ann https://a"));
  EXPECT_TRUE(slots.TryTake(kBob, "https://a/1")) << "a tenant can't close another's endpoint";

  slots.GiveBack(kAnn, "https://a/1");
  EXPECT_THAT(slots.Closed(), IsEmpty());
  EXPECT_TRUE(slots.TryTake(kAnn, "https://a/3"));
}

TEST(WebhookSlots, ATenantWithManyEndpointsLeavesSlotsToOthers) {
  WebhookSlots slots = Slots();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(slots.TryTake(kAnn, "https://a" + std::to_string(i)));
  EXPECT_FALSE(slots.TryTake(kAnn, "https://a3"));
  EXPECT_THAT(slots.Closed(), ElementsAre("ann "));
  EXPECT_TRUE(slots.TryTake(kBob, "https://b"));
}

TEST(WebhookSlots, NoMoreThanTheTotalAreTaken) {
  WebhookSlots slots = Slots();
  int taken = 0;
  for (int i = 0; i < 9; ++i) taken += slots.TryTake(TenantId("t" + std::to_string(i)), "https://a") ? 1 : 0;
  EXPECT_EQ(taken, 5);
  EXPECT_EQ(slots.free(), 0U);
}

TEST(WebhookSlots, APauseClosesAnEndpointUntilItEnds) {
  WebhookSlots slots = Slots();
  const TimePoint start{};
  slots.Pause(kAnn, "https://a/1", start + seconds(10));
  slots.Pause(kAnn, "https://a/2", start + seconds(5));
  slots.EndPauses(start + seconds(9));
  EXPECT_THAT(slots.Closed(), ElementsAre("ann https://a"));
  slots.EndPauses(start + seconds(10));
  EXPECT_THAT(slots.Closed(), IsEmpty());
}

TEST(WebhookSlots, PausesAreBoundedAndTheSoonestToEndIsForgotten) {
  WebhookSlots slots = Slots();
  const TimePoint start{};
  for (std::size_t i = 0; i < WebhookSlots::kMaxPaused + 1; ++i)
    slots.Pause(kAnn, "https://a" + std::to_string(i), start + seconds(i + 1));
  EXPECT_THAT(slots.Closed(), SizeIs(WebhookSlots::kMaxPaused));
  EXPECT_THAT(slots.Closed(), ::testing::Not(::testing::Contains("ann https://a0")));
}

TEST(WebhookSlots, APlanOnACopyTakesNothing) {
  const WebhookSlots slots = Slots();
  WebhookSlots plan = slots;
  EXPECT_TRUE(plan.TryTake(kAnn, "https://a"));
  EXPECT_EQ(slots.taken(), 0U);
}

}  // namespace
}  // namespace mezzo::jobs
