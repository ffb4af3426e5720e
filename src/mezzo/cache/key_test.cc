#include "mezzo/cache/key.h"

#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace mezzo::cache {
namespace {

TEST(KeyBuilder, EqualPiecesMakeEqualKeys) {
  const auto make = [] { return KeyBuilder("infer").Text("m").Integer(-3).Bytes(AsBytes("xy")).Finish(); };
  EXPECT_EQ(make(), make());
  EXPECT_EQ(make().fingerprint(), make().fingerprint());
  EXPECT_EQ(make().Digest(), Sha256Of(AsBytes(make().text())));
}

TEST(KeyBuilder, TheOrderOfMembersDoesNotMatterAndThatOfPiecesDoes) {
  EXPECT_EQ(KeyBuilder("p").Members({{"a", "1"}, {"b", "2"}}).Finish(),
            KeyBuilder("p").Members({{"b", "2"}, {"a", "1"}}).Finish());
  EXPECT_FALSE(KeyBuilder("p").Text("a").Text("b").Finish() == KeyBuilder("p").Text("b").Text("a").Finish());
}

TEST(KeyBuilder, PiecesCantBeTakenForOthers) {
  const std::vector<CacheKey> keys = {
      KeyBuilder("p").Finish(),
      KeyBuilder("q").Finish(),
      KeyBuilder("p").Text("").Finish(),
      KeyBuilder("p").Bytes({}).Finish(),
      KeyBuilder("p").Text("ab").Finish(),
      KeyBuilder("p").Bytes(AsBytes("ab")).Finish(),
      KeyBuilder("p").Text("a").Text("b").Finish(),
      KeyBuilder("p").Integer(0).Finish(),
      KeyBuilder("p").Members({}).Finish(),
      KeyBuilder("p").Members({{"a", "b"}}).Finish(),
      KeyBuilder("p").Members({}).Text("a").Text("b").Finish(),
      KeyBuilder("p").Members({{"a", "b"}}).Members({}).Finish(),
      KeyBuilder("p").Members({{"a", "b"}, {"", ""}}).Finish(),
  };
  for (std::size_t i = 0; i < keys.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_FALSE(keys[i] == keys[j]) << i << " " << j;
      EXPECT_NE(keys[i].fingerprint(), keys[j].fingerprint()) << i << " " << j;
      EXPECT_NE(keys[i].Digest(), keys[j].Digest()) << i << " " << j;
    }
  }
}

/// A sequence of pieces as its makers see it: for equality, not for the key's form.
using Pieces = std::vector<std::vector<std::string>>;

CacheKey KeyOf(const Pieces& pieces) {
  KeyBuilder builder("property");
  for (const auto& piece : pieces) {
    if (piece[0] == "t") builder.Text(piece[1]);
    if (piece[0] == "b") builder.Bytes(AsBytes(piece[1]));
    if (piece[0] == "i") builder.Integer(static_cast<std::int64_t>(piece[1].size()));
    if (piece[0] == "m") {
      std::vector<std::pair<std::string, std::string>> members;
      for (std::size_t i = 1; i + 1 < piece.size(); i += 2) members.emplace_back(piece[i], piece[i + 1]);
      builder.Members(members);
    }
  }
  return builder.Finish();
}

TEST(KeyBuilder, NoTwoSequencesOfPiecesCollide) {
  // Short pieces of few letters, type letters and zeros among them: what would collide if anything did.
  std::mt19937_64 random(7);
  const std::string letters("TBIMP\0\1a", 8);
  const auto word = [&] {
    std::string text;
    for (std::uint64_t left = random() % 4; left > 0; --left) text += letters[random() % letters.size()];
    return text;
  };
  std::map<std::string, Pieces> seen;
  for (int round = 0; round < 40'000; ++round) {
    Pieces pieces(random() % 4);
    for (auto& piece : pieces) {
      const char* const types[] = {"t", "b", "i", "m"};
      piece = {types[random() % 4]};
      if (piece[0] == "i") {
        piece.emplace_back(random() % 4, 'x');
      } else if (piece[0] == "m") {
        std::map<std::string, std::string> members;  // Sorted, so that equal members are equal pieces.
        for (std::uint64_t left = random() % 3; left > 0; --left) members[word()] = word();
        for (const auto& [name, value] : members) piece.insert(piece.end(), {name, value});
      } else {
        piece.push_back(word());
      }
    }
    const auto [it, added] = seen.try_emplace(std::string(KeyOf(pieces).text()), pieces);
    if (!added) ASSERT_EQ(it->second, pieces);
  }
  EXPECT_GT(seen.size(), 10'000U);
}

}  // namespace
}  // namespace mezzo::cache
