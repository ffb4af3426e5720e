#include "mezzo/api/v2http/internal/json_tensor.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>

#include <fmt/format.h>

#include "mezzo/base/checked.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::v2http {
namespace {

std::string Quoted(std::string_view name) { return "'" + Printable(name) + "'"; }

/// Where elements go: typed memory of a known size.
template <typename T>
class NumberSink {
 public:
  NumberSink(std::byte* data, std::uint64_t count) : data_(data), count_(count) {}

  bool Take(JsonReader* reader) {
    if (taken_ == count_) {
      too_many_ = true;
      return false;
    }
    T value{};
    if (!Read(reader, &value)) return false;
    std::memcpy(data_ + taken_ * sizeof(T), &value, sizeof(T));
    ++taken_;
    return true;
  }

  /// Takes as many elements as go the fast way; 0 when the next one does not.
  std::size_t TakeRun(JsonReader* reader) {
    std::size_t count = 0;
    if constexpr (std::is_same_v<T, float>) {
      count = reader->ReadFloats(reinterpret_cast<float*>(data_) + taken_, count_ - taken_);
    } else if constexpr (std::is_same_v<T, double>) {
      count = reader->ReadDoubles(reinterpret_cast<double*>(data_) + taken_, count_ - taken_);
    }
    taken_ += count;
    return count;
  }

  [[nodiscard]] std::uint64_t taken() const { return taken_; }
  [[nodiscard]] bool too_many() const { return too_many_; }
  /// What was wrong with the element itself, if anything was.
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  bool Read(JsonReader* reader, T* out) {
    if constexpr (std::is_floating_point_v<T>) {
      return ReadReal(reader, out);
    } else {
      return ReadInteger(reader, out);
    }
  }

  bool ReadReal(JsonReader* reader, T* out) {
    double value = 0;
    if (reader->Peek() != JsonKind::kNumber) return Mismatch(reader, "non-number as double");
    if (!reader->ReadDouble(&value)) return false;
    *out = static_cast<T>(value);
    if constexpr (std::is_same_v<T, float>) {
      if (std::isinf(*out) && !std::isinf(value)) [[unlikely]]
        return OutOfRange(fmt::format("{}", value));
    }
    return true;
  }

  bool ReadInteger(JsonReader* reader, T* out) {
    constexpr bool kSigned = std::is_signed_v<T>;
    constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<T>::max());
    JsonNumber number;
    if (reader->Peek() != JsonKind::kNumber) {
      return Mismatch(reader, kSigned ? "non-signed-integer as signed-integer"
                                      : "non-unsigned-integer as unsigned-integer");
    }
    if (!reader->ReadNumber(&number)) return false;
    if (!number.integer) {
      problem_ = kSigned ? "attempt to access JSON non-signed-integer as signed-integer"
                         : "attempt to access JSON non-unsigned-integer as unsigned-integer";
      return false;
    }
    const std::uint64_t limit = number.negative ? (kSigned ? kMax + 1 : 0) : kMax;
    if (number.magnitude > limit) {
      return OutOfRange((number.negative ? "-" : "") + std::to_string(number.magnitude));
    }
    *out = static_cast<T>(number.negative ? ~number.magnitude + 1 : number.magnitude);
    return true;
  }

  bool Mismatch(JsonReader* reader, std::string_view what) {
    if (reader->Peek() == JsonKind::kNone) return reader->Skip();  // Not JSON at all: let the reader say so.
    problem_ = "attempt to access JSON " + std::string(what) + ": found " +
               std::string(JsonReader::KindName(reader->Peek()));
    return false;
  }
  bool OutOfRange(std::string value) {
    problem_ = "the value " + std::move(value) + " is out of range";
    return false;
  }

  std::byte* const data_;
  const std::uint64_t count_;
  std::uint64_t taken_ = 0;
  bool too_many_ = false;
  std::string problem_;
};

/// Booleans: true and false only, as Triton.
class BoolSink {
 public:
  BoolSink(std::byte* data, std::uint64_t count) : data_(data), count_(count) {}

  bool Take(JsonReader* reader) {
    if (taken_ == count_) {
      too_many_ = true;
      return false;
    }
    const JsonKind kind = reader->Peek();
    if (kind == JsonKind::kNone) return reader->Skip();
    if (kind != JsonKind::kBool) {
      problem_ =
          "attempt to access JSON non-boolean as boolean: found " + std::string(JsonReader::KindName(kind));
      return false;
    }
    bool value = false;
    if (!reader->ReadBool(&value)) return false;
    data_[taken_++] = static_cast<std::byte>(value ? 1 : 0);
    return true;
  }
  [[nodiscard]] std::uint64_t taken() const { return taken_; }
  [[nodiscard]] bool too_many() const { return too_many_; }
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  std::byte* const data_;
  const std::uint64_t count_;
  std::uint64_t taken_ = 0;
  bool too_many_ = false;
  std::string problem_;
};

/// Strings, in the protocol's form: a 32-bit length, then the bytes.
class BytesSink {
 public:
  BytesSink(std::uint64_t count, ByteCount max_bytes) : count_(count), max_bytes_(max_bytes) {
    // Each element is at least a length; the caller proved that so many fit into the text.
    text_.reserve(static_cast<std::size_t>(count) * sizeof(std::uint32_t));
  }

