#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include "mezzo/app/cli/internal/response_parser.h"
#include "mezzo/app/cli/load_driver.h"

namespace mezzo::app::cli {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

constexpr Duration kReconnectDelay = std::chrono::milliseconds(50);
/// A connection that has idled this long may have been closed by the server.
constexpr Duration kIdle = std::chrono::milliseconds(50);
constexpr std::size_t kReadBuffer = std::size_t{16} * 1024;

class HttpLoad;
struct Lane;

/// One keep-alive connection: connecting, idle, or busy with one ticket.
class Connection {
 public:
  Connection(HttpLoad& load, Lane& lane, asio::io_context& io);

  void Open(const tcp::endpoint& peer);
  /// Writes the request and waits for its answer. The connection must be idle.
  void Send(const Ticket& ticket);
  /// Fails what is on its way if it was sent before `oldest`; the connection is opened again.
  void ExpireBefore(TimePoint oldest);

  [[nodiscard]] bool is_open() const { return state_ == State::kIdle || state_ == State::kBusy; }

 private:
  enum class State : std::uint8_t { kClosed, kConnecting, kIdle, kBusy };

  void OnConnected(std::uint64_t epoch, const ErrorCode& error);
  void StartWrite();
  void AwaitAnswer();
  void OnReadable();
  void OnBytes();
  void OnAnswered();
  /// The transport failed: tries the request once more if it can't have been seen, else fails it.
  void OnBroken(std::string_view what);
  void Reopen(bool at_once);
  void BecomeIdle();
  [[nodiscard]] std::string_view request() const;

  HttpLoad& load_;
  Lane& lane_;
  tcp::socket socket_;
  asio::steady_timer retry_;
  tcp::endpoint peer_;
  State state_ = State::kClosed;
  std::uint64_t epoch_ = 0;    // Counts sockets: a handler of an earlier one does nothing.
  std::uint64_t answers_ = 0;  // On this socket.
  TimePoint connected_{};
  std::optional<Ticket> ticket_;
  bool is_second_try_ = false;
  std::size_t written_ = 0;
  std::optional<ResponseParser> parser_;
  std::array<char, kReadBuffer> buffer_;
  std::size_t filled_ = 0;
  std::uint64_t received_ = 0;
};

/// A flow with its connections.
struct Lane {
  explicit Lane(HttpFlow of) : flow(std::move(of)) {}
  HttpFlow flow;
  tcp::endpoint peer;
  std::vector<std::unique_ptr<Connection>> connections;
  std::vector<Connection*> idle;
  std::string last_error;
  Duration timeout{};
};

class HttpLoad final : public LoadDriver {
 public:
  HttpLoad(std::vector<HttpFlow> flows, const Clock& clock) : clock_(clock), arrivals_(io_), sweep_(io_) {
    for (HttpFlow& flow : flows) {
      auto lane = std::make_unique<Lane>(std::move(flow));
      lane->timeout = lane->flow.run->options().timeout;
      for (std::size_t i = 0; i < lane->flow.connections; ++i) {
        lane->connections.push_back(std::make_unique<Connection>(*this, *lane, io_));
      }
      lanes_.push_back(std::move(lane));
    }
  }

  Result<void> Connect(Duration timeout) override;
  void Run() override;
  void Stop() override {
    asio::post(io_, [this] {
      for (auto& lane : lanes_) lane->flow.run->Stop(clock_.Now());
      EndIfFinished();
    });
  }

  [[nodiscard]] TimePoint Now() const { return clock_.Now(); }
  /// Gives idle connections the requests that are due.
  void Dispatch(Lane& lane);
  void Finish(Lane& lane, const Ticket& ticket, const Completion& completion);

 private:
  void OnArrivals();
  void ArmArrivals();
  void Sweep();
  void EndIfFinished();

