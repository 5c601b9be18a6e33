#pragma once
// Sums of squares, as fast as memory delivers. Knows nothing of torch.
//
// Static, as everything that is compiled for several instruction sets: see numbers.hpp.

#include <cstdint>

#include "kernels/numbers.hpp"

namespace gradcore {

constexpr int kStreams = 4;
constexpr int kLanes = 8;

/// Sum of squares of `count` numbers, unguarded: not finite if a number is not, or if it overflows.
///
/// The stretch is read as four streams side by side, since prefetchers stop at the end of a page;
/// each stream has lanes of its own, which compilers keep in vectors. A float, and anything
/// shorter, has a square that double holds exactly.
template <class Part>
static double sum_of_squares(const Part* part, std::int64_t count) noexcept {
  double lanes[kStreams][kLanes] = {};
  const std::int64_t length = count / (kStreams * kLanes) * kLanes;
  for (std::int64_t i = 0; i < length; i += kLanes) {
    for (int stream = 0; stream < kStreams; ++stream) {
      const Part* at = part + stream * length + i;
      for (int lane = 0; lane < kLanes; ++lane) {
        const double value = widen(at[lane]);
        lanes[stream][lane] += value * value;
      }
    }
  }
  double sum = 0.0;
  for (std::int64_t i = kStreams * length; i < count; ++i) {
    const double value = widen(part[i]);
    sum += value * value;
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    sum += (lanes[0][lane] + lanes[1][lane]) + (lanes[2][lane] + lanes[3][lane]);
  }
  return sum;
}

}  // namespace gradcore
