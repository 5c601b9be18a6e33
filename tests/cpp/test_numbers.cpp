// Conversions between double and the 16-bit formats, against the definition of the formats.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/numbers.hpp"

namespace gradcore {
namespace {

/// The value of a bit pattern, by the definition of IEEE 754 interchange formats.
double by_definition(std::uint32_t bits, int exponent_bits, int fraction_bits) {
  const double sign = bits >> 15 ? -1.0 : 1.0;
  const int exponent = static_cast<int>(bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const double fraction = std::ldexp(bits & ((1u << fraction_bits) - 1u), -fraction_bits);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return fraction == 0.0 ? sign * HUGE_VAL : std::nan("");
  }
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias);
  return sign * std::ldexp(1.0 + fraction, exponent - bias);
}

template <class Part>
void expect_every_pattern(int exponent_bits, int fraction_bits) {
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const Part part{static_cast<std::uint16_t>(bits)};
    const double expected = by_definition(bits, exponent_bits, fraction_bits);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(widen(part))) << bits;
      EXPECT_TRUE(std::isnan(widen(narrow<Part>(expected)))) << bits;
      continue;
    }
    EXPECT_EQ(std::bit_cast<std::uint64_t>(static_cast<double>(widen(part))),
              std::bit_cast<std::uint64_t>(expected))
        << bits;
    EXPECT_EQ(narrow<Part>(expected).bits, bits);
  }
}

/// Between neighbours: the nearer one, and of two equally near the one whose last bit is 0.
template <class Part>
void expect_rounding_to_nearest_even(int exponent_bits, int fraction_bits) {
  const std::uint32_t infinity = ((1u << exponent_bits) - 1u) << fraction_bits;
  for (std::uint32_t bits = 0; bits + 1 < infinity; ++bits) {
    const double below = by_definition(bits, exponent_bits, fraction_bits);
    const double above = by_definition(bits + 1, exponent_bits, fraction_bits);
    const double middle = below + (above - below) / 2;  // exact: double has bits to spare
    const std::uint32_t even = bits % 2 == 0 ? bits : bits + 1;
    EXPECT_EQ(narrow<Part>(middle).bits, even);
    EXPECT_EQ(narrow<Part>(std::nextafter(middle, 0.0)).bits, bits);
    EXPECT_EQ(narrow<Part>(std::nextafter(middle, above)).bits, bits + 1);
    EXPECT_EQ(narrow<Part>(-middle).bits, even | 0x8000u);
  }
}

TEST(Float16, EveryPatternIsWhatItsBitsSay) { expect_every_pattern<Float16>(5, 10); }
TEST(Bfloat16, EveryPatternIsWhatItsBitsSay) { expect_every_pattern<Bfloat16>(8, 7); }
TEST(Float16, RoundsToNearestEven) { expect_rounding_to_nearest_even<Float16>(5, 10); }
TEST(Bfloat16, RoundsToNearestEven) { expect_rounding_to_nearest_even<Bfloat16>(8, 7); }

TEST(Float16, BecomesInfiniteHalfAStepBeyondTheLargest) {
  EXPECT_EQ(narrow<Float16>(65519.999).bits, 0x7bffu);
  EXPECT_EQ(narrow<Float16>(65520.0).bits, 0x7c00u);
  EXPECT_EQ(narrow<Float16>(-1e300).bits, 0xfc00u);
}

TEST(Bfloat16, BecomesInfiniteHalfAStepBeyondTheLargest) {
  const double half_a_step_beyond = 0x1.ffp127;
  EXPECT_EQ(narrow<Bfloat16>(std::nextafter(half_a_step_beyond, 0.0)).bits, 0x7f7fu);
  EXPECT_EQ(narrow<Bfloat16>(half_a_step_beyond).bits, 0x7f80u);
  EXPECT_EQ(narrow<Bfloat16>(-1e300).bits, 0xff80u);
}

}  // namespace
}  // namespace gradcore
