#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/sha256.h"
#include "mezzo/cache/epoch_feed.h"
#include "mezzo/cache/epoch_store.h"
#include "mezzo/observe/log.h"

namespace mezzo::cache {

/// Writes down in the database what this host publishes and withdraws, which raises the model's epoch when
/// it is news. A publication that could not be written yet has no recorded() mark: whoever serves the version
/// computes every answer until it has. Tries again for as long as the version lives.
///
/// One thread does it all, in the order of the calls. Thread-safe.
class Publications {
 public:
  struct Options {
    Duration wait = std::chrono::seconds(3);  ///< How long Publish() waits; none while the database fails.
    Duration database_timeout = std::chrono::seconds(10);
    Duration retry = std::chrono::seconds(1);
    std::size_t max_pending = 4096;  ///< Publications beyond it are never written; withdrawals are lost.
  };
  /// All outlive this. `feed` is started before and stopped after.
  struct Ports {
    EpochStore& store;
    EpochFeed& feed;
    const Clock& clock;
    observe::Logger& log;
  };
  /// Of one published version, for as long as somebody serves it.
  class Mark {
   public:
    /// Whether the database has the publication and this host the epoch that came of it. One atomic.
    [[nodiscard]] bool recorded() const { return recorded_.load(std::memory_order_acquire); }

   private:
    friend class Publications;
    std::atomic<bool> recorded_{false};  // Partner: the epoch that the feed has put into the results before.
  };
  using MarkRef = std::shared_ptr<const Mark>;

  Publications(Options options, Ports ports) : options_(options), ports_(ports) {}
  ~Publications();
  Publications(const Publications&) = delete;
  Publications& operator=(const Publications&) = delete;

  void Start();
  /// What is not written yet is lost. Idempotent.
  void Stop() EXCLUDES(mu_);

  /// Before the version takes calls. The same content again, while this host still holds the one before it,
  /// is a reload, and counts as a change. Blocks for Options::wait at most.
  MarkRef Publish(std::string model, std::string version, const Sha256Digest& content) EXCLUDES(mu_);
  /// Never blocks. Of versions that this host has published; others are ignored.
  void Withdraw(const std::string& model, const std::string& version) EXCLUDES(mu_);

  /// Publications and withdrawals that are not written yet.
  [[nodiscard]] std::size_t pending() const EXCLUDES(mu_);

 private:
  struct Task {
    Publication publication;
    bool withdraws = false;
    std::weak_ptr<Mark> mark;  ///< Of a publication.
  };
  struct Live {
    Sha256Digest content{};
    std::weak_ptr<const Mark> mark;
  };
  using Name = std::pair<std::string, std::string>;

  void Work() EXCLUDES(mu_);
  /// Whether the task is done with.
  bool Do(const Task& task);

  const Options options_;
  const Ports ports_;

  mutable Mutex mu_;
  CondVar changed_;
  std::deque<Task> tasks_ GUARDED_BY(mu_);
  std::map<Name, Live> live_ GUARDED_BY(mu_);  // By model and version; as many as were ever loaded here.
  std::uint64_t done_ GUARDED_BY(mu_) = 0;     // Tasks that came to an end,
  std::uint64_t added_ GUARDED_BY(mu_) = 0;    // and that came.
  bool failing_ GUARDED_BY(mu_) = false;
  bool stopping_ GUARDED_BY(mu_) = false;
  std::thread thread_;  // Last: it uses everything above.
};

}  // namespace mezzo::cache
