#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/base/clock.h"
#include "mezzo/base/fd.h"
#include "mezzo/drivers/s3/s3_options.h"
#include "mezzo/net/http_client.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::drivers::testing {

/// A MinIO on a free port of the loopback, with its data in a temporary folder; ends with the object, and
/// with the process. The binary is $MEZZO_MINIO, or the one that `./dev test` has built; without one the
/// test fails. One thread at a time.
class MinioServer {
 public:
  explicit MinioServer(const std::string& bucket = "bucket") : bucket_(bucket) {
    std::filesystem::create_directories(folder_.path() + "/data/" + bucket);  // A bucket, to MinIO.
    std::filesystem::create_directories(folder_.path() + "/spool");
    port_ = FreePort();
    Start();
  }
  ~MinioServer() { Stop(); }
  MinioServer(const MinioServer&) = delete;
  MinioServer& operator=(const MinioServer&) = delete;

  /// Starts it again on the same port and data, and waits until it answers.
  void Start() {
    const std::string binary = Binary();
    ASSERT_TRUE(std::filesystem::exists(binary))
        << "MinIO is not at " << binary << ": `./dev test` builds it, or set MEZZO_MINIO";
    const std::string address = "127.0.0.1:" + std::to_string(port_);
    const std::string data = folder_.path() + "/data";
    const std::vector<std::string> words = {binary, "server", "--quiet", "--address", address, data};
    const std::vector<std::string> settings = {"MINIO_ROOT_USER=mezzo",
                                               "MINIO_ROOT_PASSWORD=mezzo-secret",
                                               "MINIO_BROWSER=off",
                                               "MINIO_UPDATE=off",
                                               "MINIO_SITE_REGION=us-east-1",
                                               "MINIO_DOMAIN=localhost",
                                               "HOME=" + folder_.path(),
                                               "PATH=/usr/bin:/bin",
                                               "GOMAXPROCS=2"};
    std::vector<char*> arguments = Pointers(words);
    std::vector<char*> environment = Pointers(settings);
    pid_ = ::fork();
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) {
      // Only calls that are safe between fork and exec.
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::execve(arguments[0], arguments.data(), environment.data());
      ::_exit(127);
    }
    WaitUntilReady();
  }
  /// As a host that loses power: at once.
  void Stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
  }
  /// Connections are accepted by the kernel, but nothing answers until Resume().
  void Pause() const {
    ::kill(pid_, SIGSTOP);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WSTOPPED);  // Until all its threads stand.
  }
  void Resume() const { ::kill(pid_, SIGCONT); }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }
  /// For a store on it; with quick retries.
  [[nodiscard]] S3Options Options() const {
    S3Options options;
    options.endpoint = endpoint();
    options.private_network = true;
    options.bucket = bucket_;
    options.credentials = [] {
      return Result<S3Credentials>(
          S3Credentials{.access_key = "mezzo", .secret_key = "mezzo-secret", .session_token = ""});
    };
    options.archive_class = "REDUCED_REDUNDANCY";  // The one class that MinIO knows besides STANDARD.
    options.spool_folder = folder_.path() + "/spool";
    options.backoff = {.first = std::chrono::milliseconds(5), .longest = std::chrono::milliseconds(50)};
    return options;
  }

 private:
  static std::string Binary() {
    const char* given = std::getenv("MEZZO_MINIO");  // NOLINT(concurrency-mt-unsafe): before any thread.
    return given != nullptr ? given : MEZZO_MINIO;
  }
  static std::vector<char*> Pointers(const std::vector<std::string>& words) {
    std::vector<char*> pointers;
    pointers.reserve(words.size() + 1);
    for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
    pointers.push_back(nullptr);
    return pointers;
  }
  static std::uint16_t FreePort() {
    const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(fd.get(), generic, size) != 0 || ::getsockname(fd.get(), generic, &size) != 0) {
      ADD_FAILURE() << "no free port for MinIO";
    }
    return ntohs(address.sin_port);
  }
  void WaitUntilReady() {
    const RealClock clock;
    net::HttpClient::Options options;
    options.reach = net::AddressGuard::Reach::kPrivate;
    options.allow_http = true;
    net::HttpClient client(options, clock);
    net::ClientRequest request;
    request.url = endpoint() + "/minio/health/ready";
    const TimePoint end = clock.Now() + std::chrono::seconds(60);
    while (clock.Now() < end) {
      const auto response = client.Send(request, clock.Now() + std::chrono::seconds(2));
      if (response.ok() && response->status == 200) return;
      int status = 0;
      if (::waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        FAIL() << "MinIO ended with status " << status;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    FAIL() << "MinIO does not get ready";
  }

  const std::string bucket_;
  const storage::testing::TempDir folder_;
  std::uint16_t port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace mezzo::drivers::testing
