#include "mezzo/jobs/webhook_target.h"

#include <string>

#include <gtest/gtest.h>

namespace mezzo::jobs {
namespace {

constexpr const char* kSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

std::string WhyNot(const std::string& url, const std::string& secret) {
  const auto checked = CheckWebhookTarget({.url = url, .secret = secret});
  return checked.ok() ? "" : checked.error().reason();
}

TEST(CheckWebhookTarget, TakesWebAddressesWithASecret) {
  EXPECT_EQ(WhyNot("https://example.org/hook", kSecret), "");
  EXPECT_EQ(WhyNot("http://example.org", kSecret), "");
  EXPECT_EQ(WhyNot("http://example.org", ""), "") << "the tenant's";
}

TEST(CheckWebhookTarget, RefusesOtherAddressesAndBadSecrets) {
  EXPECT_EQ(WhyNot("ftp://example.org", kSecret), "job_request");
  EXPECT_EQ(WhyNot("", kSecret), "job_request");
  EXPECT_EQ(WhyNot("https://" + std::string(3000, 'a'), kSecret), "job_request");
  EXPECT_EQ(WhyNot("https://example.org", "whsec_AAEC"), "webhook_secret_invalid");
  EXPECT_EQ(WhyNot("https://example.org", std::string(300, 'a')), "job_request");
}

}  // namespace
}  // namespace mezzo::jobs
