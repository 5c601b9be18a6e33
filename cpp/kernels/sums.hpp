#pragma once
// When a sum of squares that was added up without care tells the truth. Knows nothing of torch.

#include <cmath>
#include <type_traits>

namespace gradcore {

/// Below this a sum of squares of doubles may have lost some that were too small: sqrt is 1e-100.
static constexpr double kSmallest = 1e-200;

/// Sums are rounded: one that comes this near to the square of `overflow` does not clear a block.
static constexpr double kDoubt = 1.0 + 0x1p-16;

/// Squares below 2^-126 lose digits: of 65,536 of them, less than 1e-33, which is nothing next to
/// this.
static constexpr double kSmallestShort = 1e-25;

/// Nothing in the sum is NaN, infinite or beyond `overflow`: no part is larger than its root.
static inline bool ordinary(double sum, double overflow) noexcept {
  return std::isfinite(sum) && sum * kDoubt <= overflow * overflow;
}

/// No square was too small for double. Those of floats, and of anything shorter, never are.
template <class Part>
static inline bool lossless(double sum) noexcept {
  return !std::is_same_v<Part, double> || sum >= kSmallest;
}

}  // namespace gradcore
