#include "mezzo/jobs/webhook_sender.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "webhook_fixture.h"
#include "webhook_receiver.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/jobs/webhook_signer.h"

namespace mezzo::jobs {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

const std::string kSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const std::string kOtherSecret = "whsec_ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7";

bool Within(Duration limit, const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return true;
}

/// A database that can be cut off from whoever writes.
class CutDb final : public storage::SqlDb {
 public:
  explicit CutDb(storage::SqlDb& db) : db_(db) {}
  [[nodiscard]] storage::SqlDialect dialect() const override { return db_.dialect(); }
  Result<void> Transact(const Work& work, TimePoint deadline) override {
    if (cut) return Unavailable("sql_unavailable", "cut off");
    return db_.Transact(work, deadline);
  }
  Result<void> Read(const Work& work, TimePoint deadline) override { return db_.Read(work, deadline); }
  std::shared_ptr<void> Listen(std::string channel, Listener listener) override {
    return db_.Listen(std::move(channel), std::move(listener));
  }
  std::atomic<bool> cut = false;  // Between a server's loop and a sender; no partner.

 private:
  storage::SqlDb& db_;
};

/// Senders on one database, and receivers on the loopback. Time that decides what is due is manual.
class WebhookSenderTest : public WebhookTest {
 protected:
  WebhookSenderTest() : WebhookTest(storage::SqlDialect::kSqlite) {
    options_.poll = milliseconds(5);
    options_.reach = net::AddressGuard::Reach::kPrivate;
    options_.allow_http = true;
  }

  std::unique_ptr<WebhookSender> Make(WebhookStore& store, const std::string& host = "h1") {
    return std::make_unique<WebhookSender>(options_, HostId(host),
                                           WebhookSender::Ports{.store = store,
                                                                .db = *db_,
                                                                .clock = real_,
                                                                .log = log_,
                                                                .metrics = metrics_,
                                                                .secrets_of = [this](const TenantId& tenant) {
                                                                  return secrets_.at(tenant.str());
                                                                }});
  }
  /// A sender that runs until the test ends.
  WebhookSender& Start() {
    senders_.push_back(Make(*store_));
    senders_.back()->Start();
    return *senders_.back();
  }
  bool Reaches(const WebhookId& id, WebhookState state) {
    return Within(seconds(10), [&] { return Get(id).state == state; });
  }
  /// Waits for the outcome of the first try.
  std::string AnswerTo(const WebhookId& id) {
    EXPECT_TRUE(Within(seconds(10), [&] { return !Get(id).last_answer.empty(); }));
    return Get(id).last_answer;
  }
  double Failures(const std::string& reason) {
    return static_cast<double>(registry_
                                   .NewCounterFamily("mezzo_jobs_webhook_failures_total",
                                                     "Tries without success, by what came instead.",
                                                     {"reason"})
                                   .With({reason})
                                   .value());
  }

