#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/fd.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/tenancy/ledger/usage_record.h"

namespace mezzo::tenancy {

/// The system calls of the journal that can fail; virtual so that tests can fail any of them. All fail with
/// kUnavailable "usage_journal". Thread-safe.
class JournalDisk {
 public:
  virtual ~JournalDisk() = default;
  /// Mode 0700; those above it too. Fine when it is there.
  virtual Result<void> MakeFolder(const std::string& folder);
  /// Names of the files, sorted.
  virtual Result<std::vector<std::string>> List(const std::string& folder);
  virtual Result<std::string> Read(const std::string& path);
  /// A new file, mode 0600.
  virtual Result<Fd> Create(const std::string& path);
  /// All of it, at the end.
  virtual Result<void> Write(int file, BytesView bytes);
  /// fdatasync(2).
  virtual Result<void> Sync(int file);
  virtual Result<void> SyncFolder(const std::string& folder);
  virtual Result<void> Remove(const std::string& path);
};

/// Records on disk until they are in the database: files `<epoch>.<number>` in one folder, only ever appended
/// to. An epoch is one run of a server. A file in which a write failed is not written to again: what was to
/// be written goes into the next one, and whoever reads both drops what has the same number.
///
/// Append() and Close() from one thread; the rest is thread-safe.
class UsageJournal {
 public:
  /// One file. It is removed when nothing more is written to it and all its records are settled.
  struct Segment {
    std::string path;
    std::size_t unsettled = 0;
    bool open = false;
    ByteCount size = 0;
  };
  using SegmentRef = std::shared_ptr<Segment>;
  struct Recovered {
    std::string epoch;
    UsageRecord record;
    SegmentRef segment;
  };

  /// `disk` outlives the journal. A file that has grown to `segment_bytes` is followed by the next.
  UsageJournal(JournalDisk& disk, std::string folder, std::string epoch, ByteCount segment_bytes)
      : disk_(disk), folder_(std::move(folder)), epoch_(std::move(epoch)), segment_bytes_(segment_bytes) {}

  [[nodiscard]] const std::string& epoch() const { return epoch_; }

  /// What earlier epochs have left, in order; before the first Append(). A record that a crash cut short is
  /// left out, with what follows in its file; `torn_bytes` says how much. Files without records are removed.
  Result<std::vector<Recovered>> Recover(ByteCount& torn_bytes);

  /// On disk when it succeeds; when it fails, it may be there or not, and the same record is to come again.
  Result<SegmentRef> Append(const UsageRecord& record);
  /// One of the segment's records needs to be kept no longer.
  void Settle(const SegmentRef& segment) EXCLUDES(mu_);
  /// Ends the file that is written to.
  void Close() EXCLUDES(mu_);

 private:
  Result<void> OpenSegment();
  void RemoveIfDone(const SegmentRef& segment) REQUIRES(mu_);

  JournalDisk& disk_;
  const std::string folder_;
  const std::string epoch_;
  const ByteCount segment_bytes_;
  std::size_t next_number_ = 1;
  Fd file_;
  SegmentRef current_;
  Mutex mu_;  // Guards the counts of all segments.
};

}  // namespace mezzo::tenancy
