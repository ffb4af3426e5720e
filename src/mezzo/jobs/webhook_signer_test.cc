#include "mezzo/jobs/webhook_signer.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/strings.h"

namespace mezzo::jobs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

// Made with Python: base64(hmac.new(key, b'<id>.<timestamp>.<body>', hashlib.sha256).digest()), the keys
// being the bytes 0 to 31 and 100 to 123.
const std::string kOld = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const std::string kNew = "whsec_ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7";
const std::string kOldSignature = "v1,0EOikQHVFZWqc+l5HY6yaSeA9yAR/xKuiJNmVUsyKpQ=";
const std::string kNewSignature = "v1,x3cis81PcWoWqEmN+oaG3GuyblTtFKu0EcX1EnEw5Us=";
constexpr std::string_view kBody = R"({"type":"job.succeeded","data":{"n":1}})";
const WallTime kAt = WallTime(std::chrono::milliseconds(1'700'000'000'999));

std::string SecretOf(std::size_t bytes) { return "whsec_" + Base64Encode(std::string(bytes, 'k')); }

Error Refusal(const std::vector<std::string>& secrets) {
  const auto signer = WebhookSigner::Create(secrets);
  EXPECT_FALSE(signer.ok());
  return signer.ok() ? Internal("test", "was accepted") : signer.error();
}

TEST(WebhookSigner, SignsAsTheGoldenVectorSays) {
  const auto signer = WebhookSigner::Create(std::vector{kOld});
  ASSERT_TRUE(signer.ok()) << signer.error().ToString();
  EXPECT_THAT(signer->Sign("evt_0190_succeeded", kAt, kBody),
              ElementsAre(Pair("webhook-id", "evt_0190_succeeded"), Pair("webhook-timestamp", "1700000000"),
                          Pair("webhook-signature", kOldSignature)));
}

TEST(WebhookSigner, GivesASignatureForEachSecretWhileTheyRotate) {
  const auto signer = WebhookSigner::Create(std::vector{kNew, kOld});
  ASSERT_TRUE(signer.ok()) << signer.error().ToString();
  EXPECT_EQ(signer->Sign("evt_0190_succeeded", kAt, kBody)[2].second, kNewSignature + " " + kOldSignature);
}

TEST(WebhookSigner, AnotherIdTimeOrBodyHasAnotherSignature) {
  const auto signer = WebhookSigner::Create(std::vector{kOld});
  ASSERT_TRUE(signer.ok());
  EXPECT_NE(signer->Sign("evt_0191_succeeded", kAt, kBody)[2].second, kOldSignature);
  EXPECT_NE(signer->Sign("evt_0190_succeeded", kAt + std::chrono::seconds(1), kBody)[2].second,
            kOldSignature);
  EXPECT_NE(signer->Sign("evt_0190_succeeded", kAt, "{}")[2].second, kOldSignature);
}

TEST(WebhookSigner, TakesKeysOf24To64Bytes) {
  EXPECT_TRUE(WebhookSigner::Create(std::vector{SecretOf(24)}).ok());
  EXPECT_TRUE(WebhookSigner::Create(std::vector{SecretOf(64)}).ok());
  EXPECT_EQ(Refusal({SecretOf(23)}).ToString(),
            "INVALID_ARGUMENT webhook_secret_invalid: the webhook secret has 23 bytes, allowed are 24 to 64");
  EXPECT_EQ(Refusal({SecretOf(65)}).ToString(),
            "INVALID_ARGUMENT webhook_secret_invalid: the webhook secret has 65 bytes, allowed are 24 to 64");
}

TEST(WebhookSigner, SaysWhichSecretIsWrongAndNeverShowsIt) {
  const Error prefix = Refusal({kNew, "whpk_abcdefgh"});
  EXPECT_EQ(prefix.message(), "webhook secret 2 does not begin with 'whsec_'");

  const Error coding = Refusal({"whsec_abcd*efgh"});
  EXPECT_EQ(coding.reason(), "webhook_secret_invalid");
  EXPECT_THAT(coding.message(), HasSubstr("the webhook secret is not base64 after 'whsec_'"));
  EXPECT_THAT(coding.message(), Not(HasSubstr("efgh")));
}

TEST(WebhookSigner, NeedsASecretAndTakesFew) {
  EXPECT_EQ(Refusal({}).ToString(), "FAILED_PRECONDITION webhook_secret_missing: there is no webhook secret");
  EXPECT_EQ(Refusal(std::vector<std::string>(5, kOld)).message(),
            "there are 5 webhook secrets, at most 4 can be used at once");
}

}  // namespace
}  // namespace mezzo::jobs