  WebhookSender::Options options_;
  std::map<std::string, std::vector<std::string>> secrets_ = {
      {"ann", {kSecret}}, {"bob", {kSecret}}, {"twice", {kOtherSecret, kSecret}}, {"none", {}}};
  observe::Logger log_{{.level = observe::LogLevel::kOff}, real_};
  observe::Registry registry_;
  WebhookMetrics metrics_{registry_};
  std::vector<std::unique_ptr<WebhookSender>> senders_;  // Last: they use everything above.
};

TEST_F(WebhookSenderTest, AnEventArrivesOnceAndSigned) {
  WebhookReceiver receiver;
  secrets_.clear();
  const WebhookId id = Add(receiver.Url("/hook"), "ann", kSecret);
  Start();

  ASSERT_TRUE(Reaches(id, WebhookState::kDelivered));

  const auto got = receiver.Got();
  ASSERT_THAT(got, SizeIs(1));
  EXPECT_EQ(got[0].path, "/hook");
  EXPECT_EQ(got[0].id, id.str());
  EXPECT_EQ(got[0].content_type, "application/json");
  EXPECT_THAT(got[0].body, StartsWith(R"({"type":"job.cancelled")"));
  const WallTime at = WallTime(seconds(std::stoll(got[0].timestamp)));
  EXPECT_LT(real_.WallNow() - at, seconds(30));
  const auto expected = WebhookSigner::Create(std::vector{kSecret})->Sign(id.str(), at, got[0].body);
  EXPECT_EQ(got[0].signature, expected[2].second);
  EXPECT_EQ(Get(id).last_answer, "HTTP 200");
  EXPECT_TRUE(Within(seconds(5), [&] { return metrics_.in_flight.value() == 0; }));
}

TEST_F(WebhookSenderTest, AllSecretsOfTheTenantSignWhenTheEventHasNone) {
  WebhookReceiver receiver;
  const WebhookId id = Add(receiver.Url("/hook"), "twice");
  Start();

  const auto got = receiver.Await(1);

  ASSERT_THAT(got, SizeIs(1));
  const WallTime at = WallTime(seconds(std::stoll(got[0].timestamp)));
  const auto expected = WebhookSigner::Create(secrets_["twice"])->Sign(id.str(), at, got[0].body);
  EXPECT_EQ(got[0].signature, expected[2].second);
  EXPECT_THAT(got[0].signature, HasSubstr(" v1,"));
}

TEST_F(WebhookSenderTest, NothingIsSentUnsigned) {
  WebhookReceiver receiver;
  const WebhookId without = Add(receiver.Url("/hook"), "none");
  const WebhookId wrong = Add(receiver.Url("/hook"), "none", "whsec_short");
  Start();

  EXPECT_TRUE(Within(seconds(10), [&] { return !Get(without, "none").last_answer.empty(); }));
  EXPECT_THAT(Get(without, "none").last_answer, StartsWith("webhook_secret_missing"));
  EXPECT_EQ(Get(without, "none").state, WebhookState::kPending) << "a tenant may add its secret yet";
  EXPECT_TRUE(Within(seconds(10), [&] { return Get(wrong, "none").state == WebhookState::kFailed; }));
  EXPECT_THAT(Get(wrong, "none").last_answer, StartsWith("webhook_secret_invalid"));
  EXPECT_THAT(receiver.Got(), IsEmpty());
}

TEST_F(WebhookSenderTest, AFailedTryIsRepeatedInTimeWithTheSameId) {
  std::atomic<int> calls = 0;
  WebhookReceiver receiver(
      [&calls](const Received&) { return WebhookReceiver::Status(calls++ == 0 ? 500 : 204); });
  const WebhookId id = Add(receiver.Url("/hook"));
  Start();
  EXPECT_EQ(AnswerTo(id), "HTTP 500");
  EXPECT_EQ(Get(id).state, WebhookState::kPending);
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_THAT(receiver.Got(), SizeIs(1)) << "not before its time";

  clock_.Advance(seconds(6));

  EXPECT_TRUE(Reaches(id, WebhookState::kDelivered));
  EXPECT_THAT(receiver.Got(), ElementsAre(Field(&Received::id, id.str()), Field(&Received::id, id.str())));
  EXPECT_EQ(Get(id).tries, 2);
}

TEST_F(WebhookSenderTest, TenFailuresAreTheEnd) {
  WebhookReceiver receiver([](const Received&) { return WebhookReceiver::Status(404); });
  const WebhookId id = Add(receiver.Url("/hook"));
  Start();
  for (std::size_t tries = 1; tries < 10; ++tries) {
    ASSERT_TRUE(Within(seconds(10),
                       [&] { return Get(id).last_answer == "HTTP 404" && metrics_.in_flight.value() == 0; }));
    ASSERT_THAT(receiver.Await(tries), SizeIs(tries));
    clock_.Advance(hours(27));
    receiver.Await(tries + 1);
  }
  EXPECT_TRUE(Reaches(id, WebhookState::kFailed));
  EXPECT_THAT(receiver.Got(), SizeIs(10));
  EXPECT_EQ(Failures("http_4xx"), 10);
}

TEST_F(WebhookSenderTest, AnEventThatEverySenderWasLostWithIsNotSentForEver) {
  WebhookReceiver receiver;
  const WebhookId id = Add(receiver.Url("/hook"));
  for (int tries = 0; tries < 10; ++tries) {
    ASSERT_THAT(store_->Claim(HostId("lost"), WebhookSlots({}), Soon())->due, SizeIs(1));
    clock_.Advance(seconds(61));
  }
  Start();
  EXPECT_TRUE(Reaches(id, WebhookState::kFailed));
  EXPECT_THAT(Get(id).last_answer, StartsWith("webhook_tries_used"));
  EXPECT_THAT(receiver.Got(), IsEmpty());
}

TEST_F(WebhookSenderTest, ASlowReceiverTimesOutAndHoldsUpNobodyElse) {
  WebhookReceiver slow;
  WebhookReceiver quick;
  options_.timeout = seconds(5);
  options_.slots = {.total = 4, .per_endpoint = 2, .per_tenant = 3};
  std::vector<WebhookId> hanging;
  for (int i = 0; i < 30; ++i) hanging.push_back(Add(slow.Url("/hang/" + std::to_string(i))));
  const WebhookId same_tenant = Add(quick.Url("/hook"));
  const WebhookId other_tenant = Add(quick.Url("/hook"), "bob");
  const auto begin = std::chrono::steady_clock::now();
  Start();

  EXPECT_THAT(quick.Await(2), SizeIs(2));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, options_.timeout) << "sent while the others hang";
  EXPECT_THAT(slow.Await(2), SizeIs(2)) << "as many at once as an endpoint gets";

