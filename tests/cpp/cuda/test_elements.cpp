// Formats: what a pattern means, and what a number becomes.

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "cuda/dispatch.hpp"
#include "cuda/elements.hpp"
#include "oracle.hpp"

namespace {

using namespace gradcore::cuda;

template <class Format>
void expect_every_pattern_decoded(const oracle::Format& format) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const double value = Format::value(typename Format::Bits(bits));
    const long double expected = format.decode(bits);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(value)) << bits;
    } else {
      EXPECT_EQ(value, double(expected)) << bits;
      EXPECT_EQ(std::signbit(value), std::signbit(expected)) << bits;
    }
  }
}

TEST(Elements, EveryPatternOfTheSixteenBitFormatsIsDecoded) {
  expect_every_pattern_decoded<Float16>(oracle::kFormats[0]);
  expect_every_pattern_decoded<BFloat16>(oracle::kFormats[1]);
}

template <class Format>
void expect_rounded(const oracle::Format& format, double value) {
  EXPECT_EQ(Format::rounded(value), format.encode(value)) << std::hexfloat << value;
}

template <class Format>
void expect_every_tie_rounded(const oracle::Format& format) {
  for (std::uint64_t bits = 0; bits + 1 < format.infinity(); ++bits) {
    const double tie = double((format.decode(bits) + format.decode(bits + 1)) / 2);
    for (double value : {tie, std::nextafter(tie, 0.0), std::nextafter(tie, INFINITY), -tie}) {
      expect_rounded<Format>(format, value);
    }
  }
}

TEST(Elements, EveryTieOfTheSixteenBitFormatsRoundsOnceToEven) {
  expect_every_tie_rounded<Float16>(oracle::kFormats[0]);
  expect_every_tie_rounded<BFloat16>(oracle::kFormats[1]);
}

TEST(Elements, AnyDoubleIsRoundedOnce) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const auto value = bits_as<double>(std::uint64_t(random()));
    if (value != value) continue;
    expect_rounded<Float16>(oracle::kFormats[0],
                            std::ldexp(value, -std::ilogb(value) + int(random() % 48) - 28));
    expect_rounded<BFloat16>(oracle::kFormats[1],
                             std::ldexp(value, -std::ilogb(value) + int(random() % 280) - 145));
    expect_rounded<Float32>(oracle::kFormats[2],
                            std::ldexp(value, -std::ilogb(value) + int(random() % 300) - 160));
  }
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (double value :
       {0.0, -0.0, kInfinity, -kInfinity, 65519.999, 65520.0, 3.4e38, 1e300, 1e-320}) {
    expect_rounded<Float16>(oracle::kFormats[0], value);
    expect_rounded<BFloat16>(oracle::kFormats[1], value);
  }
}

TEST(Elements, PartsOfAVectorGoInAndComeOut) {
  Vector vector{};
  for (int k = 0; k < 8; ++k) put_part<Float16>(vector, k, std::uint16_t(0x1111 * (k + 1)));
  for (int k = 0; k < 8; ++k) EXPECT_EQ(part<Float16>(vector, k), 0x1111 * (k + 1));
  Vector wide{};
  for (int k = 0; k < 2; ++k) put_part<Float64>(wide, k, 0x123456789abcdef0u + std::uint64_t(k));
  for (int k = 0; k < 2; ++k)
    EXPECT_EQ(part<Float64>(wide, k), 0x123456789abcdef0u + std::uint64_t(k));
}

TEST(Elements, TheCeilingIsTheLargestPatternNotBeyondTheOverflow) {
  EXPECT_EQ(ceiling_of(Number::kFloat16, INFINITY), 0x7bffu);
  EXPECT_EQ(ceiling_of(Number::kFloat16, 1e6), 0x7bffu);
  EXPECT_EQ(ceiling_of(Number::kFloat16, 1.0), 0x3c00u);
  EXPECT_EQ(ceiling_of(Number::kFloat16, 1.0009), 0x3c00u);  // the next one is 1.0009765625
  EXPECT_EQ(ceiling_of(Number::kBfloat16, 0.1), 0x3dccu);    // 0.1 rounds up to 0x3dcd
  EXPECT_EQ(ceiling_of(Number::kFloat64, 2.5), bits_as<std::uint64_t>(2.5));
}

TEST(Elements, TheModulusNeitherOverflowsNorUnderflows) {
  EXPECT_EQ(modulus<true>(3e300, 4e300), 5e300);
  EXPECT_EQ(modulus<true>(3e-310, -4e-310), 5e-310);
  EXPECT_EQ(modulus<true>(0.0, 0.0), 0.0);
  EXPECT_EQ(modulus<true>(1.7e308, 1.7e308), INFINITY);
  EXPECT_EQ(modulus<false>(3.0, -4.0), 5.0);
}

}  // namespace
