#include "mezzo/app/cli/internal/model_transfer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/app/cli/internal/json_answers.h"
#include "mezzo/base/fd.h"
#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::size_t kBuffer = std::size_t{1} << 20;
constexpr int kTries = 5;
constexpr Duration kPause = std::chrono::milliseconds(300);

Error BadFolder(const std::string& message) { return InvalidArgument("model_folder", message); }
/// What the server said no to.
Error Refused(const std::string& message) { return {Code::kUnknown, "server_refused", message}; }

Result<Json> ObjectOf(const HttpReply& reply) {
  Json json = Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return BadAnswer(reply.body);
  return json;
}

Result<std::string> TextAt(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_string()) return BadAnswer(json.dump());
  return found->get<std::string>();
}
Result<std::uint64_t> NumberAt(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_number_unsigned()) return BadAnswer(json.dump());
  return found->get<std::uint64_t>();
}
Result<std::vector<std::string>> TextsAt(const Json& json, const char* name) {
  std::vector<std::string> texts;
  const auto found = json.find(name);
  if (found == json.end() || !found->is_array()) return BadAnswer(json.dump());
  for (const Json& entry : *found) {
    if (!entry.is_string()) return BadAnswer(json.dump());
    texts.push_back(entry.get<std::string>());
  }
  return texts;
}

Result<std::string> HashOf(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.ok()) return BadFolder("'" + Printable(path) + "' can't be read: " + std::strerror(errno));
  std::vector<std::byte> buffer(kBuffer);
  Sha256 hash;
  while (true) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return BadFolder("'" + Printable(path) + "' can't be read: " + std::strerror(errno));
    if (got == 0) return HexEncode(hash.Finish());
    hash.Update({buffer.data(), static_cast<std::size_t>(got)});
  }
}

/// A line that is written again and again, when standard error is a terminal.
class Progress {
 public:
  Progress(std::string what, std::uint64_t total)
      : what_(std::move(what)), total_(total), shown_(::isatty(STDERR_FILENO) != 0) {}
  ~Progress() {
    if (shown_ && drawn_) std::fputs("\n", stderr);
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Set(std::uint64_t done) {
    if (!shown_ || total_ == 0) return;
    drawn_ = true;
    constexpr std::size_t kWidth = 30;
    const double part = static_cast<double>(std::min(done, total_)) / static_cast<double>(total_);
    const auto full = static_cast<std::size_t>(part * kWidth);
    std::fputs(
        fmt::format("\r{} [{}{}] {:3.0f} %  {} of {} ", what_, std::string(full, '#'),
                    std::string(kWidth - full, '.'), 100 * part, FormatBytes(done), FormatBytes(total_))
            .c_str(),
        stderr);
    std::fflush(stderr);
  }

 private:
  const std::string what_;
  const std::uint64_t total_;
  const bool shown_;
  bool drawn_ = false;
};

std::string BlobPath(const std::string& sha256) { return "/v1/registry/blobs/" + sha256; }

/// Sends the rest of one content, from where the server has it.
Result<void> SendContent(const V2Client& client, const std::string& path, const std::string& sha256,
                         std::uint64_t size, const ModelOptions& options, std::uint64_t before,
                         Progress& progress) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return BadFolder("'" + Printable(path) + "' can't be read");
  std::string piece;
  int failures = 0;
  while (true) {
    // Asked each time that something went wrong: another push of the content may have got further.
    auto status = client.CallOk("GET", BlobPath(sha256));
    std::uint64_t received = 0;
    if (status.ok()) {
      MEZZO_TRY(const Json json, ObjectOf(*status));
      if (json.value("complete", false)) return {};
      MEZZO_TRY(received, NumberAt(json, "received"));
    } else if (status.error().reason() != "unreachable" || ++failures >= kTries) {
      return status.error();
    } else {
      std::this_thread::sleep_for(kPause * failures);
      continue;
    }
    bool again = false;
    while (!again) {
      const std::uint64_t count = std::min<std::uint64_t>(options.piece, size - received);
      piece.resize(count);
      file.clear();
      file.seekg(static_cast<std::streamoff>(received));
      if (count > 0 && !file.read(piece.data(), static_cast<std::streamsize>(count))) {
        return BadFolder("'" + Printable(path) + "' has become shorter");
      }
      V2Client::Headers headers = {{"Content-Type", "application/octet-stream"}};
      if (count < size) {
        headers.emplace_back("Content-Range",
                             fmt::format("bytes {}-{}/{}", received, received + count - 1, size));
      }
      auto sent = client.Call("PUT", BlobPath(sha256), piece, headers);
      if (sent.ok() && sent->status == 200) {
        MEZZO_TRY(const Json json, ObjectOf(*sent));
        MEZZO_TRY(received, NumberAt(json, "received"));
        progress.Set(before + received);
        if (json.value("complete", false)) return {};
        failures = 0;
        continue;
      }
      const bool lost = !sent.ok() && sent.error().reason() == "unreachable";
      const bool later = sent.ok() && (sent->status == 503 || sent->status == 429 ||
                                       sent->Header("X-Mezzo-Reason") == "registry_blob_range");
      if ((!lost && !later) || ++failures >= kTries) {
        if (!sent.ok()) return sent.error();
        return Refused("the server answered " + std::to_string(sent->status) + " to a piece of '" +
                       Printable(path) + "': " + Printable(sent->body, 300));
      }
      std::this_thread::sleep_for(kPause * failures);
      again = true;
    }
  }
}