  const Clock& clock_;
  asio::io_context io_{1};
  std::vector<std::unique_ptr<Lane>> lanes_;
  asio::steady_timer arrivals_;
  asio::steady_timer sweep_;
};

Connection::Connection(HttpLoad& load, Lane& lane, asio::io_context& io)
    : load_(load), lane_(lane), socket_(io), retry_(io) {}

std::string_view Connection::request() const {
  const auto& requests = lane_.flow.requests;
  return requests[ticket_->number % requests.size()];
}

void Connection::Open(const tcp::endpoint& peer) {
  peer_ = peer;
  state_ = State::kConnecting;
  answers_ = 0;
  filled_ = 0;
  socket_.async_connect(peer, [this, epoch = epoch_](const ErrorCode& error) { OnConnected(epoch, error); });
}

void Connection::OnConnected(std::uint64_t epoch, const ErrorCode& error) {
  if (epoch != epoch_) return;
  if (error) {
    lane_.last_error = error.message();
    OnBroken("connect: " + lane_.last_error);
    return;
  }
  ErrorCode ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  if (ticket_.has_value()) {  // A request whose first connection was closed by the server while idle.
    state_ = State::kBusy;
    StartWrite();
  } else {
    BecomeIdle();
  }
}

void Connection::BecomeIdle() {
  connected_ = load_.Now();
  state_ = State::kIdle;
  lane_.idle.push_back(this);
  load_.Dispatch(lane_);
}

void Connection::Send(const Ticket& ticket) {
  state_ = State::kBusy;
  ticket_ = ticket;
  is_second_try_ = false;
  StartWrite();
}

void Connection::StartWrite() {
  written_ = 0;
  received_ = 0;
  parser_.emplace();
  // Nearly every request fits into the socket's buffer: one system call, no trip through the reactor.
  ErrorCode error;
  const std::string_view bytes = request();
  written_ = socket_.write_some(asio::buffer(bytes.data(), bytes.size()), error);
  if (error && error != asio::error::would_block) return OnBroken("write: " + error.message());
  if (written_ == bytes.size()) return AwaitAnswer();
  asio::async_write(socket_, asio::buffer(bytes.data() + written_, bytes.size() - written_),
                    [this, epoch = epoch_](const ErrorCode& write_error, std::size_t count) {
                      if (epoch != epoch_) return;
                      written_ += count;
                      if (write_error) return OnBroken("write: " + write_error.message());
                      AwaitAnswer();
                    });
}

void Connection::AwaitAnswer() {
  // Not async_read_some: it would first try a read that can't succeed yet.
  socket_.async_wait(tcp::socket::wait_read, [this, epoch = epoch_](const ErrorCode& error) {
    if (epoch != epoch_) return;
    if (error) return OnBroken("read: " + error.message());
    OnReadable();
  });
}

void Connection::OnReadable() {
  ErrorCode error;
  const std::size_t count =
      socket_.read_some(asio::buffer(buffer_.data() + filled_, buffer_.size() - filled_), error);
  if (error == asio::error::would_block) return AwaitAnswer();
  if (error == asio::error::eof && parser_->got_some() && !parser_->is_done()) {
    parser_->put_eof(error);
    if (!error && parser_->is_done()) return OnAnswered();  // A body that ends with its connection.
    return OnBroken("read: connection closed inside an answer");
  }
  if (error) return OnBroken("read: " + error.message());
  filled_ += count;
  received_ += count;
  OnBytes();
}

void Connection::OnBytes() {
  std::size_t used = 0;
  while (used < filled_ && !parser_->is_done()) {
    ErrorCode error;
    used += parser_->put(asio::buffer(buffer_.data() + used, filled_ - used), error);
    if (error == boost::beast::http::error::need_more) break;
    if (error) return OnBroken("answer: " + error.message());
  }
  std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(used),
            buffer_.begin() + static_cast<std::ptrdiff_t>(filled_), buffer_.begin());
  filled_ -= used;
  if (parser_->is_done()) return OnAnswered();
  if (filled_ == buffer_.size()) return OnBroken("answer: its head is larger than 16 KiB");
  AwaitAnswer();
}

void Connection::OnAnswered() {
  ++answers_;
  const Ticket ticket = *std::exchange(ticket_, std::nullopt);
  Completion done{
      .kind = Completion::Kind::kOk, .detail = {}, .sent_bytes = written_, .received_bytes = received_};
  std::string refusal;
  if (parser_->status() < 200 || parser_->status() > 299) {
    done.kind = Completion::Kind::kRefused;
    refusal = std::to_string(parser_->status());
    if (!parser_->reason().empty()) refusal += " " + parser_->reason();
    done.detail = refusal;
  }
  const bool keep = parser_->keep_alive() && filled_ == 0;
  if (keep) {
    state_ = State::kIdle;
    lane_.idle.push_back(this);
  } else {
    Reopen(true);
  }
  load_.Finish(lane_, ticket, done);
}

void Connection::OnBroken(std::string_view what) {
  // The server may have closed what was idle just when the request was on its way.
  const bool was_idle = ticket_.has_value() && (answers_ > 0 || ticket_->sent - connected_ >= kIdle);
  if (was_idle && received_ == 0 && !is_second_try_) {
    is_second_try_ = true;
    Reopen(true);
    return;
  }
  const std::optional<Ticket> ticket = std::exchange(ticket_, std::nullopt);
  const Completion done{
      .kind = Completion::Kind::kFailed, .detail = what, .sent_bytes = written_, .received_bytes = received_};
  Reopen(false);
  if (ticket.has_value()) load_.Finish(lane_, *ticket, done);
}

