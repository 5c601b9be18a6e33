// Units of a plain array: sums of squares and factors of their own, wherever their elements lie.

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "arrays.hpp"
#include "kernels/units.hpp"

namespace gradcore {
namespace {

template <class Element>
Stretch all_of(const std::vector<Element>& array) {
  return {kNumberOf<Element>, 0, static_cast<std::int64_t>(array.size())};
}

/// Norms of all units of an array, and what is said of the whole.
template <class Element>
std::vector<double> norms(const std::vector<Element>& array, const UnitLayout& layout,
                          Partial& whole, const Request& request = {}) {
  std::vector<SumOfSquares> sums(static_cast<std::size_t>(layout.count));
  whole = measure_units(all_of(array), array.data(), layout, request, 0, sums.data());
  std::vector<double> found;
  for (const SumOfSquares& sum : sums) found.push_back(sum.norm());
  return found;
}

template <class Element>
std::vector<Element> scaled(std::vector<Element> array, const UnitLayout& layout,
                            const std::vector<double>& factors, const Change& change = {}) {
  apply_units(all_of(array), array.data(), layout, factors.data(), change);
  return array;
}

TEST(Units, LieInRuns) {
  Partial whole;
  const std::vector<float> array{3, 4, 6, 8, 0, 5, 0, 12};
  EXPECT_EQ(norms(array, {4, 2}, whole), (std::vector<double>{std::sqrt(125.0), 13}));
  EXPECT_DOUBLE_EQ(whole.squares.norm(), std::sqrt(294.0));
  // Units that come back: the first is 3, 4, 0, 5.
  EXPECT_EQ(norms(array, {2, 2}, whole), (std::vector<double>{std::sqrt(50.0), std::sqrt(244.0)}));
}

TEST(Units, AlternateInColumns) {
  Partial whole;
  const std::vector<double> array{3, 6, 0, 4, 8, 5};
  EXPECT_EQ(norms(array, {1, 3}, whole), (std::vector<double>{5, 10, 5}));
  EXPECT_DOUBLE_EQ(whole.squares.norm(), std::sqrt(150.0));
}

TEST(Units, OfAStretchBeginWhereItBegins) {
  const std::vector<float> array{1, 1, 1, 1, 1, 1, 1};
  for (const UnitLayout& layout : {UnitLayout{1, 5}, UnitLayout{2, 5}}) {
    std::vector<SumOfSquares> sums(5);
    measure_units({Number::kFloat32, 4, 7}, array.data(), layout, {}, 0, sums.data());
    const std::vector<double> wanted =
        layout.inner == 1 ? std::vector<double>{2, 1, 1, 1, 2} : std::vector<double>{1, 0, 2, 2, 2};
    for (std::size_t unit = 0; unit < 5; ++unit) EXPECT_EQ(sums[unit].sum, wanted[unit]) << unit;
  }
}

TEST(Units, OfAnyLengthAreSummedToTheLastElement) {
  for (std::int64_t inner : {1, 2, 15, 16, 17, 255, 256, 257, 4095, 4096, 5000}) {
    Partial whole;
    const std::vector<Bfloat16> array(static_cast<std::size_t>(3 * inner), Bfloat16{0x4000});  // 2
    for (double norm : norms(array, {inner, 3}, whole)) {
      EXPECT_NEAR(norm / (2 * std::sqrt(static_cast<double>(inner))), 1.0, 1e-6) << inner;
    }
  }
}

TEST(Units, HideNeitherHugeNorTinyOnes) {
  Partial whole;
  const std::vector<double> rows{3e200, 4e200, 3e-200, 4e-200, 0, 0};
  const std::vector<double> wanted{5e200, 5e-200, 0};
  const std::vector<double> columns{3e200, 3e-200, 0, 4e200, 4e-200, 0};
  const std::vector<double> of_rows = norms(rows, {2, 3}, whole);
  const std::vector<double> of_columns = norms(columns, {1, 3}, whole);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_DOUBLE_EQ(of_rows[i], wanted[i]);
    EXPECT_DOUBLE_EQ(of_columns[i], wanted[i]);
  }
  EXPECT_DOUBLE_EQ(whole.squares.norm(), 5e200);
}

TEST(Units, CountFaultsOnceAndLeaveThemOut) {
  const std::vector<double> array{kNaN, 4, kInf, 3, -kInf, 0};
  for (const UnitLayout& layout : {UnitLayout{3, 2}, UnitLayout{1, 2}}) {
    for (int needs : {0, kEverything}) {
      Partial whole;
      const std::vector<double> found = norms(array, layout, whole, {.needs = needs});
      EXPECT_EQ(found,
                layout.inner == 3 ? (std::vector<double>{4, 3}) : (std::vector<double>{0, 5}));
      EXPECT_EQ(whole.nan, 1);
      EXPECT_EQ(whole.posinf, 1);
      EXPECT_EQ(whole.neginf, 1);
      EXPECT_EQ(whole.squares.norm(), 5.0);
    }
  }
}

TEST(Units, AreMultipliedByTheirFactors) {
  const std::vector<float> array{1, 2, 3, 4, 5, 6};
  EXPECT_EQ(scaled(array, {2, 3}, {0.5, 1, 0}), (std::vector<float>{0.5, 1, 3, 4, 0, 0}));
  EXPECT_EQ(scaled(array, {1, 3}, {0.5, 1, 0}), (std::vector<float>{0.5, 2, 0, 2, 5, 0}));
  EXPECT_EQ(scaled(array, {6, 1}, {0.5}), (std::vector<float>{0.5, 1, 1.5, 2, 2.5, 3}));
}

TEST(Units, AreRepairedBeforeTheyAreMultiplied) {
  const std::vector<double> array{kNaN, 2, kInf, 4};
  const Change change{.repair = kReplace, .replacement = {.nan = 8, .posinf = 16}};
  EXPECT_EQ(scaled(array, {2, 2}, {0.5, 1}, change), (std::vector<double>{4, 1, 16, 4}));
  EXPECT_EQ(scaled(array, {1, 2}, {0.5, 1}, change), (std::vector<double>{4, 2, 8, 4}));
}

TEST(Units, WithAFactorOfOneKeepTheBitsOfANaN) {
  for (const UnitLayout& layout : {UnitLayout{1, 2}, UnitLayout{2, 2}}) {
    const std::vector<Float16> array(4, Float16{0x7d01});  // a NaN that signals
    const std::vector<Float16> kept = scaled(array, layout, {1, 0.5});
    EXPECT_EQ(kept[0].bits, 0x7d01);
  }
}

}  // namespace
}  // namespace gradcore