  bool Take(JsonReader* reader) {
    if (taken_ == count_) {
      too_many_ = true;
      return false;
    }
    const JsonKind kind = reader->Peek();
    if (kind == JsonKind::kNone) return reader->Skip();
    if (kind != JsonKind::kString) {
      problem_ =
          "attempt to access JSON non-string as string: found " + std::string(JsonReader::KindName(kind));
      return false;
    }
    std::string_view value;
    if (!reader->ReadString(&value)) return false;
    if (text_.size() + sizeof(std::uint32_t) + value.size() > max_bytes_) {
      problem_ = "the strings need more than the " + std::to_string(max_bytes_) + " bytes that are allowed";
      return false;
    }
    tensor::AppendBytesElement(text_, value);
    ++taken_;
    return true;
  }
  [[nodiscard]] std::uint64_t taken() const { return taken_; }
  [[nodiscard]] bool too_many() const { return too_many_; }
  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] std::string TakeText() { return std::move(text_); }

 private:
  const std::uint64_t count_;
  const ByteCount max_bytes_;
  std::uint64_t taken_ = 0;
  bool too_many_ = false;
  std::string problem_;
  std::string text_;
};

/// Depth is bounded by the reader.
template <typename Sink>
bool FillFromArray(JsonReader* reader, Sink* sink) {
  if (!reader->EnterArray()) return false;
  while (reader->NextElement()) {
    if constexpr (requires { sink->TakeRun(reader); }) {
      if (sink->TakeRun(reader) > 0) continue;
    }
    if (reader->Peek() == JsonKind::kArray) {
      if (!FillFromArray(reader, sink)) return false;
    } else if (!sink->Take(reader)) {
      return false;
    }
  }
  return !reader->failed();
}

struct Wanted {
  std::string_view name;
  tensor::DType dtype;
  std::uint64_t count;
  tensor::Shape shape;  ///< For messages.
};

template <typename Sink>
Result<void> Fill(JsonReader* reader, const Wanted& wanted, Sink* sink) {
  const bool filled = reader->Peek() == JsonKind::kArray ? FillFromArray(reader, sink) : sink->Take(reader);
  if (filled && sink->taken() == wanted.count) return {};
  const std::string need = "input " + Quoted(wanted.name) + " of shape " + wanted.shape.ToString() +
                           " needs " + std::to_string(wanted.count) + " elements, got ";
  if (sink->too_many()) {
    return InvalidArgument(
        "data_count",
        "Unable to parse 'data': Shape does not match true shape of 'data' field: " + need + "more");
  }
  if (!sink->problem().empty()) {
    return InvalidArgument("data_element", "Unable to parse 'data': " + sink->problem() + " (element " +
                                               std::to_string(sink->taken()) + " of input " +
                                               Quoted(wanted.name) + ", type " +
                                               std::string(tensor::DTypeName(wanted.dtype)) + ")");
  }
  if (reader->failed()) return reader->error();
  return InvalidArgument("data_count", "Failed to parse 'data' field: shape does not match true shape: " +
                                           need + std::to_string(sink->taken()));
}

template <typename T>
Result<SharedBytes> FillNumbers(JsonReader* reader, const Wanted& wanted) {
  const tensor::MutableBuffer buffer =
      tensor::AllocateBuffer(static_cast<std::size_t>(wanted.count) * sizeof(T));
  NumberSink<T> sink(buffer.data(), wanted.count);
  MEZZO_TRY_VOID(Fill(reader, wanted, &sink));
  return buffer.Share();
}

Result<SharedBytes> FillBools(JsonReader* reader, const Wanted& wanted) {
  const tensor::MutableBuffer buffer = tensor::AllocateBuffer(static_cast<std::size_t>(wanted.count));
  BoolSink sink(buffer.data(), wanted.count);
  MEZZO_TRY_VOID(Fill(reader, wanted, &sink));
  return buffer.Share();
}

Result<SharedBytes> FillStrings(JsonReader* reader, const Wanted& wanted, ByteCount budget) {
  BytesSink sink(wanted.count, budget);
  MEZZO_TRY_VOID(Fill(reader, wanted, &sink));
  return SharedBytes::FromString(sink.TakeText());
}

