#include "mezzo/api/classification.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

namespace mezzo::api {
namespace {

constexpr std::uint64_t kMaxRowElements = 1'000'000;

template <typename T>
T Load(BytesView row, std::size_t index) {
  T value{};
  std::memcpy(&value, row.data() + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void AppendTop(BytesView row, std::size_t top, const std::vector<std::string>& labels, std::string* out) {
  std::vector<std::size_t> order(row.size() / sizeof(T));
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto before = [row](std::size_t a, std::size_t b) {
    const T left = Load<T>(row, a);
    const T right = Load<T>(row, b);
    const bool left_number = left == left;
    const bool right_number = right == right;
    if (left_number != right_number) return left_number;
    if (left_number && left != right) return left > right;
    return a < b;
  };
  const std::size_t count = std::min(top, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(), before);
  for (std::size_t k = 0; k < count; ++k) {
    std::string text = std::to_string(Load<T>(row, order[k])) + ":" + std::to_string(order[k]);
    if (order[k] < labels.size() && !labels[order[k]].empty()) text += ":" + labels[order[k]];
    tensor::AppendBytesElement(*out, text);
  }
}

using Appender = void (*)(BytesView, std::size_t, const std::vector<std::string>&, std::string*);

Appender AppenderOf(tensor::DType dtype) {
  switch (dtype) {
    case tensor::DType::kUint8:
      return AppendTop<std::uint8_t>;
    case tensor::DType::kUint16:
      return AppendTop<std::uint16_t>;
    case tensor::DType::kUint32:
      return AppendTop<std::uint32_t>;
    case tensor::DType::kUint64:
      return AppendTop<std::uint64_t>;
    case tensor::DType::kInt8:
      return AppendTop<std::int8_t>;
    case tensor::DType::kInt16:
      return AppendTop<std::int16_t>;
    case tensor::DType::kInt32:
      return AppendTop<std::int32_t>;
    case tensor::DType::kInt64:
      return AppendTop<std::int64_t>;
    case tensor::DType::kFp32:
      return AppendTop<float>;
    case tensor::DType::kFp64:
      return AppendTop<double>;
    default:
      return nullptr;
  }
}

}  // namespace

Result<tensor::Tensor> Classify(std::string_view name, const tensor::Tensor& output, std::int64_t top,
                                bool batched, const std::vector<std::string>& labels) {
  const Appender append = AppenderOf(output.dtype);
  if (append == nullptr) {
    return InvalidArgument("classification_type", "class result not available for output '" +
                                                      std::string(name) + "' due to unsupported type '" +
                                                      std::string(tensor::DTypeName(output.dtype)) + "'");
  }
  const bool by_row = batched && output.shape.rank() > 0;
  const auto rows = by_row ? static_cast<std::uint64_t>(output.shape[0]) : 1;
  const std::uint64_t elements = output.data.size() / tensor::DTypeSize(output.dtype);
  const std::uint64_t row_elements = rows == 0 ? 0 : elements / rows;
  if (row_elements > kMaxRowElements) {
    return InvalidArgument("classification_size", "classification output tensor '" + std::string(name) +
                                                      "' too large: " + std::to_string(row_elements) +
                                                      " elements in a row, the limit is " +
                                                      std::to_string(kMaxRowElements));
  }

  const std::uint64_t kept =
      std::min<std::uint64_t>(static_cast<std::uint64_t>(std::max<std::int64_t>(top, 0)), row_elements);
  const std::uint64_t row_bytes = row_elements * tensor::DTypeSize(output.dtype);
  std::string text;
  for (std::uint64_t row = 0; row < rows; ++row) {
    append(output.data.view().subspan(row * row_bytes, row_bytes), kept, labels, &text);
  }
  tensor::Tensor classes{
      .dtype = tensor::DType::kBytes, .shape = {}, .data = SharedBytes::FromString(std::move(text))};
  if (by_row) static_cast<void>(classes.shape.Append(output.shape[0]));
  static_cast<void>(classes.shape.Append(static_cast<std::int64_t>(kept)));
  return classes;
}

}  // namespace mezzo::api
