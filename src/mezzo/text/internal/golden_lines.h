#pragma once

#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/check.h"

// Reads the files of expected tokens, for tests and benchmarks: JSON with one {"text":...,"ids":[...]} a
// line.
namespace mezzo::text::internal {

struct GoldenLine {
  std::string text;
  std::vector<int> ids;
};

/// The whole file; aborts when it can't be read, so that a missing file is never a passing test.
inline std::string ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  MEZZO_CHECK(file.good());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void AppendUtf8(unsigned code, std::string* out) {
  const auto add = [out](unsigned value) { *out += static_cast<char>(static_cast<unsigned char>(value)); };
  if (code < 0x80) return add(code);
  if (code < 0x800) {
    add(0xC0U | code >> 6U);
  } else {
    if (code < 0x10000) {
      add(0xE0U | code >> 12U);
    } else {
      add(0xF0U | code >> 18U);
      add(0x80U | (code >> 12U & 0x3FU));
    }
    add(0x80U | (code >> 6U & 0x3FU));
  }
  add(0x80U | (code & 0x3FU));
}

/// The inside of a JSON string; `at` stands behind the opening quote and is moved behind the closing one.
inline std::string ReadJsonText(std::string_view line, std::size_t& at) {
  std::string out;
  unsigned high = 0;
  for (; line[at] != '"'; ++at) {
    if (line[at] != '\\') {
      out += line[at];
      continue;
    }
    const char kind = line[++at];
    if (kind != 'u') {
      constexpr std::string_view kFrom = "ntrbf";
      constexpr std::string_view kTo = "\n\t\r\b\f";
      const std::size_t i = kFrom.find(kind);
      out += i == std::string_view::npos ? kind : kTo[i];
      continue;
    }
    auto code = static_cast<unsigned>(std::stoul(std::string(line.substr(at + 1, 4)), nullptr, 16));
    at += 4;
    if (code >= 0xD800 && code < 0xDC00) {
      high = code;
      continue;
    }
    if (code >= 0xDC00 && code < 0xE000) code = 0x10000U + ((high - 0xD800U) << 10U) + (code - 0xDC00U);
    AppendUtf8(code, &out);
  }
  ++at;
  return out;
}

inline std::vector<GoldenLine> ReadGoldenLines(const std::string& path) {
  std::ifstream file(path);
  MEZZO_CHECK(file.good());
  std::vector<GoldenLine> lines;
  for (std::string line; std::getline(file, line);) {
    std::size_t at = line.find("\"text\":");
    if (at == std::string::npos) continue;
    at = line.find('"', at + 7) + 1;
    GoldenLine golden;
    golden.text = ReadJsonText(line, at);
    at = line.find('[', at) + 1;
    while (line[at] != ']') {
      std::size_t used = 0;
      golden.ids.push_back(std::stoi(line.substr(at, 12), &used));
      at += used;
      while (line[at] == ',' || line[at] == ' ') ++at;
    }
    lines.push_back(std::move(golden));
  }
  return lines;
}

}  // namespace mezzo::text::internal