Result<Json> TagsOf(const std::vector<std::string>& tags) {
  Json json = Json::object();
  for (const std::string& tag : tags) {
    const std::size_t equals = tag.find('=');
    if (equals == std::string::npos || equals == 0) {
      return InvalidArgument("model_tag", "a tag is KEY=VALUE, not '" + Printable(tag) + "'");
    }
    json[tag.substr(0, equals)] = tag.substr(equals + 1);
  }
  return json;
}

/// The model's row, made when there is none.
Result<void> MakeModel(const V2Client& client, const std::string& name) {
  MEZZO_TRY(const HttpReply known, client.Call("GET", RegistryPath(name)));
  if (known.status == 200) return {};
  const auto made = client.Call("POST", "/v1/registry/models", Json{{"name", name}}.dump());
  MEZZO_TRY_VOID(made);
  if (made->status == 201 || made->Header("X-Mezzo-Reason") == "registry_model_exists") return {};
  return Refused("the server answered " + std::to_string(made->status) + ": " + Printable(made->body, 300));
}

struct Begun {
  std::string version;
  std::vector<std::string> missing;
  bool resumed = false;
};

Result<Begun> BeginVersion(const V2Client& client, const ModelOptions& options,
                           const lifecycle::Manifest& manifest) {
  const std::string versions = RegistryPath(options.name) + "/versions";
  MEZZO_TRY(const HttpReply found,
            client.CallOk("GET", versions + "?state=uploading&limit=1&digest=" + manifest.Digest()));
  MEZZO_TRY(const Json half, ObjectOf(found));
  if (half.contains("data") && half["data"].is_array() && !half["data"].empty()) {
    MEZZO_TRY(const std::uint64_t number, NumberAt(half["data"][0], "version"));
    Begun begun{.version = std::to_string(number), .missing = {}, .resumed = true};
    MEZZO_TRY(const HttpReply rest,
              client.CallOk("GET", RegistryPath(options.name, begun.version) + "/missing"));
    MEZZO_TRY(const Json list, ObjectOf(rest));
    MEZZO_TRY(begun.missing, TextsAt(list, "data"));
    return begun;
  }
  Json files = Json::array();
  for (const auto& file : manifest.files()) {
    files.push_back({{"path", file.path}, {"sha256", file.sha256}, {"bytes", file.bytes}});
  }
  Json lineage = Json::object();
  if (!options.data.empty()) lineage["data"] = options.data;
  if (!options.code.empty()) lineage["code"] = options.code;
  if (!options.run_id.empty()) lineage["run_id"] = options.run_id;
  if (options.parent > 0) lineage["parent"] = options.parent;
  if (!options.metrics_file.empty()) {
    MEZZO_TRY(const std::string text, ReadFile(options.metrics_file));
    lineage["metrics"] = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!lineage["metrics"].is_object()) {
      return InvalidArgument("model_metrics",
                             "'" + Printable(options.metrics_file) + "' is not a JSON object");
    }
  }
  MEZZO_TRY(Json tags, TagsOf(options.tags));
  const Json body = {{"files", std::move(files)},
                     {"description", options.description},
                     {"stage", options.stage},
                     {"tags", std::move(tags)},
                     {"lineage", std::move(lineage)}};
  MEZZO_TRY(const HttpReply made, client.CallOk("POST", versions, body.dump()));
  MEZZO_TRY(const Json json, ObjectOf(made));
  MEZZO_TRY(const std::uint64_t number, NumberAt(json, "version"));
  Begun begun{.version = std::to_string(number), .missing = {}, .resumed = false};
  MEZZO_TRY(begun.missing, TextsAt(json, "missing"));
  return begun;
}