void Connection::Reopen(bool at_once) {
  std::erase(lane_.idle, this);
  ++epoch_;
  ErrorCode ignored;
  socket_.close(ignored);
  if (at_once) return Open(peer_);
  state_ = State::kClosed;
  retry_.expires_after(kReconnectDelay);
  retry_.async_wait([this, epoch = epoch_](const ErrorCode& error) {
    if (!error && epoch == epoch_) Open(peer_);
  });
}

void Connection::ExpireBefore(TimePoint oldest) {
  if (!ticket_.has_value() || ticket_->sent > oldest) return;
  is_second_try_ = true;  // Its time is over.
  OnBroken("timeout");
}

Result<void> HttpLoad::Connect(Duration timeout) {
  tcp::resolver resolver(io_);
  for (auto& lane : lanes_) {
    ErrorCode error;
    const auto found = resolver.resolve(lane->flow.host, lane->flow.port, error);
    if (error || found.empty()) {
      return Unavailable("unreachable", "cannot resolve '" + lane->flow.host + "': " + error.message());
    }
    lane->peer = *found.begin();
    for (auto& connection : lane->connections) connection->Open(lane->peer);
  }
  const TimePoint give_up = clock_.Now() + timeout;
  const auto missing = [this](bool any) {
    return std::any_of(lanes_.begin(), lanes_.end(), [any](const auto& lane) {
      const auto open = [](const auto& connection) { return connection->is_open(); };
      return any ? std::none_of(lane->connections.begin(), lane->connections.end(), open)
                 : !std::all_of(lane->connections.begin(), lane->connections.end(), open);
    });
  };
  while (missing(false) && clock_.Now() < give_up) io_.run_one_for(std::chrono::milliseconds(10));
  if (!missing(true)) return {};
  for (const auto& lane : lanes_) {
    if (lane->idle.empty()) {
      return Unavailable("unreachable", lane->flow.host + ":" + lane->flow.port + ": " +
                                            (lane->last_error.empty() ? "no answer" : lane->last_error));
    }
  }
  return {};
}

void HttpLoad::Run() {
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // The default lets every timer be 50 µs late.
  io_.restart();
  OnArrivals();
  Sweep();
  io_.run();
}

void HttpLoad::Dispatch(Lane& lane) {
  while (!lane.idle.empty()) {
    const std::optional<Ticket> ticket = lane.flow.run->Take(clock_.Now());
    if (!ticket.has_value()) return;
    Connection* connection = lane.idle.back();
    lane.idle.pop_back();
    connection->Send(*ticket);
  }
}

void HttpLoad::Finish(Lane& lane, const Ticket& ticket, const Completion& completion) {
  lane.flow.run->Finish(ticket, completion, clock_.Now());
  Dispatch(lane);
}

void HttpLoad::OnArrivals() {
  const TimePoint now = clock_.Now();
  for (auto& lane : lanes_) {
    lane->flow.run->Advance(now);
    Dispatch(*lane);
  }
  ArmArrivals();
}

void HttpLoad::ArmArrivals() {
  TimePoint next = kNever;
  for (const auto& lane : lanes_) {
    const FlowRun& run = *lane->flow.run;
    next = std::min(next, run.next_arrival());
    if (clock_.Now() < run.start()) next = std::min(next, run.start());  // Closed loops begin there.
  }
  if (next == kNever) return;
  arrivals_.expires_at(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(next));
  arrivals_.async_wait([this](const ErrorCode& error) {
    if (!error) OnArrivals();
  });
}

void HttpLoad::Sweep() {
  const TimePoint now = clock_.Now();
  for (auto& lane : lanes_) {
    lane->flow.run->Advance(now);
    for (auto& connection : lane->connections) connection->ExpireBefore(now - lane->timeout);
  }
  EndIfFinished();
  sweep_.expires_after(std::chrono::milliseconds(20));
  sweep_.async_wait([this](const ErrorCode& error) {
    if (!error) Sweep();
  });
}

void HttpLoad::EndIfFinished() {
  const TimePoint now = clock_.Now();
  const bool finished = std::all_of(lanes_.begin(), lanes_.end(),
                                    [now](const auto& lane) { return lane->flow.run->Finished(now); });
  if (finished) io_.stop();
}

}  // namespace

std::unique_ptr<LoadDriver> NewHttpLoad(std::vector<HttpFlow> flows, const Clock& clock) {
  return std::make_unique<HttpLoad>(std::move(flows), clock);
}

}  // namespace mezzo::app::cli