  EXPECT_TRUE(Within(seconds(20), [&] { return Failures("http_timeout") >= 2; }));
  EXPECT_THAT(AnswerTo(hanging[0]), StartsWith("http_timeout"));
  EXPECT_TRUE(Reaches(same_tenant, WebhookState::kDelivered));
  EXPECT_TRUE(Within(seconds(5), [&] { return Get(other_tenant, "bob").state == WebhookState::kDelivered; }));
}

TEST_F(WebhookSenderTest, ADeadPortIsTriedAgain) {
  std::string url;
  {
    const WebhookReceiver receiver;
    url = receiver.Url("/hook");
  }
  const WebhookId id = Add(url);
  Start();
  EXPECT_THAT(AnswerTo(id), StartsWith("http_failed"));
  EXPECT_EQ(Get(id).state, WebhookState::kPending);
  EXPECT_EQ(Failures("http_failed"), 1);
}

TEST_F(WebhookSenderTest, ARedirectIsAFailureAndNotFollowed) {
  WebhookReceiver target;
  WebhookReceiver receiver([&target](const Received&) {
    return WebhookReceiver::Status(302, {{"Location", target.Url("/moved")}});
  });
  const WebhookId id = Add(receiver.Url("/hook"));
  Start();
  EXPECT_EQ(AnswerTo(id), "HTTP 302");
  EXPECT_EQ(Get(id).state, WebhookState::kPending);
  EXPECT_THAT(target.Got(), IsEmpty());
}

TEST_F(WebhookSenderTest, AGoneUrlGetsNoFurtherEvent) {
  WebhookReceiver receiver([](const Received&) { return WebhookReceiver::Status(410); });
  const WebhookId first = Add(receiver.Url("/hook"));
  Start();
  ASSERT_TRUE(Reaches(first, WebhookState::kGone));

  const WebhookId second = Add(receiver.Url("/hook"));

  EXPECT_TRUE(Reaches(second, WebhookState::kGone));
  EXPECT_THAT(receiver.Got(), SizeIs(1));
  EXPECT_TRUE(Within(seconds(5), [&] { return metrics_.closed_unsent.value() == 1; }));
}

TEST_F(WebhookSenderTest, AThrottlingEndpointIsLeftAloneAndItsRetryAfterKept) {
  WebhookReceiver receiver(
      [](const Received&) { return WebhookReceiver::Status(429, {{"Retry-After", "3600"}}); });
  const WebhookId first = Add(receiver.Url("/a"));
  Start();
  EXPECT_EQ(AnswerTo(first), "HTTP 429");
  EXPECT_GE(*Get(first).due, clock_.WallNow() + hours(1));
  EXPECT_LE(*Get(first).due, clock_.WallNow() + seconds(3960));

  ASSERT_TRUE(Within(seconds(5), [&] { return metrics_.in_flight.value() == 0; }));
  const WebhookId second = Add(receiver.Url("/b"));
  std::this_thread::sleep_for(milliseconds(100));

  EXPECT_THAT(receiver.Got(), SizeIs(1));
  EXPECT_EQ(Get(second).tries, 0) << "a pause uses up no try";
}

