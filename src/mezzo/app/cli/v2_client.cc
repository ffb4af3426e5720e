#include "mezzo/app/cli/v2_client.h"

#include <optional>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;
using Json = nlohmann::json;

constexpr std::uint64_t kMaxAnswer = std::uint64_t{1} << 30;
using Request = http::request<http::string_body>;

/// Starts one asynchronous operation and waits for it; the stream's own timer bounds it.
template <typename Start>
ErrorCode Await(asio::io_context& io, Start&& start) {
  ErrorCode result = asio::error::would_block;
  start([&result](const ErrorCode& error, auto&&...) { result = error; });
  io.restart();
  io.run();
  return result;
}

template <typename Stream>
ErrorCode Exchange(asio::io_context& io, Stream& stream, const Request& request,
                   http::response_parser<http::string_body>& answer) {
  if (const ErrorCode error = Await(io, [&](auto done) { http::async_write(stream, request, done); }))
    return error;
  beast::flat_buffer buffer;
  return Await(io, [&](auto done) { http::async_read(stream, buffer, answer, done); });
}

struct Peer {
  const ServerAddress& address;
  const std::string& ca_file;
  Duration timeout;
};

ErrorCode Open(asio::io_context& io, beast::tcp_stream& stream, const Peer& peer) {
  ErrorCode error;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(peer.address.host, peer.address.port, error);
  if (error) return error;
  stream.expires_after(peer.timeout);
  return Await(io, [&](auto done) { stream.async_connect(found, done); });
}

ErrorCode ExchangePlain(const Peer& peer, const Request& request,
                        http::response_parser<http::string_body>& answer) {
  asio::io_context io{1};
  beast::tcp_stream stream(io);
  if (const ErrorCode error = Open(io, stream, peer)) return error;
  return Exchange(io, stream, request, answer);
}

ErrorCode ExchangeTls(const Peer& peer, const Request& request,
                      http::response_parser<http::string_body>& answer) {
  asio::io_context io{1};
  asio::ssl::context tls(asio::ssl::context::tls_client);
  ErrorCode error;
  tls.set_verify_mode(asio::ssl::verify_peer);
  if (peer.ca_file.empty()) {
    tls.set_default_verify_paths(error);
  } else {
    tls.load_verify_file(peer.ca_file, error);
  }
  if (error) return error;
  beast::ssl_stream<beast::tcp_stream> stream(io, tls);
  stream.set_verify_callback(asio::ssl::host_name_verification(peer.address.host));
  SSL_set_tlsext_host_name(stream.native_handle(), peer.address.host.c_str());
  if (error = Open(io, stream.next_layer(), peer); error) return error;
  error = Await(io, [&](auto done) { stream.async_handshake(asio::ssl::stream_base::client, done); });
  if (error) return error;
  return Exchange(io, stream, request, answer);
}

Error BadAnswer(const std::string& what) {
  return Internal("bad_answer", "the server's answer is not what the protocol says: " + what);
}

/// "HTTP 503 (queue_full): message", from {"error": ...} of either the v2 or the OpenAI form.
Error Refusal(const HttpReply& reply) {
  std::string message;
  const Json body = Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
  if (body.is_object() && body.contains("error")) {
    const Json& error = body["error"];
    if (error.is_string()) message = error.get<std::string>();
    if (error.is_object() && error.contains("message") && error["message"].is_string()) {
      message = error["message"].get<std::string>();
    }
  }
  if (message.empty()) message = Printable(reply.body, 300);
  std::string text = "the server answered " + std::to_string(reply.status);
  if (const auto reason = reply.Header("X-Mezzo-Reason"); !reason.empty())
    text += " (" + std::string(reason) + ")";
  return {Code::kUnknown, "server_refused", message.empty() ? text : text + ": " + message};
}

Result<std::vector<TensorSignature>> ParseTensors(const Json& list) {
  std::vector<TensorSignature> tensors;
  for (const Json& item : list) {
    TensorSignature tensor;
    tensor.name = item.at("name").get<std::string>();
    const auto dtype = tensor::ParseDType(item.at("datatype").get<std::string>());
    if (!dtype)
      return BadAnswer("unknown datatype '" + Printable(item.at("datatype").get<std::string>()) + "'");
    tensor.dtype = *dtype;
    for (const Json& dim : item.at("shape")) {
      if (!tensor.shape.Append(dim.get<std::int64_t>()))
        return BadAnswer("a shape has more than 12 dimensions");
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

std::uint64_t DurationField(const Json& stats, const char* name, const char* field) {
  const auto found = stats.find(name);
  return found == stats.end() ? 0 : found->value(field, std::uint64_t{0});
}

/// Runs `parse`, turning what the JSON library throws about wrong types into an Error.
template <typename T, typename Parse>
Result<T> Guarded(std::string_view text, Parse parse) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return BadAnswer("not JSON: " + Printable(text, 80));
  try {
    return parse(json);
  } catch (const Json::exception& error) {
    return BadAnswer(error.what());
  }
}

}  // namespace

std::string_view HttpReply::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (EqualsIgnoreCase(key, name)) return value;
  }
  return {};
}

