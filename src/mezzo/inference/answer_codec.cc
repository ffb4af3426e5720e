#include "mezzo/inference/answer_codec.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "mezzo/tensor/tensor.h"

namespace mezzo::inference {
namespace {

constexpr std::string_view kForm = "MZA1";
/// Far above what models have, and low enough that counts of nonsense take no memory.
constexpr std::uint64_t kMostParts = 4096;
constexpr std::uint64_t kLongestName = 65'536;

void Write(std::uint64_t number, std::string& out) {
  for (int shift = 0; shift < 64; shift += 8) out.push_back(static_cast<char>(number >> shift));
}

void Write(std::string_view text, std::string& out) {
  Write(text.size(), out);
  out += text;
}

/// Takes pieces off the front; once something was missing, everything is.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  std::string_view Take(std::uint64_t count) {
    if (count > rest_.size()) ok_ = false;
    if (!ok_) return {};
    const std::string_view piece = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return piece;
  }
  std::uint8_t Byte() {
    const std::string_view piece = Take(1);
    return piece.empty() ? 0 : static_cast<std::uint8_t>(piece[0]);
  }
  std::uint64_t Number() {
    const std::string_view piece = Take(8);
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < piece.size(); ++i) {
      number |= static_cast<std::uint64_t>(static_cast<unsigned char>(piece[i])) << (8 * i);
    }
    return number;
  }
  /// A number of at most `most`.
  std::uint64_t Count(std::uint64_t most) {
    const std::uint64_t count = Number();
    if (count > most) ok_ = false;
    return ok_ ? count : 0;
  }
  std::string_view Text(std::uint64_t most) { return Take(Count(most)); }
  std::string_view Text() { return Take(Number()); }

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool done() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

SharedBytes CopyOf(std::string_view text) {
  const tensor::MutableBuffer buffer = tensor::AllocateBuffer(text.size());
  if (!text.empty()) std::memcpy(buffer.data(), text.data(), text.size());
  return buffer.Share();
}

std::optional<NamedTensor> ReadOutput(Reader& in) {
  NamedTensor output;
  output.name = in.Text(kLongestName);
  const auto dtype = tensor::ParseDType(in.Text(kLongestName));
  if (!dtype) return std::nullopt;
  output.tensor.dtype = *dtype;
  const std::uint64_t rank = in.Count(tensor::Shape::kMaxRank);
  for (std::uint64_t i = 0; i < rank; ++i) {
    if (!output.tensor.shape.Append(static_cast<std::int64_t>(in.Number()))) return std::nullopt;
  }
  const std::string_view data = in.Text();
  if (!in.ok()) return std::nullopt;
  output.tensor.data = CopyOf(data);
  if (!tensor::CheckTensor(output.name, output.tensor).ok()) return std::nullopt;
  return output;
}

/// By ParameterValue's alternatives.
std::optional<ParameterValue> ReadValue(Reader& in) {
  switch (in.Byte()) {
    case 0: {
      const std::uint8_t flag = in.Byte();
      if (!in.ok() || flag > 1) return std::nullopt;
      return ParameterValue(flag == 1);
    }
    case 1:
      return ParameterValue(static_cast<std::int64_t>(in.Number()));
    case 2:
      return ParameterValue(std::bit_cast<double>(in.Number()));
    case 3:
      return ParameterValue(std::string(in.Text()));
    default:
      return std::nullopt;
  }
}

void WriteValue(const ParameterValue& value, std::string& out) {
  out.push_back(static_cast<char>(value.index()));
  if (const auto* flag = std::get_if<bool>(&value)) {
    out.push_back(*flag ? '\1' : '\0');
  } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
    Write(static_cast<std::uint64_t>(*number), out);
  } else if (const auto* real = std::get_if<double>(&value)) {
    Write(std::bit_cast<std::uint64_t>(*real), out);
  } else {
    Write(std::string_view(std::get<std::string>(value)), out);
  }
}

}  // namespace

std::string EncodeAnswer(const CachedAnswer& answer) {
  std::string out;
  out.reserve(answer.bytes());
  out += kForm;
  Write(answer.outputs().size(), out);
  for (const NamedTensor& output : answer.outputs()) {
    Write(std::string_view(output.name), out);
    Write(tensor::DTypeName(output.tensor.dtype), out);
    Write(output.tensor.shape.rank(), out);
    for (const std::int64_t dim : output.tensor.shape.dims()) Write(static_cast<std::uint64_t>(dim), out);
    Write(output.tensor.data.text(), out);
  }
  Write(answer.parameters().size(), out);
  for (const auto& [name, value] : answer.parameters()) {
    Write(std::string_view(name), out);
    WriteValue(value, out);
  }
  return out;
}

std::shared_ptr<const CachedAnswer> DecodeAnswer(std::string_view bytes, Duration cost) {
  Reader in(bytes);
  if (in.Take(kForm.size()) != kForm) return nullptr;
  std::vector<NamedTensor> outputs;
  for (std::uint64_t left = in.Count(kMostParts); left > 0; --left) {
    auto output = ReadOutput(in);
    if (!output.has_value()) return nullptr;
    outputs.push_back(*std::move(output));
  }
  Parameters parameters;
  for (std::uint64_t left = in.Count(kMostParts); left > 0; --left) {
    std::string name(in.Text(kLongestName));
    auto value = ReadValue(in);
    if (!value.has_value() || !in.ok()) return nullptr;
    parameters.emplace_back(std::move(name), *std::move(value));
  }
  if (!in.done()) return nullptr;
  return std::make_shared<const CachedAnswer>(std::move(outputs), std::move(parameters), cost);
}

}  // namespace mezzo::inference
