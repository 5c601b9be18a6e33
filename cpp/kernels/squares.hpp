#pragma once
// Sums of squares, as fast as memory delivers. Knows nothing of torch.

#include <cstdint>
#include <type_traits>

#include "kernels/lanewise.hpp"

namespace gradcore {
namespace {

constexpr int kStreams = 4;
constexpr int kLanes = 8;

/// Sum of squares of `count` numbers, unguarded: not finite if a number is not, or if it overflows.
///
/// The stretch is read as four streams side by side, since prefetchers stop at the end of a page;
/// each stream has lanes of its own, the same whatever the width of vectors. A float has a square
/// that double holds exactly.
template <class Part>
double sum_of_squares(const Part* part, std::int64_t count) noexcept {
  constexpr int kVectors = kLanes / kWidth;
  Doubles lanes[kStreams][kVectors] = {};
  const std::int64_t length = count / (kStreams * kLanes) * kLanes;
  for (std::int64_t i = 0; i < length; i += kLanes) {
#pragma GCC unroll 4
    for (int stream = 0; stream < kStreams; ++stream) {
#pragma GCC unroll 4
      for (int k = 0; k < kVectors; ++k) {
        const Doubles value = doubles_at(part + stream * length + i + k * kWidth);
        Doubles& sum = lanes[stream][k];
        sum = std::is_same_v<Part, double> ? sum + value * value : plus_square(sum, value);
      }
    }
  }
  double sum = 0.0;
  for (std::int64_t i = kStreams * length; i < count; ++i) {
    const double value = widen(part[i]);
    sum += value * value;
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    const auto of = [=](int stream) { return lanes[stream][lane / kWidth][lane % kWidth]; };
    sum += (of(0) + of(1)) + (of(2) + of(3));
  }
  return sum;
}

}  // namespace
}  // namespace gradcore
