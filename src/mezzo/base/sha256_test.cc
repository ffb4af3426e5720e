#include "mezzo/base/sha256.h"

#include <string>

#include <gtest/gtest.h>

#include "mezzo/base/strings.h"

namespace mezzo {
namespace {

// FIPS 180-4's example, and the one of a million letters.
TEST(Sha256, GivesThePublishedDigests) {
  EXPECT_EQ(HexEncode(Sha256Of(AsBytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HexEncode(Sha256Of(AsBytes(std::string(1'000'000, 'a')))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesGiveTheDigestOfTheWhole) {
  const std::string text(1000, 'x');

  Sha256 sha;
  for (std::size_t at = 0; at < text.size(); at += 7)
    sha.Update(AsBytes(std::string_view(text).substr(at, 7)));

  EXPECT_EQ(sha.Finish(), Sha256Of(AsBytes(text)));
}

TEST(Sha256, IsAsNewAfterFinish) {
  Sha256 sha;
  sha.Update(AsBytes("first"));
  (void)sha.Finish();

  sha.Update(AsBytes("abc"));

  EXPECT_EQ(sha.Finish(), Sha256Of(AsBytes("abc")));
}

// RFC 4231, test cases 1, 2 and 6 (a key longer than a block).
TEST(HmacSha256, GivesThePublishedDigests) {
  EXPECT_EQ(HexEncode(HmacSha256(std::string(20, '\x0b'), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(HexEncode(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(HexEncode(HmacSha256(std::string(131, '\xaa'),
                                 "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(ParseSha256, TakesWhatSha256HexGivesAndNothingElse) {
  const std::string hex = Sha256Hex("abc");
  EXPECT_EQ(ParseSha256(hex), Sha256Of(AsBytes("abc")));
  EXPECT_EQ(ParseSha256(hex.substr(1)), std::nullopt);
  EXPECT_EQ(ParseSha256(std::string(63, 'a') + "G"), std::nullopt);
  EXPECT_EQ(ParseSha256(std::string(63, 'a') + "A"), std::nullopt);
}

}  // namespace
}  // namespace mezzo
