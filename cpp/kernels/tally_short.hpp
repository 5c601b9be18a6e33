#pragma once
// The tally of numbers of 16 bits, in float32 as far as it goes. Knows nothing of torch.

#include <cmath>
#include <cstdint>

#include "kernels/sums.hpp"
#include "kernels/tally.hpp"

namespace gradcore {
namespace {

constexpr int kRun = 16;  ///< numbers summed in float32 before a sum goes on in double
constexpr int kShortVectors = kTallyLanes / (2 * kWidth);

using Ints = Vector<std::int32_t, 2 * kWidth>;

/// Sums of the runs of one stream: floats, of at most `kRun` terms.
struct Run {
  Floats squares{}, l1{}, sum{};
};

/// Sums of the lanes of one vector of floats.
struct ShortLanes {
  Doubles squares[2] = {}, l1[2] = {}, sum[2] = {};
  Floats max_abs{};
  Ints zeros{}, nan{}, posinf{}, neginf{};

  template <Depth depth, bool kEverything>
  [[gnu::always_inline]] void take(Floats value, Run& run, const Replacement& by,
                                   float most) noexcept {
    Ints dropped{};
    if constexpr (depth != Depth::kSums) {
      const Ints is_nan = value != value, up = value > most, down = value < -most;
      nan -= is_nan;
      posinf -= up;
      neginf -= down;
      if constexpr (depth == Depth::kReplaced) {
        const Floats low = down ? Floats{} + static_cast<float>(by.neginf) : value;
        const Floats high = up ? Floats{} + static_cast<float>(by.posinf) : low;
        value = is_nan ? Floats{} + static_cast<float>(by.nan) : high;
      } else {
        dropped = is_nan | up | down;
        value = dropped ? Floats{} : value;
      }
    }
    run.squares += value * value;
    if constexpr (kEverything) {
      const Floats magnitude = value < 0.0f ? -value : value;
      run.l1 += magnitude;
      run.sum += value;
      max_abs = magnitude > max_abs ? magnitude : max_abs;
      zeros -= (value == 0.0f) & ~dropped;
    }
  }

  /// Goes on in double with what the four streams of a run came to.
  template <bool kEverything>
  [[gnu::always_inline]] void add(const Run& a, const Run& b, const Run& c, const Run& d) noexcept {
    squares[0] += (lower(a.squares) + lower(b.squares)) + (lower(c.squares) + lower(d.squares));
    squares[1] += (upper(a.squares) + upper(b.squares)) + (upper(c.squares) + upper(d.squares));
    if constexpr (kEverything) {
      l1[0] += (lower(a.l1) + lower(b.l1)) + (lower(c.l1) + lower(d.l1));
      l1[1] += (upper(a.l1) + upper(b.l1)) + (upper(c.l1) + upper(d.l1));
      sum[0] += (lower(a.sum) + lower(b.sum)) + (lower(c.sum) + lower(d.sum));
      sum[1] += (upper(a.sum) + upper(b.sum)) + (upper(c.sum) + upper(d.sum));
    }
  }

  void add_to(Partial& found) const noexcept {
    for (int i = 0; i < 2 * kWidth; ++i) {
      found.nan += nan[i];
      found.posinf += posinf[i];
      found.neginf += neginf[i];
      found.zeros += zeros[i];
      found.max_abs = std::max(found.max_abs, static_cast<double>(max_abs[i]));
      found.squares.sum += squares[i / kWidth][i % kWidth];
      found.l1 += l1[i / kWidth][i % kWidth];
      found.sum += sum[i / kWidth][i % kWidth];
    }
  }
};

/// `tally` for numbers of 16 bits: sums are within 2^-20 of the exact ones, relative to the sum of
/// magnitudes. Unless squares leave the range of float32: then their sum is not finite, or so small
/// that what underflowed may matter, and all is done again in double.
template <Depth depth, bool kEverything, class Part>
Partial tally_short(const Part* part, std::int64_t count, const Request& request) noexcept {
  const Replacement by = held_in<Part>(request.replacement);
  const float most = held_below(std::min(request.overflow, std::numeric_limits<double>::max()));
  ShortLanes lanes[kShortVectors];
  const std::int64_t length = count / (kTallyStreams * kTallyLanes * kRun) * kTallyLanes * kRun;
  for (std::int64_t i = 0; i < length; i += kTallyLanes * kRun) {
    Run runs[kTallyStreams][kShortVectors];
    for (std::int64_t j = i; j < i + kTallyLanes * kRun; j += kTallyLanes) {
      for (int stream = 0; stream < kTallyStreams; ++stream) {
        for (int k = 0; k < kShortVectors; ++k) {
          const Floats value = floats_at(part + stream * length + j + k * 2 * kWidth);
          lanes[k].template take<depth, kEverything>(value, runs[stream][k], by, most);
        }
      }
    }
    for (int k = 0; k < kShortVectors; ++k) {
      lanes[k].template add<kEverything>(runs[0][k], runs[1][k], runs[2][k], runs[3][k]);
    }
  }
  const std::int64_t done = kTallyStreams * length;
  Partial found = tally<depth, kEverything>(part + done, count - done, request);
  for (const ShortLanes& each : lanes) each.add_to(found);
  const double sum = found.squares.sum;
  const bool inside = sum >= kSmallestShort && std::isfinite(sum);
  const bool expected = depth == Depth::kSums && !(sum < kSmallestShort);  // what a NaN makes
  return inside || expected ? found : tally<depth, kEverything>(part, count, request);
}

}  // namespace
}  // namespace gradcore
