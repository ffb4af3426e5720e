#include "mezzo/models/internal/snapshot.h"

#include <utility>

namespace mezzo::models::internal {
namespace {

std::atomic<std::uint64_t> next_board{1};  // Ids only; no partner.

struct Copy {
  std::uint64_t board = 0;
  std::uint64_t generation = 0;
  std::shared_ptr<const Snapshot> snapshot;
};
thread_local Copy copy;

}  // namespace

std::shared_ptr<const Snapshot> Snapshot::With(const std::string& name,
                                               std::shared_ptr<const ModelView> view) const {
  auto next = std::make_shared<Snapshot>(*this);
  const std::size_t hash = std::hash<std::string_view>{}(name);
  auto& bucket = next->buckets_[hash % kBuckets];
  auto changed = bucket == nullptr ? std::make_shared<Bucket>() : std::make_shared<Bucket>(*bucket);
  std::erase_if(*changed, [&name](const Entry& entry) { return entry.name == name; });
  if (view != nullptr) changed->push_back({.hash = hash, .name = name, .view = std::move(view)});
  bucket = std::move(changed);
  return next;
}

SnapshotBoard::SnapshotBoard()
    : id_(next_board.fetch_add(1, std::memory_order_relaxed)),
      generation_(1),
      current_(std::make_shared<const Snapshot>()) {}

const Snapshot& SnapshotBoard::Read() const {
  const std::uint64_t generation = generation_.load(std::memory_order_acquire);
  if (copy.board != id_ || copy.generation != generation) [[unlikely]] {
    // A publication between the load and the lock only makes the copy newer than it says.
    MutexLock lock(mu_);
    copy.snapshot = current_;
    copy.board = id_;
    copy.generation = generation;
  }
  return *copy.snapshot;
}

void SnapshotBoard::Publish(std::shared_ptr<const Snapshot> snapshot) {
  MutexLock lock(mu_);
  current_.swap(snapshot);
  generation_.fetch_add(1, std::memory_order_release);
}

}  // namespace mezzo::models::internal
