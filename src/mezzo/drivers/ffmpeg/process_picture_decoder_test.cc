#include "mezzo/drivers/ffmpeg/process_picture_decoder.h"

#include <string>

#include <gtest/gtest.h>

#include "mezzo/base/sanitizers.h"
#include "mezzo/base/strings.h"
#include "mezzo/drivers/ffmpeg/picture_child.h"
#include "mezzo/drivers/ffmpeg/vips_picture_codec.h"
#include "mezzo/media/testing/test_pictures.h"

namespace mezzo::drivers {
namespace {

using media::FrameSize;
using media::PictureFormat;
using media::RgbaPicture;
using media::testing::DrawTestCard;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr PictureFormat kFormats[] = {PictureFormat::kPng, PictureFormat::kJpeg, PictureFormat::kWebp};

class UntrustedPictureTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if constexpr (kThreadSanitizer) {
      GTEST_SKIP() << "ThreadSanitizer writes a file when the child starts, which the child may not";
    }
  }
  static ProcessPictureDecoder::Options OptionsOf(std::vector<std::string> command = {MEZZO_PICTURE_CHILD}) {
    ProcessPictureDecoder::Options options;
    options.command = std::move(command);
    return options;
  }
  std::string Encode(const RgbaPicture& picture, PictureFormat format) {
    auto file = codec_->Encode(picture, format, 90);
    EXPECT_TRUE(file.ok()) << file.error().ToString();
    return file.ok() ? *file : "";
  }
  Result<RgbaPicture> Decode(const std::string& file, ProcessPictureDecoder::Options options = OptionsOf(),
                             FrameSize fit = {}) {
    ProcessPictureDecoder decoder(std::move(options), clock_);
    return decoder.Decode(AsBytes(file), fit, clock_.Now() + seconds(60));
  }
  std::string ErrorOf(const std::string& file, ProcessPictureDecoder::Options options = OptionsOf()) {
    const auto decoded = Decode(file, std::move(options));
    return decoded.ok() ? "it was taken" : decoded.error().reason() + ": " + decoded.error().message();
  }

  RealClock clock_;
  Result<VipsPictureCodec> codec_ = VipsPictureCodec::Create();
};

TEST_F(UntrustedPictureTest, AChildDecodesWhatTheCodecWould) {
  const RgbaPicture card = DrawTestCard({301, 200}, 2);
  for (const PictureFormat format : kFormats) {
    const std::string file = Encode(card, format);
    const auto here = codec_->Decode(AsBytes(file), {}, {150, 100});

    const auto there = Decode(file, OptionsOf(), {150, 100});

    ASSERT_TRUE(there.ok()) << there.error().ToString();
    ASSERT_EQ(there->size(), here->size());
    for (int y = 0; y < here->size().height; ++y) {
      ASSERT_TRUE(std::equal(here->row(y), here->row(y) + here->stride(), there->row(y))) << y;
    }
  }
}

TEST_F(UntrustedPictureTest, LimitsOfTheFileAreExactAndStartNoProcess) {
  const std::string file = Encode(DrawTestCard({100, 50}, 1), PictureFormat::kPng);
  auto options = OptionsOf();
  options.limits.max_pixels = 5000;
  EXPECT_EQ(ErrorOf(file, options), "it was taken");

  options.command = {"/no/such/program"};
  options.limits.max_pixels = 4999;
  EXPECT_EQ(ErrorOf(file, options),
            "picture_too_large: the picture has 100 x 50 = 5000 pixels; the limit is 4999");
  options.limits = {.max_side = 99};
  EXPECT_EQ(ErrorOf(file, options), "picture_too_large: the picture is 100 x 50; a side may have 99 pixels");
  options.limits = {.max_bytes = 10};
  EXPECT_EQ(ErrorOf(file, options),
            "picture_too_large: the picture has " + std::to_string(file.size()) + " bytes; the limit is 10");
  options.limits = {};
  EXPECT_EQ(ErrorOf("GIF89a..........", options),
            "picture_invalid: the picture is neither PNG, JPEG nor WebP");
}

TEST_F(UntrustedPictureTest, DamagedPicturesOfEveryFormatAreInvalid) {
  for (const PictureFormat format : kFormats) {
    const std::string file = Encode(DrawTestCard({300, 200}, 2), format);
    EXPECT_EQ(ErrorOf(file.substr(0, file.size() / 2)).substr(0, 15), "picture_invalid");
    std::string scrambled = file;
    for (std::size_t i = file.size() / 3; i < file.size() / 2; ++i) scrambled[i] = static_cast<char>(i * 37);
    const std::string error = ErrorOf(scrambled).substr(0, 15);
    EXPECT_TRUE(error == "picture_invalid" || (format != PictureFormat::kPng && error.starts_with("it was")))
        << error;
  }
}

constexpr const char* kUnmeasurable =
    "sanitizers need several times the memory, and end a process that has none or no time left their own way";

