#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/result.h"

namespace mezzo::drivers::internal {

/// Where to connect and as whom: a parsed connection string. Immutable.
class PgTarget {
 public:
  /// `connection` is a URL (postgresql://...) or keywords (host=... dbname=...), as libpq documents;
  /// `password`, when not empty, replaces the one in it. Adds TCP keepalives, tcp_user_timeout (15 s)
  /// and settings of the planner unless they are set. Fails with kInvalidArgument "sql_bad_connection"; no
  /// message holds any part of the string.
  static Result<PgTarget> Parse(const std::string& connection, const std::string& password);

  /// Keywords and values for PQconnectStartParams(), ending in null.
  [[nodiscard]] std::vector<const char*> keywords() const { return Column(&Option::first); }
  [[nodiscard]] std::vector<const char*> values() const { return Column(&Option::second); }

  /// `text` without the password.
  [[nodiscard]] std::string Redact(std::string text) const;

 private:
  using Option = std::pair<std::string, std::string>;

  void SetDefault(std::string_view keyword, std::string_view value);
  void Set(std::string_view keyword, std::string_view value);
  [[nodiscard]] const std::string* Find(std::string_view keyword) const;
  [[nodiscard]] std::vector<const char*> Column(std::string Option::* part) const;

  std::vector<Option> options_;
};

}  // namespace mezzo::drivers::internal
