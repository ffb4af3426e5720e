#include "mezzo/inference/answer_text.h"

#include <cstdint>
#include <cstring>

#include "mezzo/tensor/tensor.h"

namespace mezzo::inference {
namespace {

constexpr std::string_view kMark = "MZA1";
constexpr std::uint32_t kMostOutputs = 4096;

template <typename Number>
void Put(std::string& out, Number number) {
  for (std::size_t i = 0; i < sizeof(Number); ++i) out.push_back(static_cast<char>(number >> (8 * i)));
}

void PutText(std::string& out, std::string_view text) {
  Put(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

/// Takes pieces off a text. After the first that is not there, `ok` is false and all pieces are empty.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool done() const { return ok_ && text_.empty(); }

  template <typename Number>
  Number Take() {
    const std::string_view bytes = Bytes(sizeof(Number));
    Number number = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      number |= static_cast<Number>(static_cast<Number>(static_cast<unsigned char>(bytes[i])) << (8 * i));
    }
    return number;
  }
  std::string_view Bytes(std::uint64_t count) {
    if (!ok_ || count > text_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view bytes = text_.substr(0, count);
    text_.remove_prefix(count);
    return bytes;
  }

 private:
  std::string_view text_;
  bool ok_ = true;
};

Error Broken(const char* what) {
  return Internal("answer_text", std::string("a stored answer can't be read: ") + what);
}

}  // namespace

std::string EncodeOutputs(const std::vector<NamedTensor>& outputs) {
  std::string out(kMark);
  Put(out, static_cast<std::uint32_t>(outputs.size()));
  for (const NamedTensor& output : outputs) {
    PutText(out, output.name);
    PutText(out, tensor::DTypeName(output.tensor.dtype));
    Put(out, static_cast<std::uint32_t>(output.tensor.shape.rank()));
    for (const std::int64_t dim : output.tensor.shape.dims()) Put(out, static_cast<std::uint64_t>(dim));
    Put(out, static_cast<std::uint64_t>(output.tensor.data.size()));
    out.append(reinterpret_cast<const char*>(output.tensor.data.view().data()), output.tensor.data.size());
  }
  return out;
}

Result<std::vector<NamedTensor>> DecodeOutputs(std::string_view text) {
  Reader in(text);
  if (in.Bytes(kMark.size()) != kMark) return Broken("it does not begin as one");
  const auto count = in.Take<std::uint32_t>();
  if (!in.ok() || count > kMostOutputs) return Broken("its number of outputs");
  std::vector<NamedTensor> outputs;
  for (std::uint32_t i = 0; i < count; ++i) {
    NamedTensor output;
    output.name = std::string(in.Bytes(in.Take<std::uint32_t>()));
    const auto dtype = tensor::ParseDType(in.Bytes(in.Take<std::uint32_t>()));
    const auto rank = in.Take<std::uint32_t>();
    if (!in.ok() || !dtype || rank > tensor::Shape::kMaxRank) return Broken("an output's type or rank");
    output.tensor.dtype = *dtype;
    for (std::uint32_t d = 0; d < rank; ++d) {
      if (!output.tensor.shape.Append(static_cast<std::int64_t>(in.Take<std::uint64_t>()))) {
        return Broken("an output's rank");
      }
    }
    const std::string_view data = in.Bytes(in.Take<std::uint64_t>());
    if (!in.ok()) return Broken("it ends too early");
    const tensor::MutableBuffer buffer = tensor::AllocateBuffer(data.size());
    if (!data.empty()) std::memcpy(buffer.data(), data.data(), data.size());
    output.tensor.data = buffer.Share();
    if (!tensor::CheckTensor(output.name, output.tensor).ok()) return Broken("an output's size");
    outputs.push_back(std::move(output));
  }
  if (!in.done()) return Broken("more follows it");
  return outputs;
}

}  // namespace mezzo::inference
