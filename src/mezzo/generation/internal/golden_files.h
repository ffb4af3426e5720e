#pragma once

#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "mezzo/base/check.h"

// What python/golden/ wrote, for tests and benchmarks.
namespace mezzo::generation::internal {

/// A whole file; aborts when it can't be read, so that a missing file is never a passing test.
inline std::string ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  MEZZO_CHECK(file.good());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// A file of tests/golden/generation.
inline std::string GoldenPath(const std::string& name) {
  return std::string(MEZZO_SOURCE_DIR) + "/tests/golden/generation/" + name;
}
inline nlohmann::json ReadGolden(const std::string& name) {
  return nlohmann::json::parse(ReadWholeFile(GoldenPath(name)));
}

}  // namespace mezzo::generation::internal
