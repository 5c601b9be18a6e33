#pragma once
// The seven kinds of numbers a gradient may hold, and exact ways between them and double.
// Knows nothing of torch.
//
// Functions are static, here and in element.hpp: kernels are compiled for several instruction sets,
// and a function shared by two of them would run with the instructions of either.

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace gradcore {

enum class Number { kFloat16, kBfloat16, kFloat32, kFloat64, kComplex32, kComplex64, kComplex128 };

/// IEEE 754 binary16, as it lies in memory.
struct Float16 {
  std::uint16_t bits;
};

/// The upper half of a float.
struct Bfloat16 {
  std::uint16_t bits;
};

/// Every element of a complex tensor is two parts in memory, the real one first.
template <class Part>
struct Complex {
  Part real, imag;
};

static constexpr float widen(float value) noexcept { return value; }
static constexpr double widen(double value) noexcept { return value; }

static inline float widen(Bfloat16 value) noexcept {
  return std::bit_cast<float>(std::uint32_t{value.bits} << 16);
}

/// Exact. Subnormals go through an integer, so that flushing of subnormal floats cannot reach them.
static inline float widen(Float16 value) noexcept {
  const std::uint32_t magnitude = value.bits & 0x7fffu;
  const std::uint32_t sign = (value.bits & 0x8000u) << 16;
  const std::uint32_t rebiased = (magnitude << 13) + ((127u - 15u) << 23);
  const std::uint32_t special = (magnitude << 13) | 0x7f800000u;
  const std::uint32_t small = std::bit_cast<std::uint32_t>(
      static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-24f);
  const std::uint32_t wide = magnitude < 0x0400u    ? small
                             : magnitude >= 0x7c00u ? special
                                                    : rebiased;
  return std::bit_cast<float>(wide | sign);
}

/// `value` as the float whose last bit is set if anything was cut off: rounding that to fewer bits
/// gives what rounding `value` itself would. Source: S. Boldo and G. Melquiond, "Emulation of a FMA
/// and Correctly Rounded Sums: Proved Algorithms Using Rounding to Odd", IEEE TC 57(4), 2008.
static inline float round_to_odd(double value) noexcept {
  const float nearest = static_cast<float>(value);
  const double back = nearest;
  std::uint32_t bits = std::bit_cast<std::uint32_t>(nearest);
  if (back != value && value == value) {
    bits -= std::fabs(back) > std::fabs(value) ? 1u : 0u;
    bits |= 1u;
  }
  return std::bit_cast<float>(bits);
}

/// A float rounded to the nearest number of 16 bits, ties to even. Without branches, for vectors.
template <class Part>
static inline Part shorten(float value) noexcept {
  if constexpr (std::is_same_v<Part, Bfloat16>) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const std::uint32_t quiet = (bits >> 16) | 0x0040u;
    return {static_cast<std::uint16_t>(value == value ? rounded : quiet)};
  } else {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (bits >> 16) & 0x8000u;
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    const std::uint32_t quiet = 0x7e00u | ((magnitude >> 13) & 0x03ffu);
    // Below 2^-14: the number of steps of 2^-24, rounded by the addition of a large float.
    const std::uint32_t small =
        std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
    const std::uint32_t rounded =
        (magnitude - ((127u - 15u) << 23) + 0x0fffu + ((magnitude >> 13) & 1u)) >> 13;
    std::uint32_t half = magnitude < 0x38800000u ? small : rounded;
    half = magnitude >= 0x477ff000u ? 0x7c00u : half;  // 65520 and beyond round to infinity
    half = magnitude > 0x7f800000u ? quiet : half;
    return {static_cast<std::uint16_t>(half | sign)};
  }
}

/// Rounds to nearest, ties to even, as every conversion of IEEE 754 does by default.
template <class Part>
static inline Part narrow(double value) noexcept {
  if constexpr (sizeof(Part) == 2) {
    return shorten<Part>(round_to_odd(value));
  } else {
    return static_cast<Part>(value);
  }
}

/// The largest finite number of a kind of part.
template <class Part>
inline constexpr double kLargest = std::numeric_limits<Part>::max();
template <>
inline constexpr double kLargest<Float16> = 65504.0;
template <>
inline constexpr double kLargest<Bfloat16> = 0x1.fep127;

/// Calls `visit` with a null pointer to the element type that `number` stands for.
template <class Visit>
static inline decltype(auto) with_element(Number number, Visit&& visit) {
  switch (number) {
    case Number::kFloat16:
      return visit(static_cast<Float16*>(nullptr));
    case Number::kBfloat16:
      return visit(static_cast<Bfloat16*>(nullptr));
    case Number::kFloat32:
      return visit(static_cast<float*>(nullptr));
    case Number::kComplex32:
      return visit(static_cast<Complex<Float16>*>(nullptr));
    case Number::kComplex64:
      return visit(static_cast<Complex<float>*>(nullptr));
    case Number::kComplex128:
      return visit(static_cast<Complex<double>*>(nullptr));
    case Number::kFloat64:
      break;
  }
  return visit(static_cast<double*>(nullptr));
}

/// What an element is made of: one part, or two.
template <class Element>
struct PartOf {
  using type = Element;
  static constexpr int count = 1;
};
template <class Part>
struct PartOf<Complex<Part>> {
  using type = Part;
  static constexpr int count = 2;
};

}  // namespace gradcore
