// One read of a plain array: counts are exact, sums neither overflow nor underflow.

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "arrays.hpp"

namespace gradcore {
namespace {

TEST(Measure, OfNothingIsZero) {
  const Partial found = facts(std::vector<float>{});
  EXPECT_EQ(found.nan + found.posinf + found.neginf + found.zeros, 0);
  EXPECT_EQ(found.squares.norm(), 0.0);
  EXPECT_EQ(found.powers.norm(2.0), 0.0);
}

TEST(Measure, CountsEachKindOfNumberOnce) {
  const auto inf = static_cast<float>(kInf), nan = static_cast<float>(kNaN);
  const Partial found = facts(std::vector<float>{1, nan, inf, -inf, 0, -0.0f, inf, 2});
  EXPECT_EQ(found.nan, 1);
  EXPECT_EQ(found.posinf, 2);
  EXPECT_EQ(found.neginf, 1);
  EXPECT_EQ(found.zeros, 2);
  EXPECT_EQ(found.squares.norm(), std::sqrt(5.0));
  EXPECT_EQ(found.l1, 3.0);
  EXPECT_EQ(found.max_abs, 2.0);
  EXPECT_EQ(found.sum, 3.0);
}

TEST(Measure, CountsTheSameWhereItReadsWithCare) {
  for (const Request& request : {Request{.needs = kEverything, .p = 4.0}, Request{}}) {
    // Squares of the first leave the range of double, which is one reason for care; powers another.
    const Partial found = facts(std::vector<double>{1e200, kNaN, kInf, -kInf, kInf}, request);
    EXPECT_EQ(found.nan, 1);
    EXPECT_EQ(found.posinf, 2);
    EXPECT_EQ(found.neginf, 1);
    EXPECT_EQ(found.squares.norm(), 1e200);
  }
}

TEST(Measure, SeesAnOddNumberWhereverItStands) {
  for (std::size_t size : {1u, 2u, 7u, 8u, 31u, 32u, 33u, 64u, 100u, 257u}) {
    for (std::size_t at = 0; at < size; ++at) {
      std::vector<float> array(size, 1.0f);
      array[at] = static_cast<float>(kNaN);
      const Partial found = facts(array);
      ASSERT_EQ(found.nan, 1) << at << " of " << size;
      ASSERT_EQ(found.l1, static_cast<double>(size - 1));
      ASSERT_DOUBLE_EQ(found.squares.norm(), std::sqrt(static_cast<double>(size - 1)));
    }
  }
}

TEST(Measure, ReadsMemoryThatIsAlignedToElementsOnly) {
  const std::vector<float> array(1000, 2.0f);
  for (int shift = 0; shift < 16; ++shift) {
    const Partial found = measure(Number::kFloat32, array.data() + shift, 900, {});
    EXPECT_DOUBLE_EQ(found.squares.norm(), 60.0);
  }
}

TEST(Measure, DoesNotOverflow) {
  const double large = 0x1p1023;
  const Partial found = facts(std::vector<double>{large * 0.75, -large * 0.25, large * 0.5});
  EXPECT_DOUBLE_EQ(found.squares.norm() / large, std::sqrt(0.875));
  EXPECT_EQ(found.max_abs, large * 0.75);
}

TEST(Measure, DoesNotUnderflow) {
  const double small = 0x1p-1060;
  const Partial found = facts(std::vector<double>{3 * small, 4 * small});
  EXPECT_EQ(found.squares.norm(), 5 * small);
}

TEST(Measure, PowersDoNotUnderflow) {
  const double small = 0x1p-1000;
  const Request request{.needs = kEverything, .p = 4.0};
  const Partial found = facts(std::vector<double>{3 * small, 4 * small}, request);
  // The fourth root of 3^4 + 4^4 = 337.
  EXPECT_DOUBLE_EQ(found.powers.norm(4.0), 4.284572294953817 * small);
}

TEST(Measure, NormsOfOrderOneAndTwoTakeNoPowers) {
  for (const double p : {1.0, 2.0}) {
    const Partial found = facts(std::vector<float>{3, 4}, {.needs = kEverything, .p = p});
    EXPECT_EQ(found.powers.sum, 0.0);
    EXPECT_EQ(found.l1, 7.0);
    EXPECT_EQ(found.squares.norm(), 5.0);
  }
}

TEST(Measure, ComplexElementsCountOnceAndByTheirMagnitude) {
  using Element = Complex<double>;
  const Partial found = facts(std::vector<Element>{{3, 4}, {0, 0}, {kNaN, kInf}, {1, -kInf}});
  EXPECT_EQ(found.nan, 1);
  EXPECT_EQ(found.neginf, 1);
  EXPECT_EQ(found.posinf, 0);
  EXPECT_EQ(found.zeros, 1);
  EXPECT_EQ(found.l1, 5.0);
  EXPECT_EQ(found.max_abs, 5.0);
  EXPECT_EQ(found.squares.norm(), 5.0);
  EXPECT_EQ(found.sum, 3.0);
  EXPECT_EQ(found.sum_imag, 4.0);
}

TEST(Measure, ReplacedElementsContributeWhatReplacesThem) {
  const Request request{
      .needs = kEverything, .replace = true, .replacement = {.posinf = 1e300, .neginf = -2}};
  const auto inf = static_cast<float>(kInf);
  const Partial found = facts(std::vector<float>{inf, -inf}, request);
  EXPECT_EQ(found.posinf, 1);
  EXPECT_EQ(found.neginf, 1);
  // 1e300 is saturated to the largest float.
  EXPECT_EQ(found.max_abs, 0x1.fffffep127);
  EXPECT_EQ(found.l1, 0x1.fffffep127 + 2.0);
}

TEST(Measure, NumbersBeyondTheOverflowCountAsInfinite) {
  const Partial found =
      facts(std::vector<double>{10, 11, -11, 3}, {.needs = kEverything, .overflow = 10});
  EXPECT_EQ(found.posinf, 1);
  EXPECT_EQ(found.neginf, 1);
  EXPECT_EQ(found.l1, 13.0);
}

TEST(Join, OfStretchesOfDifferentScales) {
  for (const double unit : {0x1p700, 0x1p-700}) {
    Partial joined = facts(std::vector<double>{3 * unit});
    joined.join(facts(std::vector<double>{4 * unit}), 2.0);
    EXPECT_EQ(joined.squares.norm(), 5 * unit);
  }
}

TEST(Join, OfHalvesIsTheWhole) {
  const std::vector<double> left{1e-300, 2, 3}, right{1e200, -4};
  const Request request{.needs = kEverything, .p = 4.0};
  Partial joined = facts(left, request);
  joined.join(facts(right, request), 4.0);
  const Partial whole = facts(std::vector<double>{1e-300, 2, 3, 1e200, -4}, request);
  EXPECT_DOUBLE_EQ(joined.squares.norm(), whole.squares.norm());
  EXPECT_DOUBLE_EQ(joined.squares.norm(), 1e200);
  EXPECT_DOUBLE_EQ(joined.powers.norm(4.0), 1e200);
  EXPECT_EQ(joined.max_abs, whole.max_abs);
}

}  // namespace
}  // namespace gradcore
