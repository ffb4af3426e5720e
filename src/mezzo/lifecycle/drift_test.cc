#include "mezzo/lifecycle/drift.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::lifecycle {
namespace {

using ::testing::ElementsAre;

/// The samples of testing/drift_golden.py, made by the same integer arithmetic: 0 to 1, pressed by a power.
std::vector<double> Sample(std::size_t size, std::uint32_t seed, int power) {
  std::vector<double> out;
  for (std::size_t i = 0; i < size; ++i) {
    seed = seed * 1664525U + 1013904223U;
    const double value = static_cast<double>(seed >> 8U) / 16777216.0;
    out.push_back(power == 1 ? value : power == 2 ? value * value : value * value * value);
  }
  return out;
}

DriftHistogram Filled(const DriftHistogram& reference, const std::vector<double>& values) {
  DriftHistogram out = reference.Empty();
  for (const double value : values) out.Add(value);
  return out;
}

TEST(KolmogorovSmirnovTest, IsWhatScipySays) {
  const auto same = CompareSamples(Sample(500, 1, 1), Sample(700, 2, 1));
  const auto other = CompareSamples(Sample(500, 1, 1), Sample(700, 2, 2));
  const auto small = CompareSamples(Sample(30, 3, 1), Sample(40, 4, 3));

  EXPECT_NEAR(same->statistic, 0.032285714285714286, 1e-12);
  EXPECT_NEAR(same->p_value, 0.9214205066278666, 1e-9);
  EXPECT_NEAR(other->statistic, 0.2662857142857143, 1e-12);
  EXPECT_NEAR(std::log(other->p_value), -40.66990043848767, 1e-6);
  EXPECT_NEAR(small->statistic, 0.6416666666666667, 1e-12);
  EXPECT_NEAR(small->p_value, 1.4799244983665712e-06, 1e-9);
}

TEST(KolmogorovSmirnovTest, TheSurvivalFunctionIsThatOfScipy) {
  EXPECT_NEAR(KolmogorovSurvival(0.2), 0.999999999999495, 1e-12);
  EXPECT_NEAR(KolmogorovSurvival(0.5), 0.9639452436648751, 1e-12);
  EXPECT_NEAR(KolmogorovSurvival(0.99), 0.2808738392255489, 1e-12);
  EXPECT_NEAR(KolmogorovSurvival(1.0), 0.26999967167735456, 1e-12);
  EXPECT_NEAR(KolmogorovSurvival(1.5), 0.022217962616525127, 1e-12);
  EXPECT_NEAR(KolmogorovSurvival(3), 3.045995948942526e-08, 1e-15);
  EXPECT_EQ(KolmogorovSurvival(0), 1);
  EXPECT_EQ(KolmogorovSurvival(100), 0);
}

TEST(KolmogorovSmirnovTest, TiesAndValuesThatAreNoNumbersAreNoTrouble) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(CompareSamples(std::vector{1.0, 1.0, 1.0}, std::vector{1.0, 1.0, nan})->statistic, 0);
  EXPECT_EQ(CompareSamples(std::vector{1.0, 1.0}, std::vector{2.0})->statistic, 1);
  EXPECT_EQ(CompareSamples(std::vector{nan}, std::vector{1.0}).error().reason(), "drift_empty");
}

TEST(DriftHistogram, TheIndexIsWhatNumpySays) {
  const auto reference = DriftHistogram::FromReference(Sample(1000, 1, 1), 10);
  ASSERT_TRUE(reference.ok());

  EXPECT_NEAR(*PopulationStability(*reference, Filled(*reference, Sample(800, 2, 1))), 0.012247653824789675,
              1e-9);
  EXPECT_NEAR(*PopulationStability(*reference, Filled(*reference, Sample(800, 2, 2))), 0.3371009809579102,
              1e-9);
  EXPECT_EQ(*PopulationStability(*reference, *reference), 0);
}

TEST(DriftHistogram, QuantilesHoldEquallyMany) {
  const auto histogram = DriftHistogram::FromReference(Sample(1000, 7, 3), 10);

  ASSERT_TRUE(histogram.ok());
  EXPECT_EQ(histogram->total(), 1000U);
  for (const std::uint64_t count : histogram->counts()) EXPECT_NEAR(static_cast<double>(count), 100, 1.5);
}

TEST(DriftHistogram, ConstantsAndFewValuesHaveFewBins) {
  const auto constant = DriftHistogram::FromReference(std::vector<double>(100, 3.0), 10);
  ASSERT_TRUE(constant.ok());
  EXPECT_THAT(constant->edges(), ElementsAre(3.0));
  EXPECT_THAT(constant->counts(), ElementsAre(100U, 0U));

  EXPECT_EQ(DriftHistogram::FromReference(std::vector<double>{}, 10).error().reason(), "drift_edges");
  EXPECT_EQ(DriftHistogram::FromReference(std::vector{1.0}, 1).error().reason(), "drift_edges");
  EXPECT_EQ(DriftHistogram::Make({2, 1}).error().reason(), "drift_edges");
  EXPECT_EQ(DriftHistogram::Make({std::numeric_limits<double>::infinity()}).error().reason(), "drift_edges");
}

