#pragma once
// What is added up, element by element and piece by piece, and how a column of the table follows.
//
//   l2     sqrt(sum |x|^2), squares in three doubles (J. L. Blue, "A Portable Fortran Program to
//   Find
//          the Euclidean Norm of a Vector", ACM TOMS 4(1), 1978):
//          |x| > 2^400 as (x 2^-600)^2, |x| < 2^-400 as (x 2^600)^2, others as they are
//   lp     m (sum (|x| / m)^p)^(1/p) with m the largest |x|
//
// Everything is merged in an order that follows from the list and the number of blocks alone.

#include <cstdint>

#include "elements.hpp"
#include "kernels/table.hpp"

namespace gradcore::cuda {

/// What is measured beyond counts and l2: nothing; all but lp; lp too.
enum class Mode { kNorm, kAll, kLp };

/// What was added up over some elements. The first six are always written, the others as asked for.
struct alignas(16) Sums {
  double big = 0.0, medium = 0.0, small = 0.0;
  std::uint64_t nan = 0, posinf = 0, neginf = 0;
  double l1 = 0.0, max_abs = 0.0, sum = 0.0, sum_imag = 0.0;
  std::uint64_t zeros = 0;
  double power_sum = 0.0;  ///< sum (|x| / max_abs)^p
};

/// How elements are read: which are non-finite, and what they count as.
struct Reading {
  std::uint64_t ceiling;  ///< largest pattern of a magnitude that counts as finite
  double replacement[3];  ///< for NaN, +Inf, -Inf; finite in the format
  bool replaces;
  double norm_type;
};

/// Two piles of p-th powers, each over its own largest element, joined over the larger of the two.
GRADCORE_BOTH void merge_powers(Sums& into, double largest, double powers, double p) {
  if (largest == into.max_abs) {
    into.power_sum += powers;
  } else if (largest < into.max_abs) {
    into.power_sum += powers * pow(largest / into.max_abs, p);
  } else {
    into.power_sum = powers + into.power_sum * pow(into.max_abs / largest, p);
  }
}

template <Mode kMode>
GRADCORE_BOTH void merge(Sums& into, const Sums& other, double p) {
  into.big += other.big;
  into.medium += other.medium;
  into.small += other.small;
  into.nan += other.nan;
  into.posinf += other.posinf;
  into.neginf += other.neginf;
  if constexpr (kMode != Mode::kNorm) {
    if constexpr (kMode == Mode::kLp) merge_powers(into, other.max_abs, other.power_sum, p);
    into.l1 += other.l1;
    into.max_abs = fmax(into.max_abs, other.max_abs);
    into.sum += other.sum;
    into.sum_imag += other.sum_imag;
    into.zeros += other.zeros;
  }
}

/// Counts everything `times` times.
GRADCORE_BOTH void repeat(Sums& sums, std::uint32_t times) {
  const auto factor = double(times);
  sums.big *= factor;
  sums.medium *= factor;
  sums.small *= factor;
  sums.nan *= times;
  sums.posinf *= times;
  sums.neginf *= times;
  sums.l1 *= factor;
  sums.sum *= factor;
  sums.sum_imag *= factor;
  sums.zeros *= times;
  sums.power_sum *= factor;
}

template <bool kWide>
GRADCORE_BOTH void add_square(Sums& sums, double x) {
  if constexpr (kWide) {
    const double size = fabs(x);
    if (size > 0x1p400) {
      sums.big = fma(x * 0x1p-600, x * 0x1p-600, sums.big);
      return;
    }
    if (size < 0x1p-400) {
      sums.small = fma(x * 0x1p600, x * 0x1p600, sums.small);
      return;
    }
  }
  sums.medium = fma(x, x, sums.medium);
}

/// Takes in one element, however large, small or broken it is.
template <class Format, int kParts, Mode kMode>
GRADCORE_BOTH void add(Sums& sums, Element<Format, kParts> element, const Reading& reading) {
  bool nan = false, above = false, below = false;
  double values[2] = {0.0, 0.0};
  GRADCORE_UNROLL
  for (int k = 0; k < kParts; ++k) {
    const auto bits = element.parts[k], size = magnitude<Format>(bits);
    values[k] = Format::value(bits);
    if (size > reading.ceiling) {
      const bool is_nan = size > Format::kInfinity, is_below = bits != size;
      nan |= is_nan;
      above |= !is_nan && !is_below;
      below |= !is_nan && is_below;
      values[k] = is_nan     ? reading.replacement[0]
                  : is_below ? reading.replacement[2]
                             : reading.replacement[1];
    }
  }
  if (nan | above | below) {
    sums.nan += nan;
    sums.posinf += !nan && above;
    sums.neginf += !nan && !above;
    if (!reading.replaces) return;
  }
  GRADCORE_UNROLL
  for (int k = 0; k < kParts; ++k) add_square<Format::kWide>(sums, values[k]);
  if constexpr (kMode != Mode::kNorm) {
    const double size =
        kParts == 1 ? fabs(values[0]) : modulus<Format::kWide>(values[0], values[1]);
    if constexpr (kMode == Mode::kLp) {
      if (size != 0.0) merge_powers(sums, size, 1.0, reading.norm_type);
    }
    sums.l1 += size;
    sums.max_abs = fmax(sums.max_abs, size);
    sums.sum += values[0];
    if constexpr (kParts == 2) sums.sum_imag += values[1];
    sums.zeros += values[0] == 0.0 && values[1] == 0.0;
  }
}

GRADCORE_BOTH double l2_of(const Sums& sums) {
  if (sums.big > 0.0) return sqrt(sums.big + sums.medium * 0x1p-600 * 0x1p-600) * 0x1p600;
  if (sums.medium > 0.0) return sqrt(sums.medium + sums.small * 0x1p-600 * 0x1p-600);
  return sqrt(sums.small) * 0x1p-600;
}

/// Writes column `column` of a table whose rows are `stride` long.
GRADCORE_BOTH void write_column(double* table, std::int64_t stride, std::int64_t column,
                                const Sums& sums, double present, double numel, int needs,
                                double p) {
  const double unknown = NAN;
  double* row = table + column;
  row[kPresent * stride] = present;
  row[kNumel * stride] = numel;
  row[kNan * stride] = double(sums.nan);
  row[kPosinf * stride] = double(sums.posinf);
  row[kNeginf * stride] = double(sums.neginf);
  row[kL2 * stride] = l2_of(sums);
  row[kL1 * stride] = needs & kNeedL1 ? sums.l1 : unknown;
  row[kMaxAbs * stride] = needs & kNeedMaxAbs ? sums.max_abs : unknown;
  row[kSum * stride] = needs & kNeedSum ? sums.sum : unknown;
  row[kSumImag * stride] = needs & kNeedSum ? sums.sum_imag : unknown;
  row[kZeros * stride] = needs & kNeedZeros ? double(sums.zeros) : unknown;
  row[kLp * stride] = needs & kNeedLp ? sums.max_abs * pow(sums.power_sum, 1.0 / p) : unknown;
}

}  // namespace gradcore::cuda
