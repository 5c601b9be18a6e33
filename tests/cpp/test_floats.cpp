// Floats and numbers of 16 bits side by side: the same bits from every set of instructions, and as
// exact as was promised.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "arrays.hpp"
#include "kernels/capability.hpp"

namespace gradcore {
namespace {

template <class Part>
class Floating : public testing::Test {};
using Parts16And32 = testing::Types<float, Float16, Bfloat16>;
TYPED_TEST_SUITE(Floating, Parts16And32);

/// Numbers of both signs and many sizes, every seventh of them zero.
template <class Part>
std::vector<Part> numbers(std::int64_t count) {
  std::mt19937 random(7);
  std::normal_distribution<double> normal;
  std::vector<Part> array;
  for (std::int64_t i = 0; i < count; ++i) {
    array.push_back(narrow<Part>(i % 7 == 3 ? 0.0 : std::ldexp(normal(random), i % 9 - 4)));
  }
  return array;
}

template <class Part>
bool same(Part a, Part b) {
  return widen(a) == widen(b) || (widen(a) != widen(a) && widen(b) != widen(b));
}

// Lengths about those of runs and of four streams, and none at all.
constexpr std::int64_t kCounts[] = {0, 1, 31, 2047, 2048, 2049, 3 * 2048 + 777};

TYPED_TEST(Floating, EverythingIsSummedAsExactlyAsPromised) {
  // Relative to the sum of magnitudes.
  const double within = sizeof(TypeParam) == 2 ? 0x1p-20 : 1e-14;
  for (const std::int64_t count : kCounts) {
    const auto array = numbers<TypeParam>(count);
    long double squares = 0, l1 = 0, sum = 0, largest = 0;
    std::int64_t zeros = 0;
    for (const TypeParam part : array) {
      const long double value = widen(part);
      squares += value * value;
      l1 += std::fabs(value);
      sum += value;
      largest = std::max(largest, std::fabs(value));
      zeros += value == 0;
    }
    const Partial found = facts(array);
    EXPECT_NEAR(found.squares.sum, squares, within * squares) << count;
    EXPECT_NEAR(found.l1, l1, within * l1) << count;
    EXPECT_NEAR(found.sum, sum, within * l1) << count;
    EXPECT_EQ(found.max_abs, largest) << count;
    EXPECT_EQ(found.zeros, zeros) << count;
    EXPECT_EQ(found.nan + found.posinf + found.neginf, 0) << count;
  }
}

TYPED_TEST(Floating, EverySetOfInstructionsGivesTheSameBits) {
  const Capability& plain = capabilities()[0];
  for (const Capability* each = capabilities(); each->name; ++each) {
    if (!each->supported) continue;
    for (const std::int64_t count : kCounts) {
      for (const double struck : {0.0, kNaN}) {
        auto array = numbers<TypeParam>(count);
        if (count > 3) array[static_cast<std::size_t>(count) / 3] = narrow<TypeParam>(struck);
        for (const int needs : {0, kEverything}) {
          const Request request{.needs = needs};
          const Partial a = plain.measure(kNumberOf<TypeParam>, array.data(), count, request);
          const Partial b = each->measure(kNumberOf<TypeParam>, array.data(), count, request);
          EXPECT_EQ(a.squares.sum, b.squares.sum) << each->name << " " << count;
          EXPECT_EQ(a.l1, b.l1) << each->name << " " << count;
          EXPECT_EQ(a.sum, b.sum) << each->name << " " << count;
          EXPECT_EQ(a.max_abs, b.max_abs) << each->name << " " << count;
          EXPECT_EQ(a.zeros, b.zeros) << each->name << " " << count;
          EXPECT_EQ(a.nan, b.nan) << each->name << " " << count;
        }
      }
    }
  }
}

/// All numbers of 16 bits, NaNs of every payload among them, and some more.
template <class Part>
std::vector<Part> patterns() {
  std::vector<Part> array;
  for (std::uint32_t bits = 0; bits < 0x10000u + 5u; ++bits) {
    array.push_back({static_cast<std::uint16_t>(bits)});
  }
  return array;
}

template <class Part>
class SixteenBits : public testing::Test {};
using Parts16 = testing::Types<Float16, Bfloat16>;
TYPED_TEST_SUITE(SixteenBits, Parts16);

TYPED_TEST(SixteenBits, EveryNumberIsScaledLikeOneByOne) {
  const auto array = patterns<TypeParam>();
  const auto count = static_cast<std::int64_t>(array.size());
  for (const double factor : {0.0, 1e-5, 0.3, 0.999, -1.5, 1e30, kInf, kNaN, -kNaN}) {
    for (const Capability* each = capabilities(); each->name; ++each) {
      if (!each->supported) continue;
      auto scaled = array;
      each->apply(kNumberOf<TypeParam>, scaled.data(), count, {.factor = factor});
      for (std::size_t i = 0; i < array.size(); ++i) {
        const auto expected = shorten<TypeParam>(widen(array[i]) * static_cast<float>(factor));
        ASSERT_TRUE(same(scaled[i], expected)) << each->name << " " << factor << " " << i;
      }
    }
  }
}

}  // namespace
}  // namespace gradcore
