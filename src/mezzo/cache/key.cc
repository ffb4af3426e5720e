#include "mezzo/cache/key.h"

#include <algorithm>
#include <array>

namespace mezzo::cache {
namespace {

constexpr char kPurpose = 'P';
constexpr char kText = 'T';
constexpr char kBytes = 'B';
constexpr char kInteger = 'I';
constexpr char kMembers = 'M';

void AppendNumber(std::uint64_t number, std::string& out) {
  std::array<char, sizeof(number)> bytes;
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(number >> (8 * i));
  out.append(bytes.data(), bytes.size());
}

}  // namespace

KeyBuilder::KeyBuilder(std::string_view purpose, std::size_t expected) {
  text_.reserve(expected);
  Length(kPurpose, purpose.size());
  text_ += purpose;
}

KeyBuilder& KeyBuilder::Text(std::string_view text) {
  Length(kText, text.size());
  text_ += text;
  return *this;
}

KeyBuilder& KeyBuilder::Bytes(BytesView bytes) {
  Length(kBytes, bytes.size());
  text_ += AsText(bytes);
  return *this;
}

KeyBuilder& KeyBuilder::Integer(std::int64_t number) {
  text_.push_back(kInteger);
  AppendNumber(static_cast<std::uint64_t>(number), text_);
  return *this;
}

KeyBuilder& KeyBuilder::Members(std::vector<std::pair<std::string, std::string>> members) {
  std::sort(members.begin(), members.end());
  Length(kMembers, members.size());
  for (const auto& [name, value] : members) Text(name).Text(value);
  return *this;
}

CacheKey KeyBuilder::Finish() {
  const Sha256Digest digest = Sha256Of(AsBytes(text_));
  return {digest, std::make_shared<const std::string>(std::move(text_))};
}

void KeyBuilder::Length(char type, std::size_t length) {
  text_.push_back(type);
  AppendNumber(length, text_);
}

}  // namespace mezzo::cache
