// Rewriting a plain array: repaired, then multiplied, then brought within a limit.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "arrays.hpp"

namespace gradcore {
namespace {

using Floats = std::vector<float>;
const float inf = static_cast<float>(kInf);
const float nan = static_cast<float>(kNaN);

TEST(Apply, AProductIsRoundedOnce) {
  const float third = 1.0f / 3.0f;
  const double factor = 0.1;
  const Floats scaled = changed(Floats{third}, {.factor = factor});
  EXPECT_EQ(scaled[0], static_cast<float>(static_cast<double>(third) * factor));
}

TEST(Apply, AFactorThatIsNaNMakesEverythingNaN) {
  for (float value : changed(Floats{1, 0, -2}, {.factor = kNaN})) EXPECT_TRUE(std::isnan(value));
}

TEST(Apply, ZeroingElementsLeavesTheOthersAlone) {
  EXPECT_EQ(changed(Floats{1, nan, inf, -inf, -2}, {.repair = kZeroElements}),
            (Floats{1, 0, 0, 0, -2}));
}

TEST(Apply, ZeroingTheParameterZeroesEverything) {
  EXPECT_EQ(changed(Floats{1, nan, 3}, {.repair = kZeroParameters}), (Floats{0, 0, 0}));
}

TEST(Apply, ReplacementsAreSaturatedAndThenScaled) {
  const Change change{
      .repair = kReplace, .replacement = {.nan = 7, .posinf = 1e300, .neginf = -3}, .factor = 0.5};
  EXPECT_EQ(changed(Floats{2, nan, inf, -inf}, change), (Floats{1, 3.5f, 0x1.fffffep126f, -1.5f}));
}

TEST(Apply, AReplacementKeepsTheSignOfZero) {
  const Change change{.repair = kReplace, .replacement = {.nan = -0.0, .posinf = -1e-300}};
  for (float value : changed(Floats{nan, inf}, change)) {
    EXPECT_EQ(value, 0.0f);
    EXPECT_TRUE(std::signbit(value));
  }
  EXPECT_TRUE(std::signbit(changed(std::vector<double>{kNaN}, change)[0]));
}

TEST(Apply, AComplexElementIsZeroedAsAWhole) {
  std::vector<Complex<float>> array{{nan, 1}, {2, -inf}, {3, 4}};
  array = changed(array, {.repair = kZeroElements});
  for (int i : {0, 1}) {
    EXPECT_EQ(array[static_cast<std::size_t>(i)].real, 0.0f);
    EXPECT_EQ(array[static_cast<std::size_t>(i)].imag, 0.0f);
  }
  EXPECT_EQ(array[2].real, 3.0f);
  EXPECT_EQ(array[2].imag, 4.0f);
}

TEST(Apply, AComplexElementIsReplacedPartByPart) {
  std::vector<Complex<float>> array{{nan, 1}, {2, -inf}};
  array = changed(array, {.repair = kReplace, .replacement = {.nan = 5, .neginf = -6}});
  EXPECT_EQ(array[0].real, 5.0f);
  EXPECT_EQ(array[0].imag, 1.0f);
  EXPECT_EQ(array[1].real, 2.0f);
  EXPECT_EQ(array[1].imag, -6.0f);
}

TEST(Apply, ALimitKeepsSignsAndLetsNaNBe) {
  const Floats limited = changed(Floats{0.5f, -3, inf, -inf, nan}, {.limit = 2});
  EXPECT_EQ(Floats(limited.begin(), limited.end() - 1), (Floats{0.5f, -2, 2, -2}));
  EXPECT_TRUE(std::isnan(limited[4]));
}

TEST(Apply, ALimitKeepsThePhaseOfAComplexElement) {
  std::vector<Complex<double>> array{{30, 40}, {0.3, 0.4}, {kInf, 1}, {-kInf, kInf}};
  array = changed(array, {.limit = 5});
  EXPECT_DOUBLE_EQ(array[0].real, 3.0);
  EXPECT_DOUBLE_EQ(array[0].imag, 4.0);
  EXPECT_EQ(array[1].real, 0.3);
  EXPECT_EQ(array[1].imag, 0.4);
  EXPECT_EQ(array[2].real, 5.0);
  EXPECT_EQ(array[2].imag, 0.0);
  EXPECT_DOUBLE_EQ(array[3].real, -5.0 * std::sqrt(0.5));
  EXPECT_DOUBLE_EQ(array[3].imag, 5.0 * std::sqrt(0.5));
}

TEST(Apply, ALimitLeavesAComplexElementAloneThatIsLargerThanItsPartsCanBe) {
  constexpr std::uint16_t kMost = 0x7bff;  // 65504, of which |z| is the square root of two times
  std::vector<Complex<Float16>> array{{{kMost}, {kMost}}, {{0x7c00}, {0}}};
  array = changed(array, {.limit = 1e5});
  EXPECT_EQ(array[0].real.bits, kMost);
  EXPECT_EQ(array[0].imag.bits, kMost);
  EXPECT_EQ(array[1].real.bits, kMost);
}

TEST(Apply, WhatNeedsNothingKeepsEveryBitOfANaN) {
  const std::uint32_t payload = 0x7fc12345u;
  const Floats kept = changed(Floats{std::bit_cast<float>(payload), 9}, {.limit = 2});
  EXPECT_EQ(std::bit_cast<std::uint32_t>(kept[0]), payload);
  EXPECT_EQ(kept[1], 2.0f);
}

TEST(Change, IsNothingUnlessSomethingIsAskedFor) {
  EXPECT_TRUE(Change{}.nothing());
  EXPECT_FALSE(Change{.repair = kReplace}.nothing());
  EXPECT_FALSE(Change{.factor = 0.5}.nothing());
  EXPECT_FALSE(Change{.limit = 1e300}.nothing());
}

}  // namespace
}  // namespace gradcore
