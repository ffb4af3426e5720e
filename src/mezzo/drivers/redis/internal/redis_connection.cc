#include "mezzo/drivers/redis/internal/redis_connection.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "mezzo/base/check.h"

namespace mezzo::drivers::internal {
namespace {

constexpr int kMaxElements = 65'536;  // Of one array; we never ask for more than 1,024 at a time.
constexpr std::size_t kShaDigits = 40;

/// hiredis' own functions, but an array that claims more elements than we could have asked for is refused
/// before memory is taken for it.
redisReplyObjectFunctions& LimitedFunctions(redisReplyObjectFunctions* own) {
  static redisReplyObjectFunctions* const original = own;
  static redisReplyObjectFunctions limited = [] {
    redisReplyObjectFunctions functions = *original;
    functions.createArray = [](const redisReadTask* task, int elements) -> void* {
      return elements > kMaxElements ? nullptr : original->createArray(task, elements);
    };
    return functions;
  }();
  return limited;
}

struct AddressesDeleter {
  void operator()(addrinfo* addresses) const { ::freeaddrinfo(addresses); }
};

void SetNumber(int fd, int level, int name, int value) {
  (void)::setsockopt(fd, level, name, &value, sizeof(value));
}

/// A peer that is gone is noticed in about half a minute, also while nothing is sent.
void Tune(int fd) {
  SetNumber(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetNumber(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetNumber(fd, IPPROTO_TCP, TCP_KEEPIDLE, 15);
  SetNumber(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);
  SetNumber(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

bool IsScriptId(std::string_view text) {
  return text.size() == kShaDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

std::string_view TextOf(const redisReply& reply) {
  const bool text = reply.type == REDIS_REPLY_STRING || reply.type == REDIS_REPLY_STATUS;
  return text ? std::string_view(reply.str, static_cast<std::size_t>(reply.len)) : std::string_view();
}

std::string ErrorWordOf(const redisReply& reply) {
  constexpr std::size_t kMaxWord = 24;
  const std::string_view text(reply.str, static_cast<std::size_t>(reply.len));
  const std::string_view word = text.substr(0, text.find(' '));
  const bool good = !word.empty() && word.size() <= kMaxWord &&
                    std::all_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  return good ? std::string(word) : "an error";
}

RedisConnection::RedisConnection(const RedisTarget& target, Options options)
    : place_(target.Place()), options_(std::move(options)), reader_(redisReaderCreate()) {
  MEZZO_CHECK(reader_ != nullptr);
  reader_->fn = &LimitedFunctions(reader_->fn);
}

RedisConnection::~RedisConnection() { redisReaderFree(reader_); }

Error RedisConnection::Broken(std::string_view why) const {
  return Unavailable("kv_unavailable", "Redis at " + place_ + ": " + std::string(why));
}

Error RedisConnection::Nonsense(std::string_view why) const {
  return Internal("kv_failed", "Redis at " + place_ + " answers nonsense: " + std::string(why));
}

Result<std::unique_ptr<RedisConnection>> RedisConnection::Begin(const RedisTarget& target, Options options) {
  std::unique_ptr<RedisConnection> made(new RedisConnection(target, std::move(options)));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(target.host.c_str(), std::to_string(target.port).c_str(), &hints, &found);
  if (failed != 0) return made->Broken(::gai_strerror(failed));
  const std::unique_ptr<addrinfo, AddressesDeleter> addresses(found);
  int number = EHOSTUNREACH;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    Fd fd(::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.ok()) {
      number = errno;
      continue;
    }
    Tune(fd.get());
    if (::connect(fd.get(), address->ai_addr, address->ai_addrlen) == 0 || errno == EINPROGRESS) {
      made->fd_ = std::move(fd);
      made->SendHandshake(target);
      return made;
    }
    number = errno;
  }
  return made->Broken(std::strerror(number));
}

void RedisConnection::SendHandshake(const RedisTarget& target) {
  if (!target.password.empty()) {
    ++handshake_left_;
    if (target.user.empty()) {
      Send({"AUTH", target.password});
    } else {
      Send({"AUTH", target.user, target.password});
    }
  }
  if (target.database != 0) {
    ++handshake_left_;
    Send({"SELECT", std::to_string(target.database)});
  }
  ++handshake_left_;
  Send({"PING"});
  for (const std::string& script : options_.scripts) {
    ++handshake_left_;
    Send({"SCRIPT", "LOAD", script});
  }
}

short RedisConnection::events() const {
  const bool writes = !connected_ || written_ < out_.size();
  return static_cast<short>(writes ? POLLIN | POLLOUT : POLLIN);
}

Result<void> RedisConnection::OnReady() {
  if (!connected_) {
    pollfd one{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
    if (::poll(&one, 1, 0) == 0) return {};
    int number = 0;
    socklen_t size = sizeof(number);
    if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &number, &size) != 0) number = errno;
    if (number != 0) return Broken(std::strerror(number));
    connected_ = true;
  }
  MEZZO_TRY_VOID(Flush());
  MEZZO_TRY_VOID(Read());
  return Shake();
}

void RedisConnection::Send(const std::vector<std::string_view>& words) {
  std::vector<const char*> texts;
  std::vector<std::size_t> sizes;
  texts.reserve(words.size());
  sizes.reserve(words.size());
  for (const std::string_view word : words) {
    texts.push_back(word.data());
    sizes.push_back(word.size());
  }
  char* wire = nullptr;
  const int size = redisFormatCommandArgv(&wire, static_cast<int>(words.size()), texts.data(), sizes.data());
  MEZZO_CHECK(size >= 0);
  out_.append(wire, static_cast<std::size_t>(size));
  redisFreeCommand(wire);
}

Result<void> RedisConnection::Flush() {
  if (!connected_) return {};
  while (written_ < out_.size()) {
    const ssize_t sent =
        ::send(fd_.get(), out_.data() + written_, out_.size() - written_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (sent < 0) return Broken(std::strerror(errno));
    written_ += static_cast<std::size_t>(sent);
  }
  out_.clear();
  written_ = 0;
  constexpr std::size_t kKept = 1U << 20;
  if (out_.capacity() > kKept) out_.shrink_to_fit();
  return {};
}

Result<void> RedisConnection::Read() {
  constexpr int kPieces = 16;  // Others want their turn.
  std::array<char, 65'536> piece;
  for (int i = 0; i < kPieces; ++i) {
    const ssize_t got = ::recv(fd_.get(), piece.data(), piece.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (got < 0) return Broken(std::strerror(errno));
    if (got == 0) return Broken("the connection was closed");
    unparsed_ += static_cast<std::size_t>(got);
    if (redisReaderFeed(reader_, piece.data(), static_cast<std::size_t>(got)) != REDIS_OK) {
      return Nonsense(reader_->errstr);
    }
    if (static_cast<std::size_t>(got) < piece.size()) return {};
  }
  return {};
}

Result<RedisReply> RedisConnection::Next() {
  void* reply = nullptr;
  if (redisReaderGetReply(reader_, &reply) != REDIS_OK) return Nonsense("it is no RESP, or too much of it");
  if (reply != nullptr) {
    unparsed_ = reader_->len - reader_->pos;
    return RedisReply(static_cast<redisReply*>(reply));
  }
  if (unparsed_ > options_.max_answer_bytes) return Nonsense("an answer is too long");
  return RedisReply();
}

Result<void> RedisConnection::Shake() {
  while (handshake_left_ > 0) {
    MEZZO_TRY(const RedisReply reply, Next());
    if (reply == nullptr) return {};
    if (reply->type == REDIS_REPLY_ERROR) return Broken("it does not let us in: " + ErrorWordOf(*reply));
    const std::string_view text = TextOf(*reply);
    if (handshake_left_ > options_.scripts.size()) {
      const bool ping = handshake_left_ == options_.scripts.size() + 1;
      if (text != (ping ? "PONG" : "OK")) return Nonsense("the greeting");
    } else {
      if (!IsScriptId(text)) return Nonsense("the name of a script");
      script_ids_.emplace_back(text);
    }
    --handshake_left_;
  }
  return {};
}

}  // namespace mezzo::drivers::internal