TEST_F(UntrustedPictureTest, APictureThatNeedsMoreMemoryThanAllowedIsTooCostly) {
  if constexpr (kSanitized) GTEST_SKIP() << kUnmeasurable;
  for (const PictureFormat format : kFormats) {
    // 64 MB of pixels in a file of some kilobytes: within the limits of its header.
    const std::string file = Encode(RgbaPicture({4000, 4000}), format);
    ASSERT_LT(file.size(), 1'000'000U);
    for (const std::uint64_t mebibytes : {1, 9, 40}) {
      auto options = OptionsOf();
      options.max_memory = mebibytes << 20U;
      EXPECT_EQ(ErrorOf(file, options), "picture_too_costly: decoding the picture takes more than " +
                                            FormatBytes(options.max_memory) + " of memory");
    }
  }
}

TEST_F(UntrustedPictureTest, TheLargestPicturesAllowedFitIntoTheMemoryAllowed) {
  if constexpr (kSanitized) GTEST_SKIP() << kUnmeasurable;
  for (const PictureFormat format : {PictureFormat::kPng, PictureFormat::kJpeg}) {
    const std::string file = Encode(RgbaPicture({10'000, 5'000}), format);

    const auto decoded = Decode(file, OptionsOf(), {1000, 500});

    ASSERT_TRUE(decoded.ok()) << decoded.error().ToString();
    EXPECT_EQ(decoded->size(), (FrameSize{1000, 500}));
  }
}

TEST_F(UntrustedPictureTest, APictureThatTakesTooMuchTimeIsTooCostly) {
  if constexpr (kSanitized) GTEST_SKIP() << kUnmeasurable;
  const std::string file = Encode(RgbaPicture({10'000, 5'000}), PictureFormat::kPng);
  auto options = OptionsOf();
  options.max_cpu_seconds = 0;  // Of the kernel's grace: one second, or less.

  EXPECT_EQ(ErrorOf(file, options),
            "picture_too_costly: decoding the picture takes more than 0 s of CPU time");
}

TEST_F(UntrustedPictureTest, AChildThatHangsIsKilledAtItsTimeAndAtTheCallersDeadline) {
  const std::string file = Encode(DrawTestCard({10, 10}, 1), PictureFormat::kPng);
  auto options = OptionsOf({"sh", "-c", "exec >&-; sleep 60"});
  options.max_time = milliseconds(200);
  const TimePoint start = clock_.Now();
  EXPECT_EQ(ErrorOf(file, options), "deadline: sh took too long");

  ProcessPictureDecoder patient(OptionsOf({"sh", "-c", "sleep 60"}), clock_);
  const auto decoded = patient.Decode(AsBytes(file), {}, clock_.Now() + milliseconds(200));

  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().code(), Code::kDeadlineExceeded);
  EXPECT_LT(clock_.Now() - start, seconds(10));
}

TEST_F(UntrustedPictureTest, ACrashIsThePicturesFault) {
  const std::string file = Encode(DrawTestCard({10, 10}, 1), PictureFormat::kPng);

  EXPECT_EQ(ErrorOf(file, OptionsOf({"sh", "-c", "kill -SEGV $$"})),
            "picture_invalid: the picture's decoder crashed on it (signal 11)");
}

TEST_F(UntrustedPictureTest, AnAnswerThatIsNotOneIsNotBelieved) {
  const std::string file = Encode(DrawTestCard({10, 10}, 1), PictureFormat::kPng);
  for (const char* answer :
       {"", "picture", "picture 1\n", "picture 0 0\n", "picture 2 2\nshort", "picture 99999 1\n", "error x",
        "picture 1 1 1\n1234", "picture 1 -1\n1234", "picture 4294967296 4294967296\n"}) {
    EXPECT_EQ(ErrorOf(file, OptionsOf({"printf", "%b%.0s", answer})),
              "child_failed: the picture child's answer is not one")
        << answer;
  }
  EXPECT_EQ(ErrorOf(file, OptionsOf({"false"})), "child_failed: the picture child ended with status 1");
  EXPECT_EQ(ErrorOf(file, OptionsOf({"/no/such/program"})),
            "child_failed: /no/such/program: can't start: No such file or directory");
  EXPECT_EQ(ErrorOf(file, OptionsOf({"sh", "-c", "printf 'error picture_library_failed\\nno'"})),
            "child_failed: the picture child failed: picture_library_failed: no");
}

TEST(PictureChildTask, ItsArgumentsComeBack) {
  const PictureChildTask task{.limits = {.max_bytes = 1, .max_pixels = 5'000'000'000, .max_side = 3},
                              .fit = {4, 5},
                              .max_memory = 6'000'000'000,
                              .max_cpu_seconds = 7};

  const auto back = PictureChildTask::Parse(task.ToArguments());

  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->ToArguments(), task.ToArguments());
}

TEST(PictureChildTask, OtherCommandLinesAreRefused) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{},
                                                    {"1", "2", "3", "4", "5", "6"},
                                                    {"1", "2", "3", "4", "5", "6", "-7"},
                                                    {"1", "2", "99999999999", "4", "5", "6", "7"},
                                                    {"1", "2", "3", "4", "5", "6", "7", "8"}}) {
    EXPECT_FALSE(PictureChildTask::Parse(arguments).ok());
  }
}

}  // namespace
}  // namespace mezzo::drivers
