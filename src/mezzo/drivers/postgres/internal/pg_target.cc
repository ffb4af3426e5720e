#include "mezzo/drivers/postgres/internal/pg_target.h"

#include <algorithm>
#include <memory>

#include <libpq-fe.h>

namespace mezzo::drivers::internal {
namespace {

struct OptionsDeleter {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

/// Statements here take the first few of what may be millions, in the order of an index. Without statistics
/// (a new database, or a burst since the last ANALYZE) the planner believes in few rows and sorts them all.
constexpr std::string_view kPlanner = "-c enable_sort=off -c enable_bitmapscan=off -c jit=off";

}  // namespace

Result<PgTarget> PgTarget::Parse(const std::string& connection, const std::string& password) {
  char* problem = nullptr;
  const std::unique_ptr<PQconninfoOption, OptionsDeleter> parsed(
      PQconninfoParse(connection.c_str(), &problem));
  if (parsed == nullptr) {
    PQfreemem(problem);  // It may quote the password.
    return InvalidArgument("sql_bad_connection",
                           "the connection string of PostgreSQL is neither a URL "
                           "(postgresql://user@host:port/database) nor keywords (host=... dbname=...)");
  }
  PgTarget target;
  for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) target.Set(option->keyword, option->val);
  }
  if (!password.empty()) target.Set("password", password);
  target.Set("client_encoding", "UTF8");
  target.SetDefault("application_name", "mezzo");
  const std::string* own = target.Find("options");
  target.Set("options", std::string(kPlanner) + (own == nullptr ? "" : " " + *own));
  // A peer that is gone is noticed in about half a minute, also while nothing is sent.
  target.SetDefault("keepalives_idle", "15");
  target.SetDefault("keepalives_interval", "5");
  target.SetDefault("keepalives_count", "3");
  target.SetDefault("tcp_user_timeout", "15000");
  return target;
}

const std::string* PgTarget::Find(std::string_view keyword) const {
  const auto it = std::find_if(options_.begin(), options_.end(),
                               [&](const Option& option) { return option.first == keyword; });
  return it == options_.end() ? nullptr : &it->second;
}

void PgTarget::Set(std::string_view keyword, std::string_view value) {
  std::erase_if(options_, [&](const Option& option) { return option.first == keyword; });
  options_.emplace_back(keyword, value);
}

void PgTarget::SetDefault(std::string_view keyword, std::string_view value) {
  if (Find(keyword) == nullptr) Set(keyword, value);
}

std::vector<const char*> PgTarget::Column(std::string Option::* part) const {
  std::vector<const char*> column;
  column.reserve(options_.size() + 1);
  for (const Option& option : options_) column.push_back((option.*part).c_str());
  column.push_back(nullptr);
  return column;
}

std::string PgTarget::Redact(std::string text) const {
  const std::string* password = Find("password");
  if (password == nullptr || password->empty()) return text;
  for (std::size_t at = text.find(*password); at != std::string::npos; at = text.find(*password, at)) {
    text.replace(at, password->size(), "***");
    at += 3;
  }
  return text;
}

}  // namespace mezzo::drivers::internal
