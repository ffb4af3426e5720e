#include "mezzo/api/grpc/internal/typed_contents.h"

#include <cstring>
#include <limits>
#include <string>

#include "mezzo/api/grpc/internal/wire_parameter.h"
#include "mezzo/api/grpc/internal/wire_reader.h"

namespace mezzo::api::rpc {
namespace {

using tensor::DType;

constexpr std::uint32_t kFields = 8;
constexpr std::uint32_t kBytesField = 8;

/// The wire type of one element of a field of InferTensorContents.
WireType ElementType(std::uint32_t field) {
  if (field == 6) return WireType::kFixed32;
  if (field == 7) return WireType::kFixed64;
  return field == kBytesField ? WireType::kBytes : WireType::kVarint;
}

/// The field that holds elements of a type; 0: none does.
std::uint32_t FieldOf(DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return 1;
    case DType::kInt8:
    case DType::kInt16:
    case DType::kInt32:
      return 2;
    case DType::kInt64:
      return 3;
    case DType::kUint8:
    case DType::kUint16:
    case DType::kUint32:
      return 4;
    case DType::kUint64:
      return 5;
    case DType::kFp32:
      return 6;
    case DType::kFp64:
      return 7;
    case DType::kBytes:
      return 8;
    case DType::kFp16:
    case DType::kBf16:
      return 0;
  }
  return 0;
}

std::string_view FieldTypeName(std::uint32_t field) {
  static constexpr std::string_view kNames[] = {"BOOL",   "INT32", "INT64", "UINT32",
                                                "UINT64", "FP32",  "FP64",  "BYTES"};
  return kNames[field - 1];
}

/// Calls `visit(reader)` at each element of the fields; packed and single ones alike. `visit` reads one
/// element and returns false to stop. Returns false when the bytes are malformed or `visit` stopped.
template <typename Visit>
bool ForEachElement(BytesView contents, Visit visit) {
  WireReader reader(contents);
  while (reader.remaining() > 0) {
    std::uint32_t field = 0;
    WireType type{};
    if (!reader.ReadTag(&field, &type)) return false;
    const bool known = field <= kFields;
    if (known && type == ElementType(field)) {
      if (!visit(field, reader)) return false;
    } else if (known && field != kBytesField && type == WireType::kBytes) {
      std::size_t length = 0;
      if (!reader.ReadLength(&length)) return false;
      const std::size_t behind = reader.remaining() - length;
      while (reader.remaining() > behind) {
        if (!visit(field, reader)) return false;
      }
      if (reader.remaining() != behind) return false;  // An element ran over the end of its field.
    } else if (!reader.SkipField(type)) {
      return false;
    }
  }
  return true;
}

struct Survey {
  std::uint64_t elements = 0;
  std::uint64_t text_bytes = 0;
  std::uint32_t wrong_field = 0;
  bool several = false;
};

/// Counts the elements of `field` and sees whether there are others.
Result<Survey> SurveyContents(BytesView contents, std::uint32_t field) {
  Survey survey;
  const bool sound = ForEachElement(contents, [&](std::uint32_t found, WireReader& reader) {
    const std::size_t before = reader.remaining();
    if (!reader.SkipField(ElementType(found))) return false;
    if (found != field) {
      survey.wrong_field = found;
      return true;
    }
    ++survey.elements;
    if (field == kBytesField) survey.text_bytes += before - reader.remaining();
    return true;
  });
  if (!sound) return Malformed("contents");
  survey.several = survey.wrong_field != 0 && survey.elements != 0;
  return survey;
}

template <typename T, typename Wire>
bool Store(std::uint64_t raw, std::byte*& out) {
  const auto value = static_cast<Wire>(raw);
  if constexpr (sizeof(T) < sizeof(Wire)) {
    if (value < std::numeric_limits<T>::min() || value > std::numeric_limits<T>::max()) return false;
  }
  const T narrow = static_cast<T>(value);
  std::memcpy(out, &narrow, sizeof(T));
  out += sizeof(T);
  return true;
}

bool StoreVarint(DType dtype, std::uint64_t raw, std::byte*& out) {
  switch (dtype) {
    case DType::kBool:
      return Store<std::uint8_t, std::uint8_t>(raw != 0 ? 1 : 0, out);
    case DType::kInt8:
      return Store<std::int8_t, std::int32_t>(raw, out);
    case DType::kInt16:
      return Store<std::int16_t, std::int32_t>(raw, out);
    case DType::kInt32:
      return Store<std::int32_t, std::int32_t>(raw, out);
    case DType::kInt64:
      return Store<std::int64_t, std::int64_t>(raw, out);
    case DType::kUint8:
      return Store<std::uint8_t, std::uint32_t>(raw, out);
    case DType::kUint16:
      return Store<std::uint16_t, std::uint32_t>(raw, out);
    case DType::kUint32:
      return Store<std::uint32_t, std::uint32_t>(raw, out);
    default:
      return Store<std::uint64_t, std::uint64_t>(raw, out);
  }
}

std::string Whose(const ContentsOf& whose) {
  return "input tensor " + Quoted(whose.input) + " for model " + Quoted(whose.model);
}

/// How many bytes the tensor takes.
Result<ByteCount> CheckSurvey(const Survey& survey, DType dtype, const tensor::Shape& shape,
                              const ContentsOf& whose) {
  const std::string type(tensor::DTypeName(dtype));
  if (survey.several) {
    return InvalidArgument("contents_type", "unexpected explicit tensor data for " + Whose(whose) +
                                                ", binary data was already supplied.");
  }
  if (survey.wrong_field != 0) {
    return InvalidArgument("contents_type", "unexpected explicit tensor data for " + Whose(whose) +
                                                " of type '" +
                                                std::string(FieldTypeName(survey.wrong_field)) +
                                                "', expected datatype '" + type + "'");
  }
  MEZZO_TRY(const std::uint64_t expected, tensor::ElementCount(shape));
  if (survey.elements != expected) {
    return InvalidArgument("tensor_size", "input " + Quoted(whose.input) + " of type " + type +
                                              " and shape " + shape.ToString() + " needs " +
                                              std::to_string(expected) + " elements, got " +
                                              std::to_string(survey.elements));
  }
  ByteCount bytes = 0;
  if (dtype == DType::kBytes) {
    bytes = survey.text_bytes +
            survey.elements * sizeof(std::uint32_t);  // At most: the wire's lengths are in it.
  } else {
    MEZZO_TRY(bytes, tensor::ByteSize(dtype, shape));
  }
  if (bytes > whose.budget) {
    return InvalidArgument("data_too_large", "input " + Quoted(whose.input) + " takes " +
                                                 std::to_string(bytes) +
                                                 " bytes, the limit that is left of the request's is " +
                                                 std::to_string(whose.budget));
  }
  return bytes;
}

SharedBytes CollectText(BytesView contents, ByteCount at_most) {
  std::string text;
  text.reserve(at_most);
  WireScratch scratch;  // Stays empty: the contents lie in one piece.
  ForEachElement(contents, [&](std::uint32_t, WireReader& reader) {
    std::string_view element;
    if (!reader.ReadText(&scratch, &element)) return false;
    tensor::AppendBytesElement(text, element);
    return true;
  });
  return SharedBytes::FromString(std::move(text));
}

}  // namespace

