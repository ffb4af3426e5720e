#include "mezzo/app/cli/job_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/app/cli/internal/actions.h"
#include "mezzo/app/cli/internal/text_table.h"
#include "mezzo/app/cli/v2_client.h"
#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

using Action = JobOptions::Action;
using Json = nlohmann::ordered_json;

constexpr int kPollSeconds = 1;

Error BadAnswer(const std::string& what) {
  return Internal("bad_answer", "the server's answer is not a job: " + what);
}

/// Ids go into a path.
Result<void> CheckId(const std::string& id) {
  const bool plain = std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
  });
  if (plain) return {};
  return InvalidArgument("bad_job_id", "'" + Printable(id) + "' is not the id of a job");
}

Result<Json> ParseJob(std::string_view text) {
  Json job = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!job.is_object() || !job.contains("id") || !job.contains("status") || !job["status"].is_string()) {
    return BadAnswer(Printable(text, 200));
  }
  return job;
}

bool HasEnded(const Json& job) {
  const std::string status = job["status"];
  return status == "succeeded" || status == "failed" || status == "cancelled";
}

std::string PathOf(const JobOptions& options) { return "/v1/jobs/" + options.id; }

Result<void> Print(const std::string& text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  std::printf("%s\n", json.is_discarded() ? text.c_str() : json.dump(2).c_str());
  return {};
}

Result<void> List(const V2Client& client, const JobOptions& options) {
  std::string path = "/v1/jobs?limit=" + std::to_string(options.limit);
  if (!options.status.empty()) path += "&status=" + options.status;
  MEZZO_TRY(const HttpReply reply, client.CallOk("GET", path));
  if (options.json) return Print(reply.body);
  MEZZO_TRY(const std::string table, JobTable(reply.body));
  std::fputs(table.c_str(), stdout);
  return {};
}

Result<void> Submit(const V2Client& client, const JobOptions& options) {
  MEZZO_TRY(const std::string body, ReadFile(options.file));
  V2Client::Headers headers;
  if (!options.key.empty()) headers.emplace_back("Idempotency-Key", options.key);
  MEZZO_TRY(const HttpReply reply, client.CallOk("POST", "/v1/jobs", body, headers));
  if (options.json) return Print(reply.body);
  MEZZO_TRY(const Json job, ParseJob(reply.body));
  std::printf("%s\n", job["id"].get<std::string>().c_str());
  return {};
}

Result<void> Act(const JobOptions& options) {
  MEZZO_TRY_VOID(CheckId(options.id));
  MEZZO_TRY_VOID(CheckId(options.status));
  MEZZO_TRY(const V2Client client, V2Client::Make(options.server));
  switch (options.action) {
    case Action::kList:
      return List(client, options);
    case Action::kSubmit:
      return Submit(client, options);
    case Action::kWatch:
      return WatchJob(client, options.id);
    case Action::kShow: {
      MEZZO_TRY(const HttpReply reply, client.CallOk("GET", PathOf(options)));
      return Print(reply.body);
    }
    case Action::kCancel:
    case Action::kRetry: {
      const bool cancel = options.action == Action::kCancel;
      MEZZO_TRY(const HttpReply reply,
                client.CallOk("POST", PathOf(options) + (cancel ? "/cancel" : "/retry"), "{}"));
      if (options.json) return Print(reply.body);
      MEZZO_TRY(const Json job, ParseJob(reply.body));
      std::printf("%s %s\n", job["id"].get<std::string>().c_str(), job["status"].get<std::string>().c_str());
      return {};
    }
  }
  return {};
}

}  // namespace

Result<void> WatchJob(const V2Client& client, const std::string& id) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  std::string shown;
  while (true) {
    MEZZO_TRY(const HttpReply reply,
              client.CallOk("GET", "/v1/jobs/" + id + "?wait=" + std::to_string(kPollSeconds)));
    MEZZO_TRY(const Json job, ParseJob(reply.body));
    MEZZO_TRY(const std::string line, ProgressLine(reply.body));
    if (line != shown) std::printf(terminal ? "\r\033[K%s" : "%s\n", line.c_str());
    std::fflush(stdout);
    shown = line;
    if (!HasEnded(job)) continue;
    if (terminal) std::printf("\n");
    if (job["status"] == "succeeded") return {};
    const std::string why = job["error"].is_object() ? job["error"].value("message", "") : "";
    return Error(Code::kUnknown, "server_refused",
                 "the job " + job["status"].get<std::string>() + ": " + why);
  }
}

Result<std::string> JobTable(std::string_view text) {
  const Json page = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!page.is_object() || !page.contains("data") || !page["data"].is_array()) return BadAnswer("no list");
  if (page["data"].empty()) return std::string("no jobs\n");
  TextTable table({"JOB", "KIND", "MODEL", "TIER", "STATUS", "PROGRESS", "ATTEMPT", "CREATED", "ERROR"},
                  /*all_left=*/true);
  for (const Json& job : page["data"]) {
    MEZZO_TRY_VOID(ParseJob(job.dump()));
    const Json error = job.value("error", Json());
    table.Add({job.value("id", ""), job.value("kind", ""), job.value("model", ""), job.value("tier", ""),
               job.value("status", ""), fmt::format("{:.0f} %", 100 * job.value("progress", 0.0)),
               std::to_string(job.value("attempt", 0)), job.value("created_at", ""),
               error.is_object() ? error.value("code", "") : ""});
  }
  return table.ToString();
}

Result<std::string> ProgressLine(std::string_view text) {
  constexpr int kWidth = 20;
  MEZZO_TRY(const Json job, ParseJob(text));
  const double progress = std::clamp(job.value("progress", 0.0), 0.0, 1.0);
  const auto full = static_cast<std::size_t>(progress * kWidth);
  return fmt::format("[{}{}] {:3.0f} %  {}  {}", std::string(full, '#'), std::string(kWidth - full, '.'),
                     100 * progress, job.value("status", ""), job.value("stage", ""));
}

CLI::App* AddJobCommand(CLI::App& app, JobOptions& options) {
  CLI::App* command = app.add_subcommand("job", "Submits, lists, watches, cancels and retries durable jobs");
  AddServerOptions(*command, options.server);
  command->add_flag("--json", options.json, "Print the server's answer as it is");
  command->require_subcommand(0, 1);
  command->fallthrough();
  const internal::Actions add(*command, options.action);
  CLI::App* list = add("list", "The newest jobs (what `mezzo job` alone does)", Action::kList);
  list->add_option("--limit", options.limit, "How many")->check(CLI::Range(1, 100));
  list->add_option("--status", options.status, "Only jobs of this status");
  CLI::App* submit = add("submit", "Queues a job and prints its id", Action::kSubmit);
  submit->add_option("FILE", options.file, "JSON as for POST /v1/jobs; - is standard input")->required();
  submit->add_option("--key", options.key, "Idempotency-Key");
  for (const auto& [name, about, action] :
       {std::tuple{"show", "One job as JSON", Action::kShow},
        {"watch", "Follows a job to its end", Action::kWatch},
        {"cancel", "Cancels a job", Action::kCancel},
        {"retry", "Queues a failed or cancelled job again", Action::kRetry}}) {
    add(name, about, action)->add_option("JOB", options.id, "Id of the job")->required();
  }
  return command;
}

int RunJobCommand(const JobOptions& options) {
  const auto done = Act(options);
  return done.ok() ? static_cast<int>(ExitCode::kOk) : FailWith("job", done.error());
}

}  // namespace mezzo::app::cli
