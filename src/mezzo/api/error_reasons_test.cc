// schema/errors.toml is the contract that clients branch on: every reason that the sources can give stands
// there.

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace mezzo::api {
namespace {

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Maker {
  std::string_view name;
  std::string_view code;
};
constexpr Maker kMakers[] = {{"InvalidArgument(", "INVALID_ARGUMENT"},
                             {"NotFound(", "NOT_FOUND"},
                             {"Unavailable(", "UNAVAILABLE"},
                             {"Internal(", "INTERNAL"},
                             {"Unimplemented(", "UNIMPLEMENTED"},
                             {"ResourceExhausted(", "RESOURCE_EXHAUSTED"},
                             {"DeadlineExceeded(", "DEADLINE_EXCEEDED"},
                             {"FailedPrecondition(", "FAILED_PRECONDITION"},
                             {"PermissionDenied(", "PERMISSION_DENIED"},
                             {"Unauthenticated(", "UNAUTHENTICATED"},
                             {"AlreadyExists(", "ALREADY_EXISTS"},
                             {"Cancelled(", "CANCELLED"},
                             {"Code::kUnknown,", "UNKNOWN"},
                             {"Code::kInvalidArgument,", "INVALID_ARGUMENT"},
                             {"Code::kDeadlineExceeded,", "DEADLINE_EXCEEDED"},
                             {"Code::kNotFound,", "NOT_FOUND"},
                             {"Code::kPermissionDenied,", "PERMISSION_DENIED"},
                             {"Code::kResourceExhausted,", "RESOURCE_EXHAUSTED"},
                             {"Code::kFailedPrecondition,", "FAILED_PRECONDITION"},
                             {"Code::kAborted,", "ABORTED"},
                             {"Code::kOutOfRange,", "OUT_OF_RANGE"},
                             {"Code::kUnimplemented,", "UNIMPLEMENTED"},
                             {"Code::kInternal,", "INTERNAL"},
                             {"Code::kUnavailable,", "UNAVAILABLE"},
                             {"Code::kDataLoss,", "DATA_LOSS"},
                             {"Code::kCancelled,", "CANCELLED"}};

/// The codes that come with each slug.
using Reasons = std::map<std::string, std::set<std::string>>;

/// From lines "[slug]" and "codes = [\"X\", \"Y\"]".
Reasons Listed() {
  Reasons listed;
  std::istringstream lines(ReadAll(std::filesystem::path(MEZZO_SOURCE_DIR) / "schema/errors.toml"));
  std::string line;
  std::string slug;
  while (std::getline(lines, line)) {
    if (line.size() > 2 && line.front() == '[') {
      slug = line.substr(1, line.find(']') - 1);
      EXPECT_FALSE(listed.contains(slug)) << slug << " is listed twice";
      listed[slug];
    } else if (line.rfind("codes = [", 0) == 0) {
      for (std::size_t from = line.find('"'); from != std::string::npos; from = line.find('"', from + 1)) {
        const std::size_t to = line.find('"', from + 1);
        if (to == std::string::npos) break;
        listed[slug].insert(line.substr(from + 1, to - from - 1));
        from = to;
      }
    }
  }
  return listed;
}

/// The slug in `text` at `at`, as `"slug",` after white space; empty when something else is there.
std::string SlugAt(const std::string& text, std::size_t at) {
  const std::size_t quote = text.find_first_not_of(" \n", at);
  if (quote == std::string::npos || text[quote] != '"') return "";
  const std::size_t end = text.find('"', quote + 1);
  if (end == std::string::npos || text.compare(end, 2, "\",") != 0) return "";
  const std::string slug = text.substr(quote + 1, end - quote - 1);
  return slug.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos ? slug : "";
}

bool IsSource(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  if (path.extension() != ".cc" && path.extension() != ".h") return false;
  return name.find("_test.") == std::string::npos && name.find("_bench.") == std::string::npos &&
         path.string().find("/testing/") == std::string::npos;
}

Reasons Used() {
  Reasons used;
  const std::filesystem::path root = std::filesystem::path(MEZZO_SOURCE_DIR) / "src/mezzo";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (!entry.is_regular_file() || !IsSource(entry.path())) continue;
    const std::string text = ReadAll(entry.path());
    for (const Maker& maker : kMakers) {
      for (std::size_t at = text.find(maker.name); at != std::string::npos;
           at = text.find(maker.name, at + 1)) {
        const std::string slug = SlugAt(text, at + maker.name.size());
        if (!slug.empty()) used[slug].emplace(maker.code);
      }
    }
  }
  return used;
}

TEST(ErrorReasons, EverySlugInTheSourcesIsListedWithItsCodes) {
  const Reasons listed = Listed();
  const Reasons used = Used();
  ASSERT_GT(used.size(), 50U) << "the scan no longer finds them";
  for (const auto& [slug, codes] : used) {
    const auto found = listed.find(slug);
    EXPECT_TRUE(found != listed.end()) << "add [" << slug << "] to schema/errors.toml";
    if (found == listed.end()) continue;
    for (const std::string& code : codes)
      EXPECT_TRUE(found->second.contains(code)) << slug << " lacks " << code;
  }
}

TEST(ErrorReasons, EveryListedSlugIsUsed) {
  const Reasons used = Used();
  for (const auto& [slug, codes] : Listed()) {
    EXPECT_TRUE(used.contains(slug)) << slug << " stands in schema/errors.toml only";
  }
}

}  // namespace
}  // namespace mezzo::api