TEST(DriftHistogram, MergingPartsIsCountingAll) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    const auto reference = *DriftHistogram::FromReference(Sample(300, seed, 1), 2 + seed);
    const auto values = Sample(500, seed + 100, 2);
    const std::size_t cut = seed * 20;
    DriftHistogram parts =
        Filled(reference, {values.begin(), values.begin() + static_cast<std::ptrdiff_t>(cut)});
    ASSERT_TRUE(
        parts.Merge(Filled(reference, {values.begin() + static_cast<std::ptrdiff_t>(cut), values.end()}))
            .ok());

    EXPECT_EQ(parts, Filled(reference, values));
  }
  DriftHistogram one = *DriftHistogram::Make({1});
  EXPECT_FALSE(one.Merge(*DriftHistogram::Make({2})).ok());
}

TEST(DriftHistogram, ItsDistanceIsAtMostThatOfTheSamples) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    const auto a = Sample(400, seed, 1);
    const auto b = Sample(300, seed + 50, 1 + static_cast<int>(seed % 3));
    const auto reference = *DriftHistogram::FromReference(a, 20);

    const auto binned = CompareHistograms(reference, Filled(reference, b));
    const auto exact = CompareSamples(a, b);

    EXPECT_LE(binned->statistic, exact->statistic + 1e-12);
    EXPECT_GE(binned->statistic, exact->statistic - 0.1);
  }
}

TEST(DriftHistogram, WhatLiesBeyondTheReferenceHasBinsOfItsOwn) {
  const auto constant = DriftHistogram::WithTails(std::vector<double>(100, 3.0), 10);
  ASSERT_TRUE(constant.ok());
  EXPECT_THAT(constant->counts(), ElementsAre(0U, 100U, 0U));
  for (const double other : {2.999, 3.001, -1e300, 1e300}) {
    const DriftHistogram now = Filled(*constant, std::vector<double>(100, other));
    EXPECT_GT(*PopulationStability(*constant, now), 1) << other;
  }
  EXPECT_LT(*PopulationStability(*constant, Filled(*constant, std::vector<double>(50, 3.0))), 0.05);

  const std::vector<double> reference = Sample(1000, 1, 1);
  const auto wide = DriftHistogram::WithTails(reference, 20);
  ASSERT_TRUE(wide.ok());
  EXPECT_EQ(wide->counts().front(), 0U);
  EXPECT_EQ(wide->counts().back(), 0U);
  EXPECT_EQ(wide->total(), 1000U);
  EXPECT_FALSE(DriftHistogram::WithTails(reference, 63).ok());
}

TEST(DriftHistogram, IsWhatItWasWhenItIsRestored) {
  auto histogram = *DriftHistogram::WithTails(Sample(300, 5, 2), 20);
  histogram.Add(std::numeric_limits<double>::quiet_NaN());
  const auto restored = DriftHistogram::Restore(histogram.edges(), histogram.counts(), histogram.odd());
  ASSERT_TRUE(restored.ok());
  EXPECT_EQ(*restored, histogram);
  EXPECT_EQ(DriftHistogram::Restore({1, 2}, {1, 2}, 0).error().reason(), "drift_edges");
}

tensor::Tensor Floats(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  std::string bytes(values.size() * sizeof(float), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return {.dtype = tensor::DType::kFp32,
          .shape = {static_cast<std::int64_t>(count)},
          .data = SharedBytes::FromString(std::move(bytes))};
}

TEST(SampleValues, TakesSomeOfALargeTensorEvenlyApart) {
  EXPECT_THAT(SampleValues(Floats(1000), 4, 0), ElementsAre(0, 250, 500, 750));
  EXPECT_THAT(SampleValues(Floats(1000), 4, 249), ElementsAre(249, 499, 749, 999));
  EXPECT_THAT(SampleValues(Floats(1000), 4, 250), ElementsAre(0, 250, 500, 750)) << "round and round";
  EXPECT_THAT(SampleValues(Floats(3), 4, 7), ElementsAre(0, 1, 2));
  EXPECT_TRUE(SampleValues(Floats(0), 4, 0).empty());
  EXPECT_TRUE(SampleValues(Floats(9), 0, 0).empty());
}

TEST(SampleValues, OfTextsTheLengthsAndOfPicturesTheSamples) {
  std::string text;
  for (const char* word : {"", "words", "a"}) tensor::AppendBytesElement(text, word);
  const auto texts = [&](std::string bytes) {
    return tensor::Tensor{
        .dtype = tensor::DType::kBytes, .shape = {3}, .data = SharedBytes::FromString(std::move(bytes))};
  };
  EXPECT_THAT(SampleValues(texts(text), 8, 5), ElementsAre(0, 5, 1));
  EXPECT_THAT(SampleValues(texts(text), 2, 5), ElementsAre(0, 5));
  EXPECT_THAT(SampleValues(texts(text.substr(0, text.size() - 1)), 8, 0), ElementsAre(0, 5)) << "cut off";
  EXPECT_THAT(
      SampleValues(
          {.dtype = tensor::DType::kUint8, .shape = {3}, .data = SharedBytes::FromString("\x01\xff\x10")}, 8,
          0),
      ElementsAre(1, 255, 16));
}

}  // namespace
}  // namespace mezzo::lifecycle
