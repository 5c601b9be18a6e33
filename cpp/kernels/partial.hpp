#pragma once
// What is known of a stretch of elements, and how two stretches are joined. Knows nothing of torch.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

namespace gradcore {

/// The value `sum * 4^exponent`, kept apart so that squares cannot leave the range of double.
///
/// Scaling by a power of two is exact, so the only rounding is in the additions. Source: J. L.
/// Blue, "A Portable Fortran Program to Find the Euclidean Norm of a Vector", ACM TOMS 4(1), 1978
/// (three fixed scales there, one scale a block here).
struct SumOfSquares {
  double sum = 0.0;
  int exponent = 0;

  /// Square root of the value: infinite only where the true norm exceeds the largest double.
  double norm() const noexcept {
    return exponent == 0 ? std::sqrt(sum) : std::ldexp(std::sqrt(sum), exponent);
  }

  SumOfSquares& operator+=(SumOfSquares other) noexcept {
    if (other.sum == 0.0) return *this;
    if (sum == 0.0) return *this = other;
    if (exponent == other.exponent) {  // nearly always, and what follows is slow
      sum += other.sum;
      return *this;
    }
    if (exponent < other.exponent) std::swap(*this, other);
    sum += std::ldexp(other.sum, 2 * (other.exponent - exponent));
    return *this;
  }
};

/// The value `scale^p * sum`: magnitudes are divided by their largest before they are raised to p.
struct SumOfPowers {
  double sum = 0.0;
  double scale = 0.0;

  double norm(double p) const noexcept { return scale * std::pow(sum, 1.0 / p); }

  void add(SumOfPowers other, double p) noexcept {
    if (other.scale == 0.0) return;
    if (scale < other.scale) std::swap(*this, other);
    if (other.scale != 0.0) sum += other.sum * std::pow(other.scale / scale, p);
  }
};

/// Facts about a stretch of elements; see `Row` for what each means.
struct Partial {
  std::int64_t nan = 0;
  std::int64_t posinf = 0;
  std::int64_t neginf = 0;
  std::int64_t zeros = 0;
  SumOfSquares squares;
  SumOfPowers powers;  ///< of orders other than 1 and 2, which `l1` and `squares` are
  double l1 = 0.0;
  double max_abs = 0.0;
  long double sum =
      0.0;  ///< of a wider range: terms of either sign may overflow before they cancel
  long double sum_imag = 0.0;

  /// Takes in what is known of the stretch that follows. Joining in a fixed order gives fixed bits.
  void join(const Partial& next, double p) noexcept {
    nan += next.nan;
    posinf += next.posinf;
    neginf += next.neginf;
    zeros += next.zeros;
    squares += next.squares;
    powers.add(next.powers, p);
    l1 += next.l1;
    max_abs = std::max(max_abs, next.max_abs);
    sum += next.sum;
    sum_imag += next.sum_imag;
  }

  /// Counts everything `times` times, for elements that a gradient holds `times` times.
  void repeat(std::int64_t times) noexcept {
    nan *= times;
    posinf *= times;
    neginf *= times;
    zeros *= times;
    const auto factor = static_cast<double>(times);
    squares.sum *= factor;
    powers.sum *= factor;
    l1 *= factor;
    sum *= factor;
    sum_imag *= factor;
  }
};

}  // namespace gradcore