Result<SharedBytes> FillAny(JsonReader* reader, const Wanted& wanted, ByteCount budget) {
  switch (wanted.dtype) {
    case tensor::DType::kBool:
      return FillBools(reader, wanted);
    case tensor::DType::kUint8:
      return FillNumbers<std::uint8_t>(reader, wanted);
    case tensor::DType::kUint16:
      return FillNumbers<std::uint16_t>(reader, wanted);
    case tensor::DType::kUint32:
      return FillNumbers<std::uint32_t>(reader, wanted);
    case tensor::DType::kUint64:
      return FillNumbers<std::uint64_t>(reader, wanted);
    case tensor::DType::kInt8:
      return FillNumbers<std::int8_t>(reader, wanted);
    case tensor::DType::kInt16:
      return FillNumbers<std::int16_t>(reader, wanted);
    case tensor::DType::kInt32:
      return FillNumbers<std::int32_t>(reader, wanted);
    case tensor::DType::kInt64:
      return FillNumbers<std::int64_t>(reader, wanted);
    case tensor::DType::kFp32:
      return FillNumbers<float>(reader, wanted);
    case tensor::DType::kFp64:
      return FillNumbers<double>(reader, wanted);
    case tensor::DType::kBytes:
      return FillStrings(reader, wanted, budget);
    case tensor::DType::kFp16:
    case tensor::DType::kBf16:
      break;
  }
  return InvalidArgument("data_half",
                         "receiving " + std::string(tensor::DTypeName(wanted.dtype)) +
                             " data via JSON is not supported. Please use the binary data format for "
                             "input " +
                             Printable(wanted.name));
}

/// Elements that the shape asks for, in Triton's words when there are too many.
Result<std::uint64_t> CountElements(std::string_view name, tensor::DType dtype, const tensor::Shape& shape) {
  auto count = tensor::ElementCount(shape);
  if (!count.ok()) {
    return InvalidArgument("shape_overflow", "invalid shape for input " + Quoted(name) + ": shape " +
                                                 shape.ToString() +
                                                 " causes total element count to exceed maximum size of " +
                                                 std::to_string(std::numeric_limits<std::int64_t>::max()));
  }
  const std::uint64_t size =
      dtype == tensor::DType::kBytes ? sizeof(std::uint32_t) : tensor::DTypeSize(dtype);
  const auto bytes = CheckedMul(*count, size);
  if (!bytes || *bytes > std::numeric_limits<std::int64_t>::max()) {
    return InvalidArgument("shape_overflow",
                           "byte size overflow for input " + Quoted(name) + ": element count (" +
                               std::to_string(*count) + ") * data type size (" + std::to_string(size) +
                               ") exceeds maximum allowed size (" +
                               std::to_string(std::numeric_limits<std::int64_t>::max()) + ")");
  }
  return *count;
}

Result<SharedBytes> FillWithin(JsonReader* reader, const Wanted& wanted, ByteCount* budget) {
  const std::uint64_t size =
      wanted.dtype == tensor::DType::kBytes ? sizeof(std::uint32_t) : tensor::DTypeSize(wanted.dtype);
  // An element takes a byte at least, and a comma between two: more can't be there, so no memory is taken for
  // them.
  if (wanted.count > (reader->remaining() + 1) / 2) {
    return InvalidArgument("data_count",
                           "Failed to parse 'data' field: shape does not match true shape: input " +
                               Quoted(wanted.name) + " of shape " + wanted.shape.ToString() + " needs " +
                               std::to_string(wanted.count) + " elements, more than the " +
                               std::to_string(reader->remaining()) + " bytes that follow can hold");
  }
  if (wanted.count * size > *budget) {
    return InvalidArgument("data_too_large", "JSON input " + Quoted(wanted.name) + " has a byte_size (" +
                                                 std::to_string(wanted.count * size) +
                                                 " bytes) that exceeds the maximum allowed value of " +
                                                 std::to_string(*budget) + " bytes");
  }
  MEZZO_TRY(SharedBytes data, FillAny(reader, wanted, *budget));
  *budget -= data.size();
  return data;
}

}  // namespace

Result<tensor::Tensor> ReadJsonTensor(JsonReader* reader, std::string_view name, tensor::DType dtype,
                                      const tensor::Shape& shape, ByteCount* budget) {
  const JsonKind kind = reader->Peek();
  if (kind == JsonKind::kNone) return static_cast<void>(reader->Skip()), reader->error();
  if (kind != JsonKind::kArray) {
    return InvalidArgument("field_type",
                           "Unable to parse 'data': attempt to access JSON non-array as array (input " +
                               Quoted(name) + ", found " + std::string(JsonReader::KindName(kind)) + ")");
  }
  MEZZO_TRY(const std::uint64_t count, CountElements(name, dtype, shape));
  const Wanted wanted{.name = name, .dtype = dtype, .count = count, .shape = shape};
  MEZZO_TRY(SharedBytes data, FillWithin(reader, wanted, budget));
  return tensor::Tensor{.dtype = dtype, .shape = shape, .data = std::move(data)};
}

Result<SharedBytes> ReadJsonElements(JsonReader* reader, std::string_view name, tensor::DType dtype,
                                     ByteCount* budget, std::uint64_t* count) {
  const JsonReader::Mark start = reader->Here();
  *count = 1;
  if (reader->Peek() == JsonKind::kArray) {
    *count = 0;
    if (!reader->EnterArray()) return reader->error();
    while (reader->NextElement()) {
      if (!reader->Skip()) return reader->error();
      ++*count;
    }
    if (reader->failed()) return reader->error();
    reader->GoTo(start);
  }
  const Wanted wanted{
      .name = name, .dtype = dtype, .count = *count, .shape = {static_cast<std::int64_t>(*count)}};
  return FillWithin(reader, wanted, budget);
}

}  // namespace mezzo::api::v2http
