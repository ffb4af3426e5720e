#include "mezzo/media/resample.h"

#include <cmath>
#include <cstdlib>
#include <numeric>

#include <gtest/gtest.h>

#include "mezzo/media/testing/test_pictures.h"

namespace mezzo::media {
namespace {

YuvPicture Card(FrameSize size) { return ToYuv(testing::DrawTestCard(size, 1), {}); }

TEST(AxisWeights, SumToOneEverywhereAlsoAtTheEdges) {
  AxisWeights axis;
  for (const bool widen : {false, true}) {
    for (const double length : {3.0, 40.0, 100.0}) {
      axis.Set(-5, length, 40, 33, Filter::kLanczos3, widen);
      for (int i = 0; i < axis.size(); ++i) {
        const int sum = std::accumulate(axis.weights(i), axis.weights(i) + axis.taps(), 0);
        ASSERT_EQ(sum, 1 << AxisWeights::kWeightBits);
        ASSERT_GE(axis.first(i), 0);
        ASSERT_LE(axis.first(i) + axis.taps(), 40);
      }
    }
  }
}

TEST(AxisWeights, ASourceOfOneSampleIsThatSample) {
  AxisWeights axis;
  axis.Set(0, 1, 1, 7, Filter::kMitchell, false);

  EXPECT_EQ(axis.taps(), 1);
  EXPECT_EQ(axis.weights(6)[0], 1 << AxisWeights::kWeightBits);
}

TEST(Resample, AFlatPictureStaysFlat) {
  YuvPicture flat({30, 20});
  flat.Fill(201, 77, 140);

  const YuvPicture out = Resize(flat, {52, 64});

  for (int p = 0; p < YuvPicture::kPlanes; ++p) {
    for (int y = 0; y < out.plane(p).height; ++y) {
      for (int x = 0; x < out.plane(p).width; ++x) {
        ASSERT_EQ(out.plane(p).row(y)[x], flat.plane(p).row(0)[0]);
      }
    }
  }
}

TEST(Resample, MatchesTheFormulaInDoublePrecision) {
  const YuvPicture card = Card({40, 40});
  const PlaneView source = card.plane(0);
  AxisWeights x;
  AxisWeights y;
  x.Set(3.3, 31.7, 40, 38, Filter::kMitchell, false);  // Four taps, 4 × 8 and a rest of 6 columns.
  y.Set(1.9, 35.1, 40, 29, Filter::kMitchell, false);
  std::vector<std::uint8_t> out(38 * 29);
  ResampleScratch scratch;

  Resample(source, x, y, {out.data(), 38, 29, 38}, 0, 29, scratch);

  for (int j = 0; j < 29; ++j) {
    for (int i = 0; i < 38; ++i) {
      double exact = 0;
      for (int b = 0; b < y.taps(); ++b) {
        for (int a = 0; a < x.taps(); ++a) {
          exact += static_cast<double>(source.row(y.first(j) + b)[x.first(i) + a]) * x.weights(i)[a] *
                   y.weights(j)[b];
        }
      }
      exact = std::clamp(exact / std::pow(2, 2 * AxisWeights::kWeightBits), 0.0, 255.0);
      ASSERT_NEAR(out[static_cast<std::size_t>(j * 38 + i)], exact, 0.6) << i << "," << j;
    }
  }
}

TEST(Resample, DoesNotDependOnHowRowsAreDivided) {
  const YuvPicture card = Card({64, 64});
  AxisWeights axis;
  axis.Set(2.5, 50.5, 64, 48, Filter::kMitchell, false);
  std::vector<std::uint8_t> whole(48 * 48);
  std::vector<std::uint8_t> parts(48 * 48);
  ResampleScratch scratch;

  Resample(card.plane(0), axis, axis, {whole.data(), 48, 48, 48}, 0, 48, scratch);
  for (int row = 0; row < 48; row += 7) {
    Resample(card.plane(0), axis, axis, {parts.data(), 48, 48, 48}, row, std::min(48, row + 7), scratch);
  }

  EXPECT_EQ(whole, parts);
}

TEST(Resample, ShrinkingAveragesFineDetailInsteadOfPickingSamples) {
  YuvPicture stripes({256, 16});  // One pixel black, one white.
  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < 256; ++x) stripes.plane(0).row(y)[x] = x % 2 == 0 ? 235 : 16;
  }

  const YuvPicture out = Resize(stripes, {60, 16});

  for (int x = 4; x < 56; ++x) EXPECT_NEAR(out.plane(0).row(8)[x], 125, 6);
}

TEST(Resample, GrowingAndShrinkingAgainGivesThePictureBack) {
  const YuvPicture card = Card({128, 96});

  EXPECT_GT(testing::Ssim(card, Resize(Resize(card, {256, 192}), {128, 96})), 0.98);
}

TEST(Resample, TransparentPixelsDoNotBleed) {
  RgbaPicture picture({64, 64});
  for (int y = 0; y < 64; ++y) {
    for (int x = 0; x < 64; ++x) {
      std::uint8_t* pixel = picture.row(y) + static_cast<std::ptrdiff_t>(x) * 4;
      const bool inside = x < 32;
      pixel[0] = inside ? 200 : 0;  // What is not seen is green.
      pixel[1] = inside ? 0 : 255;
      pixel[3] = inside ? 255 : 0;
    }
  }

  const RgbaPicture out = Resize(picture, {20, 20});

  for (int x = 0; x < 20; ++x) {
    const std::uint8_t* pixel = out.row(10) + static_cast<std::ptrdiff_t>(x) * 4;
    if (pixel[3] < 20) continue;
    EXPECT_LE(pixel[1], 3) << x;
    EXPECT_NEAR(pixel[0], 200, 6) << x;
  }
  EXPECT_EQ(out.row(10)[3], 255);
  EXPECT_EQ(out.row(10)[19 * 4 + 3], 0);
}

}  // namespace
}  // namespace mezzo::media
