#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cache_policies.h"

namespace mezzo::bench {

/// `length` keys below `count`, drawn with probabilities as 1 / rank^alpha, ranks shuffled over the keys. The
/// same for the same seed.
std::vector<Key> Zipf(double alpha, std::size_t count, std::size_t length, std::uint64_t seed);
/// 0 to count - 1, over and over.
std::vector<Key> Loop(std::size_t count, std::size_t length);

/// A workload, and the sizes of caches it is replayed with.
struct Workload {
  std::string name;
  std::size_t places;
  std::vector<Key> trace;
};

/// What each workload means is said in docs of bench/suites/cache.py. The same for the same `seed`.
/// `gentd26`: lines of the GenTD26 checkpoint column; empty: without.
std::vector<Workload> Workloads(const std::string& gentd26, std::uint64_t seed);

}  // namespace mezzo::bench
