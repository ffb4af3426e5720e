#include "mezzo/models/repository_catalog.h"

#include <fcntl.h>
#include <unistd.h>

#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/models/testing/fake_engine.h"
#include "mezzo/models/testing/temp_repository.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::models {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

/// Waits for what other threads do; true when it came to be.
template <typename Condition>
bool Eventually(Condition condition) {
  const auto until = std::chrono::steady_clock::now() + seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

/// Counts what it binds, and what is destroyed before its session.
class CountingBinder final : public VersionBinder {
 public:
  class Extension final : public VersionExtension {
   public:
    explicit Extension(CountingBinder& binder) : binder_(binder) {}
    ~Extension() override {
      binder_.orderly += binder_.engine->sessions() >= 1 ? 1 : 0;
      binder_.thread_of_end = std::this_thread::get_id();
      --binder_.alive;
    }

   private:
    CountingBinder& binder_;
  };
  explicit CountingBinder(testing::FakeEngine* e) : engine(e) {}
  Result<std::unique_ptr<VersionExtension>> Bind(const ModelVersion& version) override {
    if (version.name.str() == fail) return Internal("bind_failed", "no place in the scheduler");
    ++alive;
    return std::unique_ptr<VersionExtension>(std::make_unique<Extension>(*this));
  }
  testing::FakeEngine* engine;
  std::string fail;
  std::atomic<int> alive{0};
  std::atomic<int> orderly{0};
  std::thread::id thread_of_end;
};

class RepositoryCatalogTest : public ::testing::Test {
 protected:
  void SetUp() override { options_.roots = {files_.path()}; }
  void TearDown() override {
    catalog_.reset();
    EXPECT_TRUE(Eventually([this] { return engine_.sessions() == 0; }));
    ::close(null_);
  }

  void Open() {
    catalog_ = std::make_unique<RepositoryCatalog>(
        options_, RepositoryCatalog::Parts{
                      .engine = engine_, .clock = clock_, .pool = pool_, .registry = registry_, .log = log_});
  }
  void Start() {
    Open();
    const auto started = catalog_->Start(&binder_);
    ASSERT_TRUE(started.ok()) << started.error().ToString();
    ASSERT_TRUE(Eventually([this] { return catalog_->StartupDone(); }));
  }
  template <typename T>
  std::future<T> Spawn(runtime::Task<T> task) {
    auto promise = std::make_shared<std::promise<T>>();
    auto shared = std::make_shared<runtime::Task<T>>(std::move(task));
    threads_.loop(next_loop_++ % 2).Post([promise, shared] {
      runtime::Start(std::move(*shared), [promise](T value) { promise->set_value(std::move(value)); });
    });
    return promise->get_future();
  }
  std::future<Result<VersionRef>> Ask(const std::string& model, const std::string& version = "",
                                      const runtime::Context& ctx = runtime::Context()) {
    return Spawn(catalog_->AcquireLoaded(ctx, ModelName(model), version));
  }
  Result<VersionRef> Get(const std::string& model, const std::string& version = "") {
    return Ask(model, version).get();
  }
  Result<void> Load(const std::string& model, LoadOverrides overrides = {}) {
    return Spawn(catalog_->Load(runtime::Context(), ModelName(model), std::move(overrides))).get();
  }
  Result<void> Unload(const std::string& model) {
    return Spawn(catalog_->Unload(runtime::Context(), ModelName(model))).get();
  }
  /// "a/1 ready", with the reason if there is one.
  std::vector<std::string> Index() {
    static constexpr const char* kNames[] = {"unknown", "on disk",   "loading",
                                             "ready",   "unloading", "unavailable"};
    std::vector<std::string> lines;
    for (const IndexEntry& entry : catalog_->Index(false)) {
      lines.push_back(entry.name + "/" + entry.version + " " + kNames[static_cast<int>(entry.state)] +
                      (entry.reason.empty() ? "" : ": " + entry.reason));
    }
    return lines;
  }
  bool InMemory(const std::string& model) { return catalog_->Acquire(model, "").ok(); }
  /// A poll that sees a change, and one after it has settled.
  void PollTwice() {
    catalog_->PollNow();
    clock_.Advance(options_.settle_time);
    catalog_->PollNow();
  }

  testing::TempRepository files_;
  testing::FakeEngine engine_;
  mezzo::testing::ManualClock clock_;
  observe::Registry registry_;
  const int null_ = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  observe::Logger log_{{.fd = null_}, clock_};
  CountingBinder binder_{&engine_};
  RepositoryCatalog::Options options_;
  runtime::BlockingPool pool_{{.name = "loads", .threads = 3}};
  runtime::IoThreads threads_{2};
  std::atomic<std::size_t> next_loop_{0};
  std::unique_ptr<RepositoryCatalog> catalog_;  // Last: it uses everything above.
};

TEST_F(RepositoryCatalogTest, ServesABareFolderWithWhatTheModelDeclares) {
  files_.Write("m/3/model.onnx", "memory=100");
  Start();

  const auto version = catalog_->Acquire("m", "");

  ASSERT_TRUE(version.ok()) << version.error().ToString();
  EXPECT_EQ((*version)->version_text, "3");
  EXPECT_EQ((*version)->config->max_batch_size, 32);
  EXPECT_EQ((*version)->config->platform, "onnxruntime_onnx");
  EXPECT_EQ((*version)->config->inputs[0].name, "x");
  EXPECT_EQ((*version)->memory_bytes, 100U);
  EXPECT_EQ(binder_.alive, 1);
  EXPECT_THAT(engine_.rows(), ElementsAre(1, 1, 4, 4, 32))
      << "two runs of a size, the second timed, then a full one";
  EXPECT_TRUE((*version)->timing.has_value());
  EXPECT_TRUE((*version)->folder.ends_with("/m/3"));
  EXPECT_THAT(Index(), ElementsAre("m/3 ready"));
  EXPECT_TRUE(catalog_->IsReady("m", "3"));
}

TEST_F(RepositoryCatalogTest, ErrorsAreTritons) {
  files_.Write("m/3/model.onnx");
  files_.Write("broken/1/model.onnx", "fail=no_such_operator");
  Start();

  const auto unknown = catalog_->Acquire("x", "");
  EXPECT_EQ(unknown.error().message(), "Request for unknown model: 'x' is not found");
  EXPECT_EQ(unknown.error().code(), Code::kNotFound);
  EXPECT_EQ(catalog_->Acquire("m", "4").error().message(),
            "Request for unknown model: 'm' version 4 is not found");
  EXPECT_EQ(catalog_->Acquire("m", "03").error().reason(), "version_unknown");
  const auto broken = catalog_->Acquire("broken", "");
  EXPECT_EQ(broken.error().reason(), "model_not_ready");
  EXPECT_EQ(broken.error().message(),
            "Request for unknown model: 'broken' version 1 is not at ready state: no_such_operator");
  EXPECT_EQ(Load("m").error().message(), "explicit model load / unload is not allowed if polling is enabled");
  EXPECT_EQ(Unload("m").error().code(), Code::kUnavailable);
}

TEST_F(RepositoryCatalogTest, AFailedLoadKeepsItsReasonVisible) {
  files_.Write("broken/1/model.onnx", "fail=no_such_operator");
  files_.Write("config/1/model.onnx");
  files_.Write("config/config.pbtxt", "\nsequence_batching { }");
  files_.Write("empty/config.pbtxt", "");
  files_.Write("named/1/model.onnx");
  files_.Write("named/model.yaml", "name: other");
  files_.Write("warm/1/model.onnx", "failrun=bad_kernel");
  Start();

  EXPECT_THAT(
      Index(),
      ElementsAre("broken/1 unavailable: no_such_operator",
                  "config/ unavailable: config.pbtxt:2: sequence_batching is not supported",
                  "empty/ unavailable: at least one version must be available under the version policy of "
                  "model 'empty'",
                  "named/ unavailable: model.yaml: the model's name is 'other', but its folder is 'named'",
                  "warm/1 unavailable: warm-up with batch size 1 failed: bad_kernel"));
  EXPECT_EQ(catalog_->Acquire("config", "").error().message(),
            "Request for unknown model: 'config' has no available versions: config.pbtxt:2: "
            "sequence_batching is not "
            "supported");
  EXPECT_THAT(catalog_->Index(true), IsEmpty());
}

TEST_F(RepositoryCatalogTest, ABinderThatRefusesFailsTheLoad) {
  files_.Write("m/1/model.onnx");
  binder_.fail = "m";
  Start();

  EXPECT_THAT(Index(), ElementsAre("m/1 unavailable: no place in the scheduler"));
  EXPECT_EQ(engine_.sessions(), 0);
}

TEST_F(RepositoryCatalogTest, ServesTheVersionsThatThePolicyNames) {
  for (const char* version : {"1", "2", "10"}) files_.Write(std::string("m/") + version + "/model.onnx");
  files_.Write("m/model.yaml", "versions: {policy: latest, count: 2}");
  Start();

  EXPECT_THAT(*catalog_->VersionsOf("m"), ElementsAre(2, 10));
  EXPECT_EQ((*catalog_->Acquire("m", ""))->version, 10);
  EXPECT_EQ((*catalog_->Acquire("m", "2"))->version, 2);
  EXPECT_EQ(catalog_->Acquire("m", "1").error().reason(), "version_unknown");
}

TEST_F(RepositoryCatalogTest, LabelsAreRead) {
  files_.Write("m/1/model.onnx");
  files_.Write("m/labels.txt", "cat\r\ndog\n");
  files_.Write(
      "m/config.pbtxt",
      "max_batch_size: 4 output { name: 'y' data_type: TYPE_FP32 dims: 4 label_filename: 'labels.txt' }");
  Start();

  EXPECT_THAT((*catalog_->Acquire("m", ""))->config->outputs[0].labels, ElementsAre("cat", "dog"));
}

TEST_F(RepositoryCatalogTest, ConfiguredWarmupsReplaceTheAutomaticOnes) {
  files_.Write("m/1/model.onnx");
  files_.Write("m/model.yaml", "warmup: {runs: [{batch_size: 3, count: 2, random: [x]}]}");
  files_.Write("off/1/model.onnx");
  files_.Write("off/model.yaml", "warmup: {automatic: false}");
  Start();

  EXPECT_THAT(engine_.rows(), ElementsAre(3, 3));
}

TEST_F(RepositoryCatalogTest, ProvidersAreTheModelsElseTheServers) {
  options_.control = ControlMode::kExplicit;
  options_.default_providers = {{.name = "openvino", .options = {}}};
  files_.Write("m/1/model.onnx");
  Start();

  ASSERT_TRUE(Load("m").ok());
  EXPECT_EQ(engine_.providers_asked().at(0).name, "openvino");
  files_.Write("m/model.yaml", "providers: [{name: cpu}]");
  ASSERT_TRUE(Load("m").ok());
  EXPECT_EQ(engine_.providers_asked().at(0).name, "cpu");
}

TEST_F(RepositoryCatalogTest, StartLoadsWhatFitsAndPinnedModelsFirst) {
  options_.memory_budget = 250;
  options_.max_concurrent_loads = 1;
  for (const char* model : {"a", "b", "c", "z"})
    files_.Write(std::string(model) + "/1/model.onnx", "memory=100");
  for (const char* model : {"a", "b", "c"}) files_.Write(std::string(model) + "/model.yaml", "memory: 100");
  files_.Write("z/model.yaml", "{memory: 100, pinned: true}");
  Start();

  EXPECT_THAT(Index(), ElementsAre("a/1 ready", "b/1 on disk", "c/1 on disk", "z/1 ready"));
  EXPECT_EQ(catalog_->Acquire("b", "").error().reason(), "model_on_disk");
  EXPECT_TRUE(catalog_->IsReady("b", ""));
  EXPECT_THAT(*catalog_->VersionsOf("b"), ElementsAre(1));
}

TEST_F(RepositoryCatalogTest, LoadsOnFirstUseAndEvictsTheLeastValuable) {
  options_.memory_budget = 250;
  options_.min_residency = Duration::zero();
  for (const char* model : {"a", "b", "c"}) {
    files_.Write(std::string(model) + "/1/model.onnx", "memory=100");
    files_.Write(std::string(model) + "/model.yaml", "memory: 100");
  }
  Start();
  EXPECT_FALSE(InMemory("c"));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(catalog_->Acquire("a", "").ok());

  const auto c = Get("c");

  ASSERT_TRUE(c.ok()) << c.error().ToString();
  EXPECT_TRUE(InMemory("a"));
  EXPECT_FALSE(InMemory("b"));
  EXPECT_LE(engine_.peak_bytes(), 250U);
  EXPECT_EQ(catalog_->bytes_used(), 200U);
}

TEST_F(RepositoryCatalogTest, UsesFadeSoThatYesterdaysModelGoes) {
  options_.memory_budget = 250;
  options_.value_half_life = seconds(1);
  options_.min_residency = Duration::zero();
  for (const char* model : {"a", "b", "c"}) {
    files_.Write(std::string(model) + "/1/model.onnx", "memory=100");
    files_.Write(std::string(model) + "/model.yaml", "memory: 100");
  }
  Start();
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(catalog_->Acquire("a", "").ok());
  ASSERT_TRUE(Get("c").ok());  // Takes b's place, and a's uses are counted now.
  clock_.Advance(seconds(60));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(catalog_->Acquire("c", "").ok());

  ASSERT_TRUE(Get("b").ok());

  EXPECT_FALSE(InMemory("a"));
  EXPECT_TRUE(InMemory("c"));
}

TEST_F(RepositoryCatalogTest, NeverEvictsPinnedOnesNorThoseInUse) {
  options_.memory_budget = 250;
  options_.room_timeout = seconds(5);
  for (const char* model : {"a", "b", "c"}) {
    files_.Write(std::string(model) + "/1/model.onnx", "memory=100");
    files_.Write(std::string(model) + "/model.yaml", "memory: 100");
  }
  files_.Write("a/model.yaml", "{memory: 100, pinned: true}");
  Start();
  auto in_use = catalog_->Acquire("b", "");
  ASSERT_TRUE(in_use.ok());

  auto waits = Ask("c");
  ASSERT_TRUE(Eventually([this] { return !Index().empty() && Index()[2] == "c/1 loading"; }));
  clock_.Advance(seconds(5));
  const auto refused = waits.get();

  EXPECT_EQ(refused.error().reason(), "model_not_ready");
  EXPECT_THAT(refused.error().message(),
              HasSubstr("model 'c' version 1 needs 100 B, but of the memory budget of 250 B "
                        "200 B are taken by models that are pinned, in use"));
  EXPECT_TRUE(InMemory("a"));
  EXPECT_TRUE(InMemory("b"));

  *in_use = nullptr;
  EXPECT_TRUE(Get("c").ok());
  EXPECT_TRUE(InMemory("a"));
  EXPECT_FALSE(InMemory("b"));
}

TEST_F(RepositoryCatalogTest, AModelThatCanNeverFitIsRefusedAtOnce) {
  options_.memory_budget = 250;
  files_.Write("a/1/model.onnx", "memory=200");
  files_.Write("a/model.yaml", "{memory: 200, pinned: true}");
  files_.Write("b/1/model.onnx", "memory=100");
  files_.Write("b/model.yaml", "memory: 100");
  Start();

  EXPECT_THAT(Get("b").error().message(), HasSubstr("needs 100 B, but of the memory budget of 250 B"));
  EXPECT_EQ(engine_.loads("b"), 0);
}

TEST_F(RepositoryCatalogTest, WhatALoadReallyTookCountsAgainstTheBudget) {
  options_.memory_budget = 250;
  options_.min_residency = Duration::zero();
  for (const char* model : {"a", "b", "c"}) files_.Write(std::string(model) + "/1/model.onnx", "memory=100");
  Start();  // Without a hint the few bytes of the files are expected.

  EXPECT_LE(catalog_->bytes_used(), 250U);
  EXPECT_TRUE(Get("c").ok());
  EXPECT_TRUE(Get("b").ok());
  EXPECT_TRUE(Eventually([this] { return engine_.alive_bytes() <= 250; }));
  EXPECT_LE(catalog_->bytes_used(), 250U);
}

TEST_F(RepositoryCatalogTest, FiftyCallersMakeOneLoad) {
  options_.memory_budget = 150;
  for (const char* model : {"a", "b"}) {
    files_.Write(std::string(model) + "/1/model.onnx", "memory=100");
    files_.Write(std::string(model) + "/model.yaml", "memory: 100");
  }
  Start();
  engine_.Hold("b");

  std::vector<std::future<Result<VersionRef>>> callers;
  for (int i = 0; i < 50; ++i) callers.push_back(Ask("b"));
  ASSERT_TRUE(Eventually([this] { return engine_.loads("b") == 1; }));
  engine_.Release("b");

  for (auto& caller : callers) {
    const auto got = caller.get();
    EXPECT_TRUE(got.ok()) << (got.ok() ? "" : got.error().ToString());
  }
  EXPECT_EQ(engine_.loads("b"), 1);
}

TEST_F(RepositoryCatalogTest, WaitersEndByCancellationAndDeadlineAndTheLoadGoesOn) {
  options_.memory_budget = 150;
  for (const char* model : {"a", "b"}) {
    files_.Write(std::string(model) + "/1/model.onnx", "memory=100");
    files_.Write(std::string(model) + "/model.yaml", "memory: 100");
  }
  Start();
  engine_.Hold("b");
  const runtime::Context cancelled;
  const auto late = runtime::Context().WithDeadline(std::chrono::steady_clock::now() + milliseconds(1));

  auto first = Ask("b", "", cancelled);
  auto second = Ask("b", "", late);
  auto third = Ask("b");
  ASSERT_TRUE(Eventually([this] { return engine_.loads("b") == 1; }));
  cancelled.Cancel();

  EXPECT_EQ(first.get().error().code(), Code::kCancelled);
  EXPECT_EQ(second.get().error().code(), Code::kDeadlineExceeded);
  engine_.Release("b");
  EXPECT_TRUE(third.get().ok());
}

TEST_F(RepositoryCatalogTest, ALoadThatNobodyWaitsForAnyMoreIsNotBegun) {
  options_.memory_budget = 300;
  options_.max_concurrent_loads = 1;
  files_.Write("a/1/model.onnx", "memory=300");
  files_.Write("a/model.yaml", "memory: 300");
  for (const char* model : {"b", "c"}) {
    files_.Write(std::string(model) + "/1/model.onnx", "memory=100");
    files_.Write(std::string(model) + "/model.yaml", "memory: 100");
  }
  Start();
  engine_.Hold("b");
  auto b = Ask("b");
  ASSERT_TRUE(Eventually([this] { return engine_.loads("b") == 1; }));
  const runtime::Context ctx;
  auto c = Ask("c", "", ctx);
  ASSERT_TRUE(Eventually([this] { return Index()[2] == "c/1 loading"; }));

  ctx.Cancel();
  EXPECT_EQ(c.get().error().code(), Code::kCancelled);
  engine_.Release("b");

  EXPECT_TRUE(b.get().ok());
  EXPECT_TRUE(Eventually([this] { return Index()[2] == "c/1 on disk"; }));
  EXPECT_EQ(engine_.loads("c"), 0);
  EXPECT_TRUE(Get("c").ok());
}

TEST_F(RepositoryCatalogTest, WaitersOfOneLoadAreBounded) {
  options_.memory_budget = 150;
  options_.max_waiters_per_load = 2;
  for (const char* model : {"a", "b"}) {
    files_.Write(std::string(model) + "/1/model.onnx", "memory=100");
    files_.Write(std::string(model) + "/model.yaml", "memory: 100");
  }
  Start();
  engine_.Hold("b");

  std::vector<std::future<Result<VersionRef>>> callers;
  for (int i = 0; i < 5; ++i) callers.push_back(Ask("b"));
  const auto ended = [&callers] {
    return std::count_if(callers.begin(), callers.end(),
                         [](auto& c) { return c.wait_for(seconds(0)) == std::future_status::ready; });
  };
  ASSERT_TRUE(Eventually([&] { return ended() == 3; }));
  engine_.Release("b");

  int refused = 0;
  for (auto& caller : callers) {
    const auto got = caller.get();
    if (got.ok()) continue;
    ++refused;
    EXPECT_EQ(got.error().reason(), "too_many_waiters");
  }
  EXPECT_EQ(refused, 3);
}

TEST_F(RepositoryCatalogTest, AFailedLoadOnDemandBacksOff) {
  options_.memory_budget = 150;
  options_.retry_backoff = seconds(10);
  files_.Write("a/1/model.onnx", "memory=100");
  files_.Write("a/model.yaml", "memory: 100");
  files_.Write("b/1/model.onnx", "fail=corrupt");
  files_.Write("b/model.yaml", "memory: 100");
  Start();

  EXPECT_THAT(Get("b").error().message(), HasSubstr("is not at ready state: corrupt"));
  const auto refused = Get("b");
  EXPECT_EQ(refused.error().reason(), "model_not_ready");
  EXPECT_EQ(refused.error().retry_after(), Duration(seconds(10)));
  EXPECT_EQ(engine_.loads("b"), 1);

  files_.Write("b/1/model.onnx", "memory=100");
  clock_.Advance(seconds(10));
  EXPECT_TRUE(Get("b").ok());
  EXPECT_EQ(engine_.loads("b"), 2);
}

TEST_F(RepositoryCatalogTest, PollingNoticesNewChangedAndRemovedModelsOnceTheySettle) {
  options_.control = ControlMode::kPoll;
  options_.poll_interval = Duration::zero();
  files_.Write("m/1/model.onnx", "memory=100");
  Start();
  auto old = catalog_->Acquire("m", "");

  files_.Write("m/2/model.onnx", "memory=200");
  files_.Write("n/1/model.onnx");
  catalog_->PollNow();
  EXPECT_EQ(engine_.loads("n"), 0) << "a change that has not settled was taken up";
  clock_.Advance(options_.settle_time);
  catalog_->PollNow();
  ASSERT_TRUE(Eventually([this] { return InMemory("n") && (*catalog_->Acquire("m", ""))->version == 2; }));
  EXPECT_EQ((*old)->memory_bytes, 100U) << "whoever holds the old version keeps it";
  EXPECT_THAT(Index(),
              ElementsAre("m/2 ready", "m/1 unloading: 1 unloaded session(s) still in use", "n/1 ready"));
  *old = nullptr;

  files_.Remove("n");
  PollTwice();
  EXPECT_EQ(catalog_->Acquire("n", "").error().reason(), "model_unknown");
  EXPECT_TRUE(Eventually([this] { return Index() == std::vector<std::string>{"m/2 ready"}; }));
  EXPECT_TRUE(Eventually([this] { return engine_.sessions() == 1; }));
}

TEST_F(RepositoryCatalogTest, AChosenRootServesAllThatIsThereWhenItIsToldToLook) {
  const testing::TempRepository chosen;
  options_.roots.push_back(chosen.path());
  options_.chosen_root = chosen.path();
  options_.control = ControlMode::kExplicit;
  files_.Write("own/1/model.onnx");
  chosen.Write("before/1/model.onnx");
  Start();
  EXPECT_TRUE(InMemory("before")) << "what a restart finds there is served, whatever the control";
  EXPECT_FALSE(InMemory("own"));

  chosen.Write("m/1/model.onnx");
  chosen.Write("m/2/model.onnx");
  EXPECT_TRUE(catalog_->LookNow("m").value());
  EXPECT_TRUE(Get("m", "1").ok()) << "not the newest alone";
  EXPECT_TRUE(Get("m", "2").ok());
  ASSERT_TRUE(Eventually([this] { return catalog_->LookNow("m").value(); }));
  EXPECT_EQ(engine_.loads("m"), 2) << "what serves is not loaded again";

  chosen.Remove("m/1");
  ASSERT_TRUE(Eventually([this] { return catalog_->LookNow("m").value(); }));
  ASSERT_TRUE(Eventually([this] { return Get("m", "1").ok() == false; }));
  EXPECT_TRUE(Get("m", "2").ok());
  chosen.Remove("m");
  ASSERT_TRUE(Eventually([this] { return catalog_->LookNow("m").value(); }));
  EXPECT_EQ(Get("m").error().reason(), "model_unknown");

  EXPECT_EQ(catalog_->LookNow("own").error().reason(), "model_in_folder");
}

TEST_F(RepositoryCatalogTest, InAChosenRootEachVersionIsServedByItsOwnConfiguration) {
  const testing::TempRepository chosen;
  options_.roots.push_back(chosen.path());
  options_.chosen_root = chosen.path();
  Start();
  chosen.Write("m/1/model.onnx");
  chosen.Write("m/1/model.yaml", "batching: {max_batch_size: 4}\n");
  EXPECT_TRUE(catalog_->LookNow("m").value());
  ASSERT_TRUE(Get("m", "1").ok());
  chosen.Write("m/model.yaml",
               "batching: {max_batch_size: 16}\n");  // As the registry's hosting puts it there.
  chosen.Write("m/2/model.onnx");
  chosen.Write("m/2/model.yaml", "batching: {max_batch_size: 8}\n");
  chosen.Write("m/3/model.onnx");
  ASSERT_TRUE(Eventually([this] { return catalog_->LookNow("m").value(); }));
  ASSERT_TRUE(Get("m", "2").ok());
  ASSERT_TRUE(Get("m", "3").ok());
  EXPECT_EQ((*Get("m", "1"))->config->max_batch_size, 4);
  EXPECT_EQ((*Get("m", "2"))->config->max_batch_size, 8);
  EXPECT_NE((*Get("m", "3"))->config->max_batch_size, 8) << "it declares nothing";
  EXPECT_NE((*Get("m", "3"))->config->max_batch_size, 16);
  EXPECT_EQ(engine_.loads("m"), 3) << "another version's configuration is no reason to load one again";

  chosen.Write("m/4/model.onnx");
  chosen.Write("m/4/model.yaml", "nonsense: [");
  ASSERT_TRUE(Eventually([this] { return catalog_->LookNow("m").value(); }));
  EXPECT_EQ(Get("m", "4").error().reason(), "model_not_ready");
  EXPECT_TRUE(Get("m", "1").ok() && Get("m", "2").ok()) << "the others go on";
  EXPECT_EQ(engine_.loads("m"), 3);
}

TEST_F(RepositoryCatalogTest, AChosenPipelineIsServedByItsParts) {
  const testing::TempRepository chosen;
  options_.roots.push_back(chosen.path());
  options_.chosen_root = chosen.path();
  Start();
  chosen.Write("sd/1/model_index.json", "{}");
  chosen.Write("sd/1/unet/model.onnx");
  EXPECT_TRUE(catalog_->LookNow("sd").value());
  EXPECT_TRUE(Get("sd/unet", "1").ok());
  chosen.Remove("sd");
  ASSERT_TRUE(Eventually([this] { return catalog_->LookNow("sd").value(); }));
  EXPECT_EQ(Get("sd/unet").error().reason(), "model_unknown");
}

TEST_F(RepositoryCatalogTest, APipelinesVersionPolicyHoldsForItsParts) {
  for (const char* version : {"1", "2"}) {
    files_.Write(std::string("sd/") + version + "/model_index.json", "{}");
    files_.Write(std::string("sd/") + version + "/unet/model.onnx");
    files_.Write(std::string("newest/") + version + "/model_index.json", "{}");
    files_.Write(std::string("newest/") + version + "/unet/model.onnx");
    files_.Write(std::string("wrong/") + version + "/model_index.json", "{}");
    files_.Write(std::string("wrong/") + version + "/unet/model.onnx");
  }
  files_.Write("sd/model.yaml", "versions: {policy: all}");
  files_.Write("wrong/model.yaml", "verisons: {policy: all}");
  Start();

  EXPECT_TRUE(Get("sd/unet", "1").ok());
  EXPECT_TRUE(Get("sd/unet", "2").ok());
  EXPECT_EQ(Get("newest/unet", "1").error().reason(), "version_unknown");
  EXPECT_TRUE(Get("newest/unet", "2").ok());
  ASSERT_FALSE(Get("wrong/unet").ok());
  EXPECT_THAT(Get("wrong/unet").error().message(), HasSubstr("wrong/model.yaml"));
}

TEST_F(RepositoryCatalogTest, PollingWaitsUntilFilesStopChanging) {
  options_.control = ControlMode::kPoll;
  options_.poll_interval = Duration::zero();
  options_.settle_time = seconds(2);
  Start();
  for (int i = 0; i < 5; ++i) {
    files_.Write("m/1/model.onnx", std::string(static_cast<std::size_t>(i) + 1, ' '));
    catalog_->PollNow();
    clock_.Advance(seconds(1));
  }
  EXPECT_EQ(engine_.loads("m"), 0);

  PollTwice();

  EXPECT_TRUE(Eventually([this] { return InMemory("m"); }));
  EXPECT_EQ(engine_.loads("m"), 1);
}

TEST_F(RepositoryCatalogTest, AFailedChangeLeavesTheOldVersionServing) {
  options_.control = ControlMode::kPoll;
  options_.poll_interval = Duration::zero();
  files_.Write("m/1/model.onnx", "memory=100");
  Start();

  files_.Write("m/2/model.onnx", "fail=corrupt");
  PollTwice();
  ASSERT_TRUE(Eventually([this] { return Index().size() == 2 && Index()[1] == "m/2 unavailable: corrupt"; }));
  EXPECT_EQ((*catalog_->Acquire("m", ""))->version, 1);
  PollTwice();
  EXPECT_EQ(engine_.loads("m"), 2) << "a failed load is tried again only when files change";

  files_.Write("m/model.yaml", "no_such_key: 1");
  PollTwice();
  EXPECT_EQ((*catalog_->Acquire("m", ""))->version, 1);
  EXPECT_THAT(Index()[0], StartsWith("m/1 ready: not reloaded: model.yaml:1:1"));

  files_.Remove("m/model.yaml");
  files_.Write("m/2/model.onnx", "memory=200");
  PollTwice();
  EXPECT_TRUE(Eventually([this] { return (*catalog_->Acquire("m", ""))->version == 2; }));
  EXPECT_TRUE(Eventually([this] { return Index() == std::vector<std::string>{"m/2 ready"}; }));
}

TEST_F(RepositoryCatalogTest, AReloadOfTheSameVersionSwitchesAtOnceAndKeepsOldReferences) {
  options_.control = ControlMode::kExplicit;
  options_.startup_models = {"*"};
  files_.Write("m/1/model.onnx", "memory=100");
  Start();
  auto old = catalog_->Acquire("m", "");
  files_.Write("m/1/model.onnx", "memory=222");
  engine_.Hold("m");

  auto load = Spawn(catalog_->Load(runtime::Context(), ModelName("m"), {}));
  ASSERT_TRUE(Eventually([this] { return engine_.loads("m") == 2; }));
  EXPECT_EQ((*catalog_->Acquire("m", ""))->memory_bytes, 100U)
      << "the old one serves until the new one is ready";
  engine_.Release("m");
  ASSERT_TRUE(load.get().ok());

  EXPECT_EQ((*catalog_->Acquire("m", ""))->memory_bytes, 222U);
  EXPECT_EQ((*old)->memory_bytes, 100U);
  EXPECT_EQ(engine_.sessions(), 2);
  *old = nullptr;
  EXPECT_TRUE(Eventually([this] { return engine_.sessions() == 1; }));
  EXPECT_TRUE(Eventually([this] { return catalog_->bytes_used() == 222; }));
}

TEST_F(RepositoryCatalogTest, ExplicitControlLoadsAndUnloadsByName) {
  options_.control = ControlMode::kExplicit;
  // Shared: the catalog, which outlives this frame, frees the last session at its own end.
  const auto unloads = std::make_shared<std::atomic<int>>(0);
  options_.after_unload = [unloads] { ++*unloads; };
  files_.Write("m/1/model.onnx");
  files_.Write("other/1/model.onnx");
  Start();
  EXPECT_EQ(catalog_->Acquire("m", "").error().reason(), "model_unknown");
  EXPECT_THAT(Index(), ElementsAre("m/ unknown", "other/ unknown"));

  ASSERT_TRUE(Load("m").ok());
  EXPECT_TRUE(InMemory("m"));
  ASSERT_TRUE(Load("m").ok());
  EXPECT_EQ(engine_.loads("m"), 1) << "nothing changed, nothing is loaded again";

  ASSERT_TRUE(Unload("m").ok());
  EXPECT_EQ(catalog_->Acquire("m", "").error().reason(), "model_unknown");
  EXPECT_TRUE(Eventually([this] { return engine_.sessions() == 0 && catalog_->bytes_used() == 0; }));
  EXPECT_TRUE(Eventually([unloads] { return *unloads > 0; }));
  EXPECT_EQ(binder_.orderly, 1) << "the extension ends before its session";
  EXPECT_NE(binder_.thread_of_end, std::this_thread::get_id());
  EXPECT_THAT(Index(), ElementsAre("m/1 unavailable: unloaded", "other/ unknown"));
  ASSERT_TRUE(Unload("m").ok());
  ASSERT_TRUE(Load("m").ok());
}

TEST_F(RepositoryCatalogTest, ExplicitLoadsFailWithTritonsWords) {
  options_.control = ControlMode::kExplicit;
  files_.Write("broken/1/model.onnx", "fail=corrupt");
  files_.Write("empty/README", "");
  Start();

  EXPECT_EQ(Load("none").error().message(), "failed to load 'none', failed to poll from model repository");
  EXPECT_EQ(Load("none").error().code(), Code::kInternal);
  EXPECT_EQ(Load("broken").error().message(),
            "failed to load 'broken', no version is available: version 1: corrupt");
  EXPECT_EQ(Load("empty").error().message(),
            "at least one version must be available under the version policy of model 'empty'");
  EXPECT_EQ(Load("../etc").error().reason(), "model_name");
  EXPECT_EQ(Unload("none").error().code(), Code::kNotFound);
  EXPECT_EQ(engine_.loads("broken"), 1);
  EXPECT_FALSE(Load("broken").ok());
  EXPECT_EQ(engine_.loads("broken"), 2) << "an explicit load does not wait for the back-off";
}

TEST_F(RepositoryCatalogTest, OverridesReplaceConfigAndFilesWithoutTouchingTheRepository) {
  options_.control = ControlMode::kExplicit;
  const testing::TempRepository temp;
  options_.temp_dir = temp.path();
  files_.Write("m/1/model.onnx", "memory=100");
  Start();

  ASSERT_TRUE(Load("m", {.config_json = R"({"max_batch_size": 7})", .files = {}}).ok());
  EXPECT_EQ((*catalog_->Acquire("m", "1"))->config->max_batch_size, 7);

  LoadOverrides overrides{.config_json = R"({"max_batch_size": 5})",
                          .files = {{"5/model.onnx", "memory=55"}}};
  const auto loaded = Load("m", overrides);
  ASSERT_TRUE(loaded.ok()) << loaded.error().ToString();
  EXPECT_EQ((*catalog_->Acquire("m", ""))->version, 5);
  EXPECT_EQ((*catalog_->Acquire("m", ""))->memory_bytes, 55U);
  EXPECT_EQ(catalog_->Acquire("m", "1").error().reason(), "version_unknown");
  EXPECT_FALSE(std::filesystem::exists(files_.path() + "/m/5"));
  EXPECT_FALSE(std::filesystem::is_empty(temp.path()));

  ASSERT_TRUE(Load("m").ok());
  EXPECT_EQ((*catalog_->Acquire("m", ""))->version, 1);
  EXPECT_EQ((*catalog_->Acquire("m", ""))->config->max_batch_size, 32);
  EXPECT_TRUE(Eventually([&temp] { return std::filesystem::is_empty(temp.path()); }));
}

TEST_F(RepositoryCatalogTest, OverridesOfAModelThatTheRepositoryLacks) {
  options_.control = ControlMode::kExplicit;
  Start();

  ASSERT_TRUE(Load("new", {.config_json = "{}", .files = {{"1/model.onnx", "memory=1"}}}).ok());
  EXPECT_TRUE(InMemory("new"));
}

TEST_F(RepositoryCatalogTest, BadOverridesAreRefusedAndLeaveNothing) {
  options_.control = ControlMode::kExplicit;
  options_.max_override_bytes = 100;
  const testing::TempRepository temp;
  options_.temp_dir = temp.path();
  files_.Write("m/1/model.onnx", "memory=100");
  Start();
  ASSERT_TRUE(Load("m").ok());
  const auto reason = [this](std::string config, std::map<std::string, std::string> with) {
    return Load("m", {.config_json = std::move(config), .files = std::move(with)}).error().reason();
  };

  EXPECT_EQ(reason("", {{"1/model.onnx", "x"}}), "config_missing");
  EXPECT_EQ(reason("{", {}), "model_config_invalid");
  EXPECT_EQ(reason(R"({"name": "other"})", {}), "model_config_invalid");
  EXPECT_EQ(reason("{}", {{"../../m/1/model.onnx", "x"}}), "override_unsafe");
  EXPECT_EQ(reason("{}", {{"1/model.onnx", std::string(101, 'x')}}), "override_too_large");
  EXPECT_EQ(reason("{}", {{"1/model.onnx", "fail=bad"}}), "load_failed");
  EXPECT_EQ((*catalog_->Acquire("m", ""))->memory_bytes, 100U) << "the loaded one keeps serving";
  EXPECT_TRUE(Eventually([&temp] { return std::filesystem::is_empty(temp.path()); }));
}

TEST_F(RepositoryCatalogTest, UnloadWhileLoadingThrowsTheLoadAway) {
  options_.control = ControlMode::kExplicit;
  files_.Write("m/1/model.onnx");
  Start();
  engine_.Hold("m");
  auto load = Spawn(catalog_->Load(runtime::Context(), ModelName("m"), {}));
  ASSERT_TRUE(Eventually([this] { return engine_.loads("m") == 1; }));

  ASSERT_TRUE(Unload("m").ok());
  engine_.Release("m");

  EXPECT_FALSE(load.get().ok());
  EXPECT_EQ(catalog_->Acquire("m", "").error().reason(), "model_unknown");
  EXPECT_TRUE(Eventually([this] { return engine_.sessions() == 0 && catalog_->bytes_used() == 0; }));
}

TEST_F(RepositoryCatalogTest, CallsDuringTheStartWaitForIt) {
  files_.Write("m/1/model.onnx");
  engine_.Hold("m");
  Open();
  ASSERT_TRUE(catalog_->Start(nullptr).ok());
  EXPECT_FALSE(catalog_->StartupDone());
  EXPECT_FALSE(catalog_->IsReady("m", ""));
  auto waits = Ask("m");
  ASSERT_TRUE(Eventually([this] { return engine_.loads("m") == 1; }));

  engine_.Release("m");

  EXPECT_TRUE(waits.get().ok());
  EXPECT_TRUE(Eventually([this] { return catalog_->StartupDone(); }));
}

TEST_F(RepositoryCatalogTest, StopEndsWaitsAndSessionsInUseOutliveTheCatalog) {
  options_.memory_budget = 250;
  options_.max_concurrent_loads = 1;
  for (const char* model : {"a", "b", "c"}) {
    files_.Write(std::string(model) + "/1/model.onnx", "memory=120");
    files_.Write(std::string(model) + "/model.yaml", "memory: 120");
  }
  Start();
  VersionRef kept = *catalog_->Acquire("a", "");
  engine_.Hold("c");
  auto waits = Ask("c");
  ASSERT_TRUE(Eventually([this] { return engine_.loads("c") == 1; }));
  std::thread stopper([this] { catalog_->Stop(); });
  const auto stopping = [this] {
    const auto soon = runtime::Context().WithDeadline(std::chrono::steady_clock::now() + milliseconds(1));
    return Ask("c", "", soon).get().error().reason() == "shutting_down";
  };
  ASSERT_TRUE(Eventually(stopping));
  engine_.Release("c");
  stopper.join();

  EXPECT_FALSE(waits.get().ok());
  EXPECT_EQ(catalog_->Acquire("a", "").error().reason(), "model_unknown");
  catalog_.reset();
  EXPECT_EQ(engine_.sessions(), 1);
  EXPECT_EQ(kept->version, 1);
  kept = nullptr;
  EXPECT_EQ(engine_.sessions(), 0);
}

TEST_F(RepositoryCatalogTest, BudgetHoldsUnderConcurrentDemand) {
  options_.memory_budget = 450;
  options_.min_residency = Duration::zero();
  options_.max_concurrent_loads = 3;
  for (int i = 0; i < 12; ++i) {
    files_.Write("m" + std::to_string(i) + "/1/model.onnx", "memory=100");
    files_.Write("m" + std::to_string(i) + "/model.yaml", "memory: 100");
  }
  Start();

  std::vector<std::future<Result<VersionRef>>> calls;
  for (int i = 0; i < 120; ++i) {
    calls.push_back(Ask("m" + std::to_string((i * 7) % 12)));
    if (calls.size() < 4) continue;
    for (auto& call : calls) {
      const auto got = call.get();  // Dropped at once: the model is idle again.
      EXPECT_TRUE(got.ok()) << (got.ok() ? "" : got.error().ToString());
    }
    calls.clear();
  }

  EXPECT_LE(engine_.peak_bytes(), 450U);
  EXPECT_LE(catalog_->bytes_used(), 450U);
}

}  // namespace
}  // namespace mezzo::models
