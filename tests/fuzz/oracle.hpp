#pragma once
// What the kernels should find and leave behind: one element after another, in long double, whose
// range holds every square of a double. Shares no code with the kernels but the names of things.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/apply.hpp"
#include "kernels/measure.hpp"

namespace gradcore::fuzz {

using Wide = long double;
static_assert(std::numeric_limits<Wide>::max_exponent > 2 * 1024, "squares of doubles must fit");

constexpr double kInf = std::numeric_limits<double>::infinity();

/// A binary floating-point format: bytes, significant bits, the exponents of its normal numbers.
struct Format {
  int bytes, precision, lowest, highest;
  bool complex;

  Wide largest() const { return std::ldexp(2.0L - std::ldexp(1.0L, 1 - precision), highest); }
  int element_bytes() const { return complex ? 2 * bytes : bytes; }

  /// Distance of two numbers of the format as large as `value`.
  Wide step(Wide value) const {
    int exponent = lowest;
    if (value != 0.0L && std::isfinite(value)) exponent = std::max(lowest, std::ilogb(value));
    return std::ldexp(1.0L, std::min(exponent, highest) - precision + 1);
  }

  /// The nearest number, ties to even.
  Wide round(Wide value) const {
    if (!std::isfinite(value)) return value;
    const Wide unit = step(value), rounded = std::nearbyint(value / unit) * unit;
    if (std::fabs(rounded) <= largest()) return std::copysign(rounded, value);
    return std::copysign(static_cast<Wide>(kInf), value);
  }

  /// The nearest number that is finite.
  Wide saturate(Wide value) const { return std::clamp(round(value), -largest(), largest()); }
};

inline Format format_of(Number number) {
  constexpr Format kHalf{2, 11, -14, 15, false}, kBrain{2, 8, -126, 127, false},
      kSingle{4, 24, -126, 127, false}, kDouble{8, 53, -1022, 1023, false};
  const auto pair = [](Format form) { return form.complex = true, form; };
  switch (number) {
    case Number::kFloat16:
      return kHalf;
    case Number::kBfloat16:
      return kBrain;
    case Number::kFloat32:
      return kSingle;
    case Number::kComplex32:
      return pair(kHalf);
    case Number::kComplex64:
      return pair(kSingle);
    case Number::kComplex128:
      return pair(kDouble);
    default:
      return kDouble;
  }
}

/// The number that some bytes stand for, from its fields; doubles are read as such.
inline Wide number_at(const std::uint8_t* at, const Format& form) {
  if (form.bytes == 8) {
    double value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  std::uint32_t bits = 0;
  std::memcpy(&bits, at, static_cast<std::size_t>(form.bytes));
  const int fraction_bits = form.precision - 1, width = 8 * form.bytes;
  const std::uint32_t fraction = bits & ((1u << fraction_bits) - 1);
  const auto exponent =
      static_cast<int>((bits >> fraction_bits) & ((1u << (width - form.precision)) - 1));
  const Wide sign = bits >> (width - 1) ? -1.0L : 1.0L;
  if (exponent == (1 << (width - form.precision)) - 1) {
    return sign * static_cast<Wide>(fraction ? std::numeric_limits<double>::quiet_NaN() : kInf);
  }
  const Wide whole =
      static_cast<Wide>(fraction) + (exponent ? std::ldexp(1.0L, fraction_bits) : 0.0L);
  return sign * std::ldexp(whole, std::max(exponent, 1) - 1 + form.lowest - fraction_bits);
}

/// One element: its imaginary part is 0 where there is none.
struct Value {
  Wide real = 0.0L, imag = 0.0L;

  Wide size() const { return std::hypot(real, imag); }
  bool is_nan() const { return std::isnan(real) || std::isnan(imag); }
};

inline std::vector<Value> values_of(const std::uint8_t* data, std::int64_t count,
                                    const Format& form) {
  std::vector<Value> values(static_cast<std::size_t>(count));
  for (Value& value : values) {
    value.real = number_at(data, form);
    if (form.complex) value.imag = number_at(data + form.bytes, form);
    data += form.element_bytes();
  }
  return values;
}

inline bool too_large(Wide part, double overflow) {
  return std::isinf(part) || std::fabs(part) > overflow;
}

enum class Sort { kFinite, kNan, kPosinf, kNeginf };

inline Sort sort_of(Value value, double overflow) {
  if (value.is_nan()) return Sort::kNan;
  bool up = false, down = false;
  for (const Wide part : {value.real, value.imag}) {
    if (too_large(part, overflow)) (part > 0 ? up : down) = true;
  }
  return up ? Sort::kPosinf : down ? Sort::kNeginf : Sort::kFinite;
}

inline Value stand_in(Value value, double overflow, const Replacement& by, const Format& form) {
  const auto part = [&](Wide number) -> Wide {
    if (std::isnan(number)) return form.saturate(by.nan);
    if (!too_large(number, overflow)) return number;
    return form.saturate(number > 0 ? by.posinf : by.neginf);
  };
  return {part(value.real), form.complex ? part(value.imag) : 0.0L};
}

/// What there is to know about some elements.
struct Facts {
  std::int64_t nan = 0, posinf = 0, neginf = 0, zeros = 0;
  Wide squares = 0, l1 = 0, max_abs = 0, sum = 0, sum_imag = 0;
  std::vector<Wide> sizes;  ///< of what is summed

  /// The norm of order `p`, of sizes divided by the largest so that no power vanishes.
  Wide lp(Wide p) const {
    if (max_abs == 0) return 0;
    Wide powers = 0;
    for (const Wide size : sizes) powers += std::pow(size / max_abs, p);
    return max_abs * std::pow(powers, 1 / p);
  }

  void take(Value value, const Request& request, const Format& form) {
    const Sort sort = sort_of(value, request.overflow);
    nan += sort == Sort::kNan;
    posinf += sort == Sort::kPosinf;
    neginf += sort == Sort::kNeginf;
    if (sort != Sort::kFinite) {
      if (!request.replace) return;
      value = stand_in(value, request.overflow, request.replacement, form);
    }
    zeros += value.real == 0 && value.imag == 0;
    squares += value.real * value.real + value.imag * value.imag;
    l1 += value.size();
    max_abs = std::max(max_abs, value.size());
    sum += value.real;
    sum_imag += value.imag;
    sizes.push_back(value.size());
  }
};

inline Facts facts_of(const std::vector<Value>& values, const Request& request,
                      const Format& form) {
  Facts facts;
  for (const Value& value : values) facts.take(value, request, form);
  return facts;
}

}  // namespace gradcore::fuzz
