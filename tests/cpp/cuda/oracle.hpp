#pragma once
// What measuring and applying should give, by other means: numbers are decoded from their bits by
// hand, sums are in long double, whose range holds the square of every double, and rounding is a
// search.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace oracle {

/// A binary format: bits of exponent and of mantissa.
struct Format {
  int exponent, mantissa;

  int bytes() const { return (1 + exponent + mantissa) / 8; }
  std::uint64_t infinity() const { return ((std::uint64_t(1) << exponent) - 1) << mantissa; }
  std::uint64_t sign() const { return std::uint64_t(1) << (exponent + mantissa); }

  /// The number a pattern stands for.
  long double decode(std::uint64_t bits) const {
    const std::uint64_t size = bits & (sign() - 1);
    const std::uint64_t fraction = size & ((std::uint64_t(1) << mantissa) - 1);
    const int scale = int(size >> mantissa), bias = (1 << (exponent - 1)) - 1;
    long double value;
    if (size > infinity()) return std::numeric_limits<long double>::quiet_NaN();
    if (size == infinity()) {
      value = std::numeric_limits<long double>::infinity();
    } else if (scale == 0) {
      value = std::ldexp((long double)fraction, 1 - bias - mantissa);
    } else {
      value = std::ldexp((long double)(fraction + (std::uint64_t(1) << mantissa)),
                         scale - bias - mantissa);
    }
    return bits & sign() ? -value : value;
  }

  /// The pattern nearest to a number, the even one of two: found by halving the range of patterns.
  std::uint64_t encode(long double value) const {
    const std::uint64_t sign_bit = std::signbit(value) ? sign() : 0;
    const long double size = std::fabs(value);
    if (std::isnan(value)) return infinity() | 1;
    std::uint64_t low = 0, high = infinity();  // decode(low) <= size
    while (high - low > 1) {
      const std::uint64_t middle = low + (high - low) / 2;
      (decode(middle) <= size ? low : high) = middle;
    }
    // Past the largest, the next number would be as far away as the last was.
    const long double above = high == infinity() ? 2 * decode(low) - decode(low - 1) : decode(high);
    const long double down = size - decode(low), up = above - size;
    if (std::isinf(size) || up < down || (up == down && low % 2 == 1)) low = high;
    return low | sign_bit;
  }
};

inline const Format kFormats[] = {{5, 10}, {8, 7}, {8, 23}, {11, 52}};

/// One tensor: `parts` patterns an element.
struct Array {
  Format format;
  int parts;
  std::vector<std::uint64_t> bits;

  std::int64_t numel() const { return std::int64_t(bits.size()) / parts; }
};

struct Facts {
  long double squares = 0, l1 = 0, max_abs = 0, sum = 0, sum_imag = 0, powers = 0;
  std::int64_t numel = 0, nan = 0, posinf = 0, neginf = 0, zeros = 0;
};

inline bool beyond(long double part, double overflow) {
  return std::fabs(part) > (long double)overflow || std::isinf(part);
}

/// Facts about some arrays taken as one; `replacement` null: what is not finite is left out.
inline Facts facts(const std::vector<const Array*>& arrays, double overflow,
                   const double* replacement, double p) {
  Facts found;
  for (const Array* array : arrays) {
    for (std::size_t i = 0; i < array->bits.size(); i += std::size_t(array->parts)) {
      long double part[2] = {0, 0};
      bool nan = false, above = false, below = false;
      for (int k = 0; k < array->parts; ++k) {
        part[k] = array->format.decode(array->bits[i + std::size_t(k)]);
        const bool is_nan = std::isnan(part[k]), is_beyond = !is_nan && beyond(part[k], overflow);
        nan |= is_nan;
        above |= is_beyond && part[k] > 0;
        below |= is_beyond && part[k] < 0;
        if (replacement && is_nan) part[k] = replacement[0];
        if (replacement && is_beyond) part[k] = replacement[part[k] > 0 ? 1 : 2];
      }
      ++found.numel;
      found.nan += nan;
      found.posinf += !nan && above;
      found.neginf += !nan && !above && below;
      if ((nan || above || below) && !replacement) continue;
      const long double size = std::hypot(part[0], part[1]);
      found.squares += part[0] * part[0] + part[1] * part[1];
      found.l1 += size;
      found.max_abs = std::max(found.max_abs, size);
      found.sum += part[0];
      found.sum_imag += part[1];
      found.zeros += part[0] == 0 && part[1] == 0;
      if (size != 0) found.powers += std::pow(size, (long double)p);
    }
  }
  return found;
}

}  // namespace oracle
