#include "cache_traces.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string_view>

namespace mezzo::bench {
namespace {

constexpr std::size_t kKeys = 100'000;
constexpr std::size_t kLength = 1'000'000;
/// A thousandth, a hundredth and a tenth of kKeys.
constexpr std::array<std::size_t, 3> kPlaces = {100, 1000, 10'000};

/// `base`, and after each `every` of its keys `count` keys that come only once.
std::vector<Key> WithScans(const std::vector<Key>& base, std::size_t every, std::size_t count) {
  std::vector<Key> trace;
  Key fresh = kKeys;
  for (std::size_t i = 0; i < base.size(); ++i) {
    trace.push_back(base[i]);
    if (i % every != every - 1) continue;
    for (std::size_t k = 0; k < count; ++k) trace.push_back(fresh++);
  }
  return trace;
}

/// Every `period` requests the popularity of all keys is drawn anew, and half of them are others.
std::vector<Key> Shifting(std::size_t keys, std::size_t period, std::size_t phases, std::uint64_t seed) {
  std::vector<Key> trace;
  for (std::size_t phase = 0; phase < phases; ++phase) {
    for (const Key key : Zipf(0.9, keys, period, seed + phase)) {
      trace.push_back(key + static_cast<Key>(phase * keys / 2));
    }
  }
  return trace;
}

/// Popularity moves on steadily: every `every` requests the least popular key, or what replaces it, becomes
/// the most popular one, and all others fall by one rank.
std::vector<Key> Drifting(std::size_t keys, std::size_t every, std::size_t length, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<double> sums(keys);
  double sum = 0;
  for (std::size_t i = 0; i < keys; ++i) sums[i] = sum += std::pow(static_cast<double>(i + 1), -0.9);
  std::vector<Key> trace(length);
  for (std::size_t i = 0; i < length; ++i) {
    const double draw = std::uniform_real_distribution<double>(0, sum)(random);
    const auto rank =
        static_cast<std::size_t>(std::lower_bound(sums.begin(), sums.end(), draw) - sums.begin());
    trace[i] = static_cast<Key>(length / every + keys + rank - i / every);  // The newest has the lowest name.
  }
  return trace;
}

/// Half Zipf, half a loop of `count` keys, by turns.
std::vector<Key> WithLoop(const std::vector<Key>& base, std::size_t count) {
  std::vector<Key> trace;
  for (std::size_t i = 0; i < base.size(); ++i) {
    trace.push_back(base[i]);
    trace.push_back(static_cast<Key>(kKeys + i % count));
  }
  return trace;
}

/// What was asked for lately comes again: `fresh` of the requests are for new keys, the others for the one
/// that was asked for a geometrically distributed number of requests ago (mean `mean`).
std::vector<Key> Recent(double fresh, double mean, std::size_t length, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::bernoulli_distribution is_new(fresh);
  std::geometric_distribution<std::size_t> back(1 / mean);
  std::vector<Key> trace;
  Key next = 0;
  while (trace.size() < length) {
    const std::size_t distance = back(random) + 1;
    if (distance > trace.size() || is_new(random)) {
      trace.push_back(next++);
    } else {
      trace.push_back(trace[trace.size() - distance]);
    }
  }
  return trace;
}

std::vector<Key> NumbersIn(const std::string& path) {
  std::ifstream file(path);
  std::vector<Key> numbers;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    Key number = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number);
    if (error != std::errc() || end != line.data() + line.size())
      throw std::runtime_error(path + ": " + line);
    numbers.push_back(number);
  }
  if (numbers.empty()) throw std::runtime_error(path + ": no numbers");
  return numbers;
}

}  // namespace

std::vector<Key> Zipf(double alpha, std::size_t count, std::size_t length, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Key> names(count);
  std::iota(names.begin(), names.end(), Key{0});
  std::shuffle(names.begin(), names.end(), random);
  std::vector<double> sums(count);
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sums[i] = sum += std::pow(static_cast<double>(i + 1), -alpha);
  std::vector<Key> trace(length);
  for (Key& key : trace) {
    const double draw = std::uniform_real_distribution<double>(0, sum)(random);
    key = names[static_cast<std::size_t>(std::lower_bound(sums.begin(), sums.end(), draw) - sums.begin())];
  }
  return trace;
}

std::vector<Key> Loop(std::size_t count, std::size_t length) {
  std::vector<Key> trace(length);
  for (std::size_t i = 0; i < length; ++i) trace[i] = static_cast<Key>(i % count);
  return trace;
}

std::vector<Workload> Workloads(const std::string& gentd26, std::uint64_t seed) {
  constexpr std::uint64_t kApart = 1000;
  const std::uint64_t first = seed * kApart;
  std::vector<Workload> all;
  const auto add = [&](const std::string& name, std::size_t places, std::vector<Key> trace) {
    all.push_back({.name = name, .places = places, .trace = std::move(trace)});
  };
  for (const std::size_t places : kPlaces) {
    for (const char* alpha : {"0.6", "0.8", "1.0", "1.2"}) {
      add(std::string("zipf ") + alpha, places, Zipf(std::stod(alpha), kKeys, kLength, first + 1));
    }
    add("zipf 0.9 with scans", places,
        WithScans(Zipf(0.9, kKeys / 2, kLength / 2, first + 2), 3 * places, 3 * places / 2));
    add("zipf 0.9 with a loop", places, WithLoop(Zipf(0.9, kKeys / 2, kLength / 2, first + 3), 2 * places));
    add("loop x 1.05", places, Loop(places * 21 / 20, 150 * places));
    add("loop x 1.5", places, Loop(places * 3 / 2, 150 * places));
    add("loop x 4", places, Loop(places * 4, 150 * places));
    add("shifts", places, Shifting(4 * places, 25 * places, 6, first + 10));
    add("long shifts", places, Shifting(4 * places, 100 * places, 4, first + 10));
    add("drift", places, Drifting(4 * places, 50, 150 * places, first + 20));
    add("recent", places, Recent(0.1, static_cast<double>(places), 150 * places, first + 30));
  }
  if (!gentd26.empty()) {
    const std::vector<Key> trace = NumbersIn(gentd26);
    for (const std::size_t places : {8U, 16U, 32U}) add("gentd26 checkpoints", places, trace);
  }
  return all;
}

}  // namespace mezzo::bench
