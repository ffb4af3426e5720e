#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mezzo::app::cli {

/// Characters on the screen, taking each UTF-8 sequence as one.
inline std::size_t ColumnsOf(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

/// Columns as wide as their widest cell, two spaces apart; the first is aligned left, the others right (or
/// left too).
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header, bool all_left = false)
      : rows_{std::move(header)}, all_left_(all_left) {}
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  [[nodiscard]] std::string ToString(std::string_view indent = "") const {
    std::vector<std::size_t> widths;
    for (const auto& row : rows_) {
      widths.resize(std::max(widths.size(), row.size()));
      for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], ColumnsOf(row[i]));
    }
    std::string out;
    for (const auto& row : rows_) {
      std::string line(indent);
      for (std::size_t i = 0; i < row.size(); ++i) {
        const std::string fill(widths[i] - ColumnsOf(row[i]), ' ');
        line += (i > 0 ? "  " : "") + (i == 0 || all_left_ ? row[i] + fill : fill + row[i]);
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out += line + "\n";
    }
    return out;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
  bool all_left_;
};

}  // namespace mezzo::app::cli