TEST_F(WebhookSenderTest, PrivateAddressesAreRefusedUnlessAllowed) {
  WebhookReceiver receiver;
  options_.reach = net::AddressGuard::Reach::kPublic;
  const WebhookId id = Add(receiver.Url("/hook"));
  Start();
  EXPECT_TRUE(Reaches(id, WebhookState::kFailed));
  EXPECT_THAT(Get(id).last_answer, StartsWith("address_not_allowed"));
  EXPECT_THAT(receiver.Got(), IsEmpty());
}

TEST_F(WebhookSenderTest, PlainHttpIsRefusedUnlessAllowed) {
  WebhookReceiver receiver;
  options_.allow_http = false;
  const WebhookId id = Add(receiver.Url("/hook"));
  Start();
  EXPECT_TRUE(Reaches(id, WebhookState::kFailed));
  EXPECT_THAT(Get(id).last_answer, StartsWith("bad_url"));
}

TEST_F(WebhookSenderTest, WhatIsTooLargeIsNotSent) {
  WebhookReceiver receiver;
  const WebhookId url = Add(receiver.Url("/" + std::string(2048, 'u')));
  const WebhookId body = Add(receiver.Url("/hook"));
  const auto grown = db_->Transact(
      [&body](storage::SqlSession& session) -> Result<void> {
        MEZZO_TRY_VOID(session.Run("UPDATE job_outbox SET body = $1 WHERE id = $2",
                                   {std::string(WebhookSender::kMaxBodyBytes + 1, 'b'), body.str()}));
        return {};
      },
      Soon());
  ASSERT_TRUE(grown.ok());
  Start();
  EXPECT_TRUE(Reaches(url, WebhookState::kFailed));
  EXPECT_THAT(Get(url).last_answer, StartsWith("webhook_url_too_long"));
  EXPECT_TRUE(Reaches(body, WebhookState::kFailed));
  EXPECT_EQ(Get(body).last_answer, "webhook_body_too_large: the body has 20001 bytes, allowed are 20000");
  EXPECT_THAT(receiver.Got(), IsEmpty());
}

TEST_F(WebhookSenderTest, TwoSendersDeliverEachEventOnce) {
  WebhookReceiver receiver;
  options_.slots = {.total = 8, .per_endpoint = 4, .per_tenant = 8};
  constexpr std::size_t kEvents = 100;
  for (std::size_t i = 0; i < kEvents; ++i) Add(receiver.Url("/hook"), i % 2 == 0 ? "ann" : "bob");
  const auto first = Make(*store_, "h1");
  const auto second = Make(*store_, "h2");
  first->Start();
  second->Start();

  receiver.Await(kEvents);
  ASSERT_TRUE(first->Stop(seconds(10)));
  ASSERT_TRUE(second->Stop(seconds(10)));

  std::map<std::string, int> times;
  for (const Received& received : receiver.Got()) ++times[received.id];
  EXPECT_THAT(times, SizeIs(kEvents));
  EXPECT_THAT(receiver.Got(), SizeIs(kEvents));
  const auto left = store_->List({.tenant = TenantId("ann"), .state = WebhookState::kPending}, Soon());
  EXPECT_THAT(left->events, IsEmpty());
}

TEST_F(WebhookSenderTest, ASenderLostBetweenSendingAndMarkingLeavesTheEventToBeSentAgainWithTheSameId) {
  CutDb cut(*db_);
  WebhookStore store_of_lost({}, cut, clock_);
  std::atomic<bool> killing = true;
  WebhookReceiver receiver([&](const Received&) {
    if (killing) cut.cut = true;
    return WebhookReceiver::Status(200);
  });
  const WebhookId id = Add(receiver.Url("/hook"));
  {
    const auto lost = Make(store_of_lost);
    lost->Start();
    ASSERT_THAT(receiver.Await(1), SizeIs(1));
  }
  killing = false;
  EXPECT_EQ(Get(id).state, WebhookState::kPending);
  EXPECT_GE(metrics_.store_failures.value(), 1U);
  Start();
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_THAT(receiver.Got(), SizeIs(1)) << "its lease still holds";

  clock_.Advance(seconds(61));

  EXPECT_TRUE(Reaches(id, WebhookState::kDelivered));
  EXPECT_THAT(receiver.Got(), SizeIs(2));
  EXPECT_THAT(receiver.Got(), Each(Field(&Received::id, id.str())));
}