/// The version when it is neither being uploaded nor tested any more.
Result<Json> AwaitEnd(const V2Client& client, const ModelOptions& options, const std::string& version) {
  const RealClock clock;
  const TimePoint until = AddSaturating(clock.Now(), options.wait_limit);
  std::string told;
  while (true) {
    MEZZO_TRY(const HttpReply reply, client.CallOk("GET", RegistryPath(options.name, version)));
    MEZZO_TRY(Json json, ObjectOf(reply));
    MEZZO_TRY(const std::string state, TextAt(json, "state"));
    const std::string reason = json["reason"].is_string() ? json["reason"].get<std::string>() : "";
    if (state == "rejected") {
      return Refused(fmt::format("version {} was rejected: {}", version,
                                 reason.empty() ? "no reason was given" : reason));
    }
    if (state != "testing" && state != "uploading") return json;
    const std::string still =
        fmt::format("version {} is still {}{}{}", version, state, reason.empty() ? "" : ": ", reason);
    if (clock.Now() >= until) return Refused(still);
    if (!reason.empty() && reason != told) fmt::print(stderr, "{}\n", still);
    told = reason;
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace

std::string RegistryPath(const std::string& model, const std::string& version) {
  std::string path = "/v1/registry/models/" + PercentEncode(model);
  if (!version.empty()) path += "/versions/" + PercentEncode(version);
  return path;
}

Result<lifecycle::Manifest> ManifestOfFolder(const std::string& folder, std::size_t& left_out) {
  left_out = 0;
  std::error_code failed;
  const fs::path root(folder);
  if (!fs::is_directory(root, failed)) return BadFolder("'" + Printable(folder) + "' is not a folder");
  std::vector<lifecycle::ManifestFile> files;
  for (fs::recursive_directory_iterator at(root, failed), end; !failed && at != end; at.increment(failed)) {
    const std::string name = at->path().filename().string();
    const std::string path = at->path().lexically_relative(root).generic_string();
    if (name.starts_with('.') || name == "__pycache__") {
      ++left_out;
      at.disable_recursion_pending();
      continue;
    }
    std::error_code gone;
    if (at->is_symlink(gone)) {
      return BadFolder("'" + Printable(path) + "' is a symbolic link: put the file itself there");
    }
    if (at->is_directory(gone)) continue;
    if (!at->is_regular_file(gone)) return BadFolder("'" + Printable(path) + "' is not a regular file");
    MEZZO_TRY(std::string sha256, HashOf(at->path().string()));
    files.push_back({.path = path, .sha256 = std::move(sha256), .bytes = at->file_size(gone)});
    if (gone) return BadFolder("'" + Printable(path) + "' can't be read: " + gone.message());
  }
  if (failed) return BadFolder("'" + Printable(folder) + "' can't be read: " + failed.message());
  return lifecycle::Manifest::Make(std::move(files), {});
}

Result<void> PushModel(const V2Client& client, const ModelOptions& options) {
  std::size_t left_out = 0;
  MEZZO_TRY(const lifecycle::Manifest manifest, ManifestOfFolder(options.folder, left_out));
  if (left_out > 0) {
    std::fputs(fmt::format("mezzo model: {} hidden files or folders are left out\n", left_out).c_str(),
               stderr);
  }
  MEZZO_TRY_VOID(MakeModel(client, options.name));
  MEZZO_TRY(const Begun begun, BeginVersion(client, options, manifest));
  if (begun.resumed) {
    std::fputs(fmt::format("mezzo model: going on with version {}\n", begun.version).c_str(), stderr);
  }
  std::map<std::string, const lifecycle::ManifestFile*> by_content;
  for (const auto& file : manifest.files()) by_content.emplace(file.sha256, &file);
  std::uint64_t total = 0;
  for (const std::string& sha256 : begun.missing) {
    const auto at = by_content.find(sha256);
    if (at == by_content.end()) return BadAnswer(sha256);
    total += at->second->bytes;
  }
  std::uint64_t sent = 0;
  {
    Progress progress("pushing", total);
    for (const std::string& sha256 : begun.missing) {
      const lifecycle::ManifestFile& file = *by_content.at(sha256);
      MEZZO_TRY_VOID(
          SendContent(client, options.folder + "/" + file.path, sha256, file.bytes, options, sent, progress));
      sent += file.bytes;
      progress.Set(sent);
    }
  }
  const std::string path = RegistryPath(options.name, begun.version);
  MEZZO_TRY(const HttpReply done, client.CallOk("POST", path + "/complete", ""));
  MEZZO_TRY(Json version, ObjectOf(done));
  if (options.wait || !options.alias.empty()) {  // An alias points at ready versions alone.
    MEZZO_TRY(version, AwaitEnd(client, options, begun.version));
  }
  if (!options.alias.empty()) {
    const std::string alias = RegistryPath(options.name) + "/aliases/" + PercentEncode(options.alias);
    const Json body = {{"version", version["version"]}};
    MEZZO_TRY_VOID(client.CallOk("PUT", alias, body.dump()));
  }
  if (options.json) {
    std::printf("%s\n", version.dump().c_str());
    return {};
  }
  MEZZO_TRY(const std::string state, TextAt(version, "state"));
  std::printf("%s version %s is %s: %zu files, %s, %s sent, digest %s\n", options.name.c_str(),
              begun.version.c_str(), state.c_str(), manifest.files().size(),
              FormatBytes(manifest.bytes()).c_str(), FormatBytes(total).c_str(), manifest.Digest().c_str());
  return {};
}

namespace {

/// One file, in pieces, to `to`, which appears when it is whole and right.
Result<void> FetchFile(const V2Client& client, const std::string& from, const lifecycle::ManifestFile& file,
                       const std::string& to, const ModelOptions& options, std::uint64_t before,
                       Progress& progress) {
  const std::string part = to + ".part";
  const Fd fd(::open(part.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd.ok()) return BadFolder("'" + Printable(part) + "' can't be written: " + std::strerror(errno));
  Sha256 hash;
  std::uint64_t have = 0;
  while (have < file.bytes) {
    const std::uint64_t last = std::min(file.bytes, have + options.piece) - 1;
    const V2Client::Headers headers = {{"Range", fmt::format("bytes={}-{}", have, last)}};
    MEZZO_TRY(const HttpReply reply, client.CallOk("GET", from, "", headers));
    const std::string& body = reply.body;
    if (body.size() != last - have + 1) return BadAnswer("a piece has another size than was asked for");
    hash.Update(AsBytes(body));
    std::size_t put = 0;
    while (put < body.size()) {
      const ssize_t count = ::write(fd.get(), body.data() + put, body.size() - put);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return BadFolder("'" + Printable(part) + "' can't be written: " + std::strerror(errno));
      put += static_cast<std::size_t>(count);
    }
    have += body.size();
    progress.Set(before + have);
  }
  if (HexEncode(hash.Finish()) != file.sha256) {
    ::unlink(part.c_str());
    return Internal("bad_answer",
                    "'" + Printable(file.path) + "' came with another content than its SHA-256");
  }
  if (::rename(part.c_str(), to.c_str()) != 0) {
    return BadFolder("'" + Printable(to) + "' can't be written: " + std::strerror(errno));
  }
  return {};
}

}  // namespace

Result<void> PullModel(const V2Client& client, const ModelOptions& options) {
  const std::string asked = options.version.empty() ? "latest" : options.version;
  MEZZO_TRY(const HttpReply reply, client.CallOk("GET", RegistryPath(options.name, asked)));
  MEZZO_TRY(const Json version, ObjectOf(reply));
  MEZZO_TRY(const std::uint64_t number, NumberAt(version, "version"));
  std::vector<lifecycle::ManifestFile> files;
  if (!version.contains("files") || !version["files"].is_array()) return BadAnswer(reply.body);
  for (const Json& entry : version["files"]) {
    lifecycle::ManifestFile file;
    MEZZO_TRY(file.path, TextAt(entry, "path"));
    MEZZO_TRY(file.sha256, TextAt(entry, "sha256"));
    MEZZO_TRY(file.bytes, NumberAt(entry, "bytes"));
    files.push_back(std::move(file));
  }
  // A server may be wrong, too: no path leaves the folder.
  MEZZO_TRY(const lifecycle::Manifest manifest, lifecycle::Manifest::Make(std::move(files), {}));
  const std::string path = RegistryPath(options.name, std::to_string(number)) + "/contents/";
  Progress progress("pulling", manifest.bytes());
  std::uint64_t done = 0;
  std::uint64_t fetched = 0;
  for (const auto& file : manifest.files()) {
    const std::string to = options.folder + "/" + file.path;
    std::error_code failed;
    fs::create_directories(fs::path(to).parent_path(), failed);
    if (failed) return BadFolder("'" + Printable(to) + "' can't be written: " + failed.message());
    const auto have = fs::exists(to, failed) ? HashOf(to) : Result<std::string>(std::string());
    if (!have.ok() || *have != file.sha256) {
      MEZZO_TRY_VOID(FetchFile(client, path + file.sha256, file, to, options, done, progress));
      fetched += file.bytes;
    }
    done += file.bytes;
    progress.Set(done);
  }
  std::printf("%s version %llu: %zu files, %s fetched\n", options.name.c_str(),
              static_cast<unsigned long long>(number), manifest.files().size(), FormatBytes(fetched).c_str());
  return {};
}

}  // namespace mezzo::app::cli