std::string ModelPath(std::string_view model, std::string_view version) {
  std::string path = "/v2/models/" + PercentEncode(model);
  if (!version.empty()) path += "/versions/" + PercentEncode(version);
  return path;
}

Result<V2Client> V2Client::Make(const ServerOptions& options) {
  V2Client client;
  MEZZO_TRY(client.address_, ParseUrl(options.url));
  MEZZO_TRY(client.key_, ReadKey(options.key_env));
  client.url_ = options.url;
  client.ca_file_ = options.ca_file;
  client.timeout_ = options.timeout;
  return client;
}

Result<HttpReply> V2Client::Call(std::string_view method, const std::string& path, const std::string& body,
                                 const Headers& headers) const {
  Request request;
  request.method_string({method.data(), method.size()});
  request.target(address_.prefix + path);
  request.set(http::field::host, address_.authority());
  request.set(http::field::user_agent, "mezzo");
  request.set(http::field::connection, "close");
  if (!key_.empty()) request.set(http::field::authorization, "Bearer " + key_);
  for (const auto& [name, value] : headers) request.set(name, value);
  request.body() = body;
  if (!body.empty() || method == "POST") request.prepare_payload();

  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxAnswer);
  const Peer peer{.address = address_, .ca_file = ca_file_, .timeout = timeout_};
  const ErrorCode error =
      address_.tls ? ExchangeTls(peer, request, parser) : ExchangePlain(peer, request, parser);
  if (error && !(error == http::error::end_of_stream && parser.is_done())) {
    const std::string what = error == beast::error::timeout ? "no answer in time" : error.message();
    return Unavailable("unreachable", url_ + ": " + what);
  }
  HttpReply reply;
  const auto& answer = parser.get();
  reply.status = static_cast<int>(answer.result_int());
  for (const auto& field : answer) {
    reply.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  }
  reply.body = std::move(parser.get().body());
  return reply;
}

Result<HttpReply> V2Client::CallOk(std::string_view method, const std::string& path, const std::string& body,
                                   const Headers& headers) const {
  MEZZO_TRY(HttpReply reply, Call(method, path, body, headers));
  if (reply.status < 200 || reply.status > 299) return Refusal(reply);
  return reply;
}

Result<ModelSignature> V2Client::Signature(const std::string& model, const std::string& version) const {
  MEZZO_TRY(const HttpReply reply, CallOk("GET", ModelPath(model, version)));
  return ParseSignature(reply.body);
}

Result<std::vector<ServerStatistics>> V2Client::Statistics(const std::string& model) const {
  MEZZO_TRY(const HttpReply reply,
            CallOk("GET", model.empty() ? "/v2/models/stats" : ModelPath(model, "") + "/stats"));
  return ParseStatistics(reply.body);
}

Result<ModelSignature> ParseSignature(std::string_view json) {
  return Guarded<ModelSignature>(json, [](const Json& body) -> Result<ModelSignature> {
    ModelSignature signature;
    signature.name = body.at("name").get<std::string>();
    signature.versions = body.value("versions", std::vector<std::string>());
    signature.platform = body.value("platform", "");
    MEZZO_TRY(signature.inputs, ParseTensors(body.at("inputs")));
    MEZZO_TRY(signature.outputs, ParseTensors(body.at("outputs")));
    return signature;
  });
}

Result<std::vector<ServerStatistics>> ParseStatistics(std::string_view json) {
  using List = std::vector<ServerStatistics>;
  return Guarded<List>(json, [](const Json& body) -> Result<List> {
    List all;
    for (const Json& item : body.at("model_stats")) {
      ServerStatistics one;
      one.model = item.at("name").get<std::string>();
      one.version = item.value("version", "");
      one.rows = item.value("inference_count", std::uint64_t{0});
      one.batches = item.value("execution_count", std::uint64_t{0});
      const Json stats = item.value("inference_stats", Json::object());
      one.successes = DurationField(stats, "success", "count");
      one.failures = DurationField(stats, "fail", "count");
      one.queue_ns = DurationField(stats, "queue", "ns");
      one.compute_ns = DurationField(stats, "compute_infer", "ns");
      for (const Json& memory : item.value("memory_usage", Json::array())) {
        one.memory_bytes += memory.value("byte_size", std::uint64_t{0});
      }
      all.push_back(std::move(one));
    }
    return all;
  });
}

}  // namespace mezzo::app::cli