TEST_F(WebhookSenderTest, AMarkOutlivesAShortLossOfTheDatabase) {
  CutDb cut(*db_);
  WebhookStore store({}, cut, clock_);
  WebhookReceiver receiver([&cut](const Received&) {
    cut.cut = true;
    return WebhookReceiver::Status(200);
  });
  const WebhookId id = Add(receiver.Url("/hook"));
  const auto sender = Make(store);
  sender->Start();
  ASSERT_TRUE(Within(seconds(10), [&] { return metrics_.store_failures.value() >= 1; }));
  EXPECT_EQ(Get(id).state, WebhookState::kPending);

  cut.cut = false;

  EXPECT_TRUE(Reaches(id, WebhookState::kDelivered));
  EXPECT_THAT(receiver.Got(), SizeIs(1));
}

TEST_F(WebhookSenderTest, StoppingWaitsForRunningTriesAsLongAsItIsTold) {
  WebhookReceiver receiver;
  options_.timeout = milliseconds(1500);
  const WebhookId id = Add(receiver.Url("/hang"));
  WebhookSender& sender = Start();
  ASSERT_THAT(receiver.Await(1), SizeIs(1));

  EXPECT_FALSE(sender.Stop(milliseconds(20)));
  EXPECT_EQ(Get(id).state, WebhookState::kPending);
}

TEST_F(WebhookSenderTest, StoppingMarksWhatEndsMeanwhileAndClaimsNoMore) {
  WebhookReceiver receiver;
  options_.timeout = milliseconds(500);
  const WebhookId running = Add(receiver.Url("/hang"));
  WebhookSender& sender = Start();
  ASSERT_THAT(receiver.Await(1), SizeIs(1));

  EXPECT_TRUE(sender.Stop(seconds(10)));

  EXPECT_THAT(Get(running).last_answer, StartsWith("http_timeout"));
  const WebhookId late = Add(receiver.Url("/hook"));
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(Get(late).tries, 0);
}

TEST_F(WebhookSenderTest, AnEndedJobWakesTheSenderBeforeItsPoll) {
  WebhookReceiver receiver;
  options_.poll = seconds(60);
  Start();
  std::this_thread::sleep_for(milliseconds(50));

  Add(receiver.Url("/hook"));

  EXPECT_THAT(receiver.Await(1), SizeIs(1));
}

TEST_F(WebhookSenderTest, TheLogTellsAnOutcomeOnceAndNotTheUrlsPath) {
  const std::string path = folder_.path() + "/log";
  const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  observe::Logger log({.fd = fd}, real_);
  WebhookReceiver receiver;
  const WebhookId good = Add(receiver.Url("/token-in-path"));
  const WebhookId bad = Add("ftp://a.example/token-in-path");
  {
    WebhookSender sender(options_, HostId("h1"),
                         {.store = *store_,
                          .db = *db_,
                          .clock = real_,
                          .log = log,
                          .metrics = metrics_,
                          .secrets_of = [](const TenantId&) { return std::vector{kSecret}; }});
    sender.Start();
    EXPECT_TRUE(Reaches(good, WebhookState::kDelivered));
    EXPECT_TRUE(Reaches(bad, WebhookState::kFailed));
  }
  ::close(fd);

  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  const std::string lines = text.str();
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 2);
  EXPECT_THAT(lines, HasSubstr(R"("outcome":"delivered","webhook":")" + good.str()));
  EXPECT_THAT(lines, HasSubstr(R"("outcome":"failed","webhook":")" + bad.str()));
  EXPECT_THAT(lines, HasSubstr(R"("endpoint":"ftp://a.example","try":1,"answer":"bad_url")"));
  EXPECT_THAT(lines, ::testing::Not(HasSubstr("token-in-path")));
}

TEST_F(WebhookSenderTest, OldEventsAreDeleted) {
  WebhookReceiver receiver;
  const WebhookId id = Add(receiver.Url("/hook"));
  Start();
  ASSERT_TRUE(Reaches(id, WebhookState::kDelivered));
  senders_.clear();

  clock_.Advance(hours(24 * 31));
  Start();

  EXPECT_TRUE(Within(seconds(10), [&] { return metrics_.pruned.value() == 1; }));
  EXPECT_THAT(store_->List({.tenant = TenantId("ann")}, Soon())->events, IsEmpty());
}

}  // namespace
}  // namespace mezzo::jobs