Result<SharedBytes> DecodeContents(BytesView contents, DType dtype, const tensor::Shape& shape,
                                   const ContentsOf& whose) {
  const std::uint32_t field = FieldOf(dtype);
  MEZZO_TRY(const Survey survey, SurveyContents(contents, field));
  if (field == 0) {
    return InvalidArgument("contents_type", "datatype '" + std::string(tensor::DTypeName(dtype)) + "' of " +
                                                Whose(whose) +
                                                " has no form in contents: use raw_input_contents");
  }
  MEZZO_TRY(const ByteCount bytes, CheckSurvey(survey, dtype, shape, whose));
  if (dtype == DType::kBytes) return CollectText(contents, bytes);

  const tensor::MutableBuffer buffer = tensor::AllocateBuffer(bytes);
  std::byte* out = buffer.data();
  const std::size_t element = tensor::DTypeSize(dtype);
  const bool fits = ForEachElement(contents, [&](std::uint32_t, WireReader& reader) {
    if (field >= 6) {
      reader.CopyTo(out, element);
      out += element;
      return true;
    }
    std::uint64_t raw = 0;
    return reader.ReadVarint(&raw) && StoreVarint(dtype, raw, out);
  });
  if (!fits) {
    return InvalidArgument(
        "contents_value",
        "element " + std::to_string(static_cast<std::size_t>(out - buffer.data()) / element) + " of " +
            Whose(whose) + " is beyond the range of " + std::string(tensor::DTypeName(dtype)));
  }
  return buffer.Share();
}

}  // namespace mezzo::api::rpc
