#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/storage/token_store.h"

namespace mezzo::tenancy {

/// How this host takes part in what hosts share.
enum class SharingMode : std::uint8_t {
  kShared,     ///< The store answers.
  kAlone,      ///< It does not: every limit goes on with this host's last share of it.
  kReturning,  ///< It does again: still with the share, and what is taken is charged to the store.
};

/// What holds for all limits of a host.
struct SharingView {
  SharingMode mode = SharingMode::kShared;
  TimePoint since{};       ///< Of the mode.
  std::int64_t hosts = 0;  ///< That share limits, this one included; 0: not known.
};

/// This host's part of one rate limit that several hosts share. Tokens are leased from a TokenStore in
/// batches, so that a call takes from a local balance only.
///
/// - *Leases*: a round asks for what is expected to be used until the next but one (demand of the last
///   tenths of a second, at most the rate), and gives back what is held far beyond that.
/// - *Credit*: what the store had left when it last answered, and what must have come since, is presumed to
/// be
///   there. A call may go on credit while the debt stays below a quarter of it, or when there is no debt and
///   enough is presumed for the whole call. Debts are paid first of all: they are charged to the store with
///   the next round, and the host waits while it has none. So over time hosts never pass more than the limit;
///   at once, a host that has not asked lately may pass what another has just taken.
/// - *Bursts* are at least a tenth of a second's worth: with less the limit could not be reached in rounds.
/// - *Alone*: the balance, and the share of what the store had left, fill up with share · rate to share ·
///   burst. Shares are in proportion to what the hosts took in the last seconds (hosts announce it as permits
///   of the store), with a tenth of the limit spread evenly, so that none is zero and their sum is about one.
///   A host that knows no share takes 0.3 / hosts.
/// - *Returning*: what the share lacks is charged to the store at once, and from then on all that is taken;
///   so a store that came back full gives no second burst.
///
/// Pure; not thread-safe. Times come from one monotonic clock.
class SharedRate {
 public:
  static constexpr double kEven = 0.1;          ///< Of a limit: spread evenly over the hosts.
  static constexpr double kUnknownShare = 0.3;  ///< Over all hosts, of one that knows no share.
  static constexpr std::int64_t kUnknownHosts = 4;
  static constexpr double kShortestBurst = 0.1;  ///< Seconds.

  explicit SharedRate(std::string key) : key_(std::move(key)) {}

  /// Before anything else, and whenever the limit has changed. Above 0, both; what no TokenStore can count (a
  /// rate below 10^-9, a burst that takes over 31 years to come back) is brought to the bound.
  void Set(double rate, double burst);

  struct Check {
    bool refused = false;
    double remaining = 0;  ///< Of the burst, after the call.
    Duration reset{};      ///< Refused: when to come back; otherwise: until all of it is there again.
  };
  /// Whether `units` pass now. A refusal counts as demand.
  Check Look(TimePoint now, const SharingView& view, double units);
  /// Takes them, passed or not; negative units come back.
  void Take(double units);
  /// Whether the next round should come early.
  [[nodiscard]] bool hungry() const { return hungry_; }

  /// What to ask of the store now; nothing: no need.
  std::optional<storage::TokenStore::TokenRequest> Ask(TimePoint now, const SharingView& view);
  /// What it answered.
  void Answer(TimePoint now, std::int64_t wanted, const storage::TokenStore::TokenGrant& grant);

  /// What this host took lately, for the others to see.
  storage::TokenStore::PermitRequest Announce(TimePoint now, const std::string& host);
  void Announced(std::int64_t held, const storage::TokenStore::PermitGrant& grant, const SharingView& view);

  /// Nothing has happened for long, and nothing is owed or held: rounds may leave it out.
  [[nodiscard]] bool IsQuiet(TimePoint now) const;
  /// A new one would be the same.
  [[nodiscard]] bool IsFull(TimePoint now) const;

  [[nodiscard]] double balance() const { return balance_; }
  /// Of the limit, when alone.
  [[nodiscard]] double share() const { return share_; }

 private:
  void Sync(TimePoint now, const SharingView& view);
  void Measure(TimePoint now);
  [[nodiscard]] double Presumed(TimePoint now) const;
  [[nodiscard]] double ShareNow(const SharingView& view) const;
  [[nodiscard]] double cap() const;

  const std::string key_;
  double rate_ = 1;
  double burst_ = 1;
  double balance_ = 0;  // Tokens; negative: owed.
  bool hungry_ = false;
  SharingMode mode_ = SharingMode::kShared;

  // What the store said.
  bool answered_ = false;
  double left_ = 0;
  TimePoint answered_at_{};

  // Demand.
  double asked_ = 0;   // Units since measured_at_, refused ones included.
  double taken_ = 0;   // The same of those that passed.
  double demand_ = 0;  // A second, of the last tenths.
  double use_ = 0;     // A second, of the last seconds.
  double gap_ = 0;     // Seconds between rounds.
  double largest_refused_ = 0;
  bool measured_ = false;
  TimePoint measured_at_{};
  TimePoint touched_at_{};

  // Shares.
  int announcements_ = 0;
  double part_ = 0;  // Of what all hosts take.
  double share_ = 0;
  double charge_ = 0;  // Returning: not yet charged to the store.
  TimePoint filled_at_{};
};

}  // namespace mezzo::tenancy
