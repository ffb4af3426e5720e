// Question: what does the server cost per request, beside what the kernel does for the same bytes?
// Budget: at least 0.6 of the requests per second of nginx `return 200` on the same cores (measured with an
// outside load generator against `--serve PORT`; the loop here only watches for regressions).

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>

#include <benchmark/benchmark.h>

#include "mezzo/net/http_server.h"
#include "mezzo/observe/metrics.h"

namespace mezzo::net {
namespace {

class Trivial final : public HttpHandler {
 public:
  explicit Trivial(std::string answer = "ok") : answer_(std::move(answer)) {}
  [[nodiscard]] BodyPlan PlanBody(const HttpRequest&) const override { return {}; }
  runtime::Task<HttpResponse> Handle(runtime::Context, HttpRequest*) override {
    HttpResponse response;
    response.content_type = "text/plain";
    response.text = answer_;
    co_return response;
  }

 private:
  const std::string answer_;
};

class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) std::abort();
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void Exchange(const std::string& request) {
    if (::send(fd_, request.data(), request.size(), 0) != static_cast<ssize_t>(request.size())) std::abort();
    if (::recv(fd_, buffer_, sizeof(buffer_), 0) <= 0) std::abort();
  }

 private:
  int fd_;
  char buffer_[4096] = {};
};

void BM_SmallPost(benchmark::State& state) {
  runtime::IoThreads threads(1);
  observe::Registry registry;
  Trivial handler;
  HttpServer server({}, handler, threads, registry);
  if (!server.Listen("127.0.0.1", 0).ok()) std::abort();
  Client client(server.port());
  const std::string body(static_cast<std::size_t>(state.range(0)), 'x');
  const std::string request =
      "POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  for (auto _ : state) client.Exchange(request);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_SmallPost)->Arg(0)->Arg(1024)->Arg(65536)->UseRealTime();

int Serve(std::uint16_t port, std::size_t loops, std::size_t answer) {
  runtime::IoThreads threads(loops);
  observe::Registry registry;
  Trivial handler(std::string(answer, 'x'));
  HttpServer server({}, handler, threads, registry);
  if (const auto listening = server.Listen("127.0.0.1", port); !listening.ok()) {
    std::cerr << listening.error().ToString() << "\n";
    return 1;
  }
  while (true) ::pause();
}

}  // namespace
}  // namespace mezzo::net

int main(int argc, char** argv) {
  // --serve PORT LOOPS [BYTES of an answer]: until a signal ends it.
  if ((argc == 4 || argc == 5) && std::string(argv[1]) == "--serve") {
    return mezzo::net::Serve(static_cast<std::uint16_t>(std::atoi(argv[2])),
                             static_cast<std::size_t>(std::atoi(argv[3])),
                             argc == 5 ? static_cast<std::size_t>(std::atoi(argv[4])) : 2);
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
