#include "mezzo/media/picture_header.h"

#include <string>

#include <gtest/gtest.h>

namespace mezzo::media {
namespace {

using namespace std::string_literals;

std::string Png(const std::string& width, const std::string& height) {
  return "\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR"s + width + height + "\x08\x02\0\0\0"s;
}

std::string Jpeg() {
  return "\xFF\xD8"
         "\xFF\xE0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0"  // APP0
         "\xFF\xC4\x00\x04\x00\x00"                  // A Huffman table: C4 is no frame header.
         "\xFF\xFF\xC2\x00\x11\x08\x01\x2C\x02\x58\x03"s +
         std::string(9, '\0');
}

std::string Webp(const std::string& chunk) { return "RIFF\x40\0\0\0WEBP"s + chunk; }

std::string Vp8(const std::string& size) { return Webp("VP8 \x20\0\0\0\x10\0\0\x9D\x01\x2A"s + size); }

FrameSize SizeIn(const std::string& file) {
  const auto header = ReadPictureHeader(AsBytes(file));
  EXPECT_TRUE(header.ok()) << header.error().ToString();
  return header.ok() ? header->size : FrameSize{};
}

std::string ErrorOf(const std::string& file) {
  const auto header = ReadPictureHeader(AsBytes(file));
  if (header.ok()) return "it was taken";
  EXPECT_EQ(header.error().reason(), "picture_invalid");
  return header.error().message();
}

TEST(PictureHeader, ReadsTheSizeOfEveryFormat) {
  EXPECT_EQ(SizeIn(Png("\0\0\x02\x58"s, "\0\0\x01\x2C"s)), (FrameSize{600, 300}));
  EXPECT_EQ(SizeIn(Jpeg()), (FrameSize{600, 300}));
  EXPECT_EQ(SizeIn(Vp8("\x58\x02\x2C\x41"s)), (FrameSize{600, 300})) << "two bits of each are a scale";
  EXPECT_EQ(SizeIn(Webp("VP8L\x10\0\0\0\x2F\x57\xC2\x4A\0"s)), (FrameSize{600, 300}));
  EXPECT_EQ(SizeIn(Webp("VP8X\x0A\0\0\0\x10\0\0\0\x57\x02\0\x2B\x01\0"s)), (FrameSize{600, 300}));
}

TEST(PictureHeader, KnowsTheFormatByItsFirstBytes) {
  EXPECT_EQ(ReadPictureHeader(AsBytes(Jpeg()))->format, PictureFormat::kJpeg);
  EXPECT_EQ(MediaType(PictureFormat::kWebp), "image/webp");
  EXPECT_EQ(ErrorOf("GIF89a..................."), "the picture is neither PNG, JPEG nor WebP");
  EXPECT_EQ(ErrorOf("<svg xmlns='http://www.w3.org/2000/svg'/>"),
            "the picture is neither PNG, JPEG nor WebP");
  EXPECT_EQ(ErrorOf(""), "the picture is neither PNG, JPEG nor WebP");
}

TEST(PictureHeader, RefusesHeadersCutShortAtEveryByte) {
  for (const std::string& file :
       {Png("\0\0\0\x01"s, "\0\0\0\x01"s).substr(0, 24), Jpeg().substr(0, 36), Vp8("\x01\x00\x01\x00"s),
        Webp("VP8L\x10\0\0\0\x2F\x57\xC2\x4A\0"s), Webp("VP8X\x0A\0\0\0\x10\0\0\0\x57\x02\0\x2B\x01\0"s)}) {
    EXPECT_NE(SizeIn(file), FrameSize{});
    for (std::size_t size = 0; size < file.size(); ++size) {
      EXPECT_NE(ErrorOf(file.substr(0, size)), "it was taken") << size;
    }
  }
}

TEST(PictureHeader, RefusesSizesThatCannotBe) {
  EXPECT_EQ(ErrorOf(Png("\0\0\0\0"s, "\0\0\0\x01"s)), "the picture's header says 0 x 1 pixels");
  EXPECT_EQ(ErrorOf(Png("\xFF\xFF\xFF\xFF"s, "\0\0\0\x01"s)),
            "the picture's header says 4294967295 x 1 pixels");
}

TEST(PictureHeader, RefusesAnimations) {
  EXPECT_EQ(ErrorOf(Webp("VP8X\x0A\0\0\0\x02\0\0\0\x57\x02\0\x2B\x01\0"s)),
            "the WebP picture is animated; only still pictures are taken");
}

TEST(PictureHeader, AJpegThatEndsInItsSegmentsHasNoSize) {
  EXPECT_EQ(ErrorOf("\xFF\xD8\xFF\xE0\x00\x01"s), "the JPEG picture has no frame header")
      << "a segment of length 1";
  EXPECT_EQ(ErrorOf("\xFF\xD8\xFF\xDA\x00\x08\0\0\0\0\0\0\xFF\xC0"s), "the JPEG picture has no frame header");
}

TEST(FormatOf, LooksAtTheFirstBytes) {
  EXPECT_EQ(FormatOf(AsBytes(Png("", ""))), PictureFormat::kPng);
  EXPECT_EQ(FormatOf(AsBytes(Jpeg())), PictureFormat::kJpeg);
  EXPECT_EQ(FormatOf(AsBytes(Webp("VP8 "))), PictureFormat::kWebp);
  for (const std::string& other : {"RIFF"s, "RIFF\0\0\0\0WAVE"s, "\x89PNG"s, "<svg/>"s, ""s}) {
    EXPECT_EQ(FormatOf(AsBytes(other)), std::nullopt) << other;
  }
}

}  // namespace
}  // namespace mezzo::media
