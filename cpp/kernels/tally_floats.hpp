#pragma once
// The tally of real numbers that fit in a float: float32, and those of 16 bits. Knows nothing of
// torch.

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "kernels/lanewise.hpp"
#include "kernels/sums.hpp"
#include "kernels/tally.hpp"

namespace gradcore {
namespace {

constexpr int kStep = 32;               ///< numbers side by side
constexpr int kSlots = kStep / kTwins;  ///< twins that they are
constexpr int kRun = 16;                ///< steps whose sums are kept in registers
constexpr int kRunLength = kRun * kStep;
constexpr int kTurn = kRunLength / kTallyStreams;  ///< numbers of each stream in a run

/// The doubles that stand for a vector of floats.
struct Wide {
  Doubles low{}, high{};

  [[gnu::always_inline]] Wide& operator+=(Floats value) noexcept {
    low += lower(value);
    high += upper(value);
    return *this;
  }
  [[gnu::always_inline]] Wide& operator+=(const Wide& other) noexcept {
    low += other.low;
    high += other.high;
    return *this;
  }
};

[[gnu::always_inline]] inline void add_square(Wide& sum, Floats value) noexcept {
  sum.low = plus_square(sum.low, lower(value));
  sum.high = plus_square(sum.high, upper(value));
}
[[gnu::always_inline]] inline void add_square(Floats& sum, Floats value) noexcept {
  sum = plus_square(sum, value);
}

[[gnu::always_inline]] inline void add_magnitude(Wide& sum, Floats value) noexcept {
  sum.low += magnitude_of(lower(value));
  sum.high += magnitude_of(upper(value));
}
[[gnu::always_inline]] inline void add_magnitude(Floats& sum, Floats value) noexcept {
  sum += magnitude_of(value);
}

template <class Sum>
struct Sums {
  Sum squares{}, l1{}, sum{};
};

/// What is found out of the lanes of one slot. Sums of float32 are those of doubles; of 16 bits,
/// they are those of floats for one run, and go on in double after it.
template <class Part, Depth depth, bool kEverything>
struct SlotRun {
  static constexpr bool kShort = sizeof(Part) == 2;
  using Sum = std::conditional_t<kShort, Floats, Wide>;

  Sums<Sum> first, second;  ///< of twins; of float32 `first` alone
  Floats max_abs{};
  Ints nonzero{}, nan{}, posinf{}, neginf{};

  [[gnu::always_inline]] void take(Twins value, const Bounds& bounds) noexcept {
    take(value.first, first, bounds);
    take(value.second, kShort ? second : first, bounds);
  }

  [[gnu::always_inline]] void take(Floats value, Sums<Sum>& sums, const Bounds& bounds) noexcept {
    if constexpr (depth != Depth::kSums) {
      const Ints is_nan = value != value, up = value > bounds.most, down = value < -bounds.most;
      nan -= is_nan;
      posinf -= up;
      neginf -= down;
      if constexpr (depth == Depth::kReplaced) {
        const Floats low = down ? bounds.neginf : value;
        const Floats high = up ? bounds.posinf : low;
        value = is_nan ? bounds.nan : high;
      } else {
        value = (is_nan | up | down) ? Floats{} : value;
      }
    }
    add_square(sums.squares, value);
    if constexpr (kEverything) {
      const Floats magnitude = magnitude_of(value);
      add_magnitude(sums.l1, value);
      sums.sum += value;
      max_abs = larger(magnitude, max_abs);
      nonzero += at_most_one(magnitude);
    }
  }
};

/// The same of all runs.
template <class Part, Depth depth, bool kEverything>
struct Slot {
  Sums<Wide> sums;
  Floats max_abs{};
  Ints nonzero{}, nan{}, posinf{}, neginf{};

  [[gnu::always_inline]] void add(const SlotRun<Part, depth, kEverything>& run) noexcept {
    const auto join = [](Wide& to, const auto& first, const auto& second) {
      if constexpr (sizeof(Part) == 2) {
        to += first + second;
      } else {
        to += first;
      }
    };
    join(sums.squares, run.first.squares, run.second.squares);
    if constexpr (kEverything) {
      join(sums.l1, run.first.l1, run.second.l1);
      join(sums.sum, run.first.sum, run.second.sum);
      max_abs = larger(run.max_abs, max_abs);
      nonzero += run.nonzero;
    }
    if constexpr (depth != Depth::kSums) {
      nan += run.nan;
      posinf += run.posinf;
      neginf += run.neginf;
    }
  }

  void add_to(Partial& found) const noexcept {
    for (int i = 0; i < 2 * kWidth; ++i) {
      const auto lane = [i](const Wide& of) {
        return i < kWidth ? of.low[i] : of.high[i - kWidth];
      };
      found.nan += nan[i];
      found.posinf += posinf[i];
      found.neginf += neginf[i];
      found.squares.sum += lane(sums.squares);
      if constexpr (kEverything) {
        found.zeros -= nonzero[i];
        // An element that is left out is no zero, though it was summed as one.
        if (depth == Depth::kCounts) found.zeros -= nan[i] + posinf[i] + neginf[i];
        found.max_abs = std::max(found.max_abs, static_cast<double>(max_abs[i]));
        found.l1 += lane(sums.l1);
        found.sum += lane(sums.sum);
      }
    }
  }
};

/// Number `slot` of the twins of a step. A lane takes in the same numbers whatever the width of
/// vectors.
template <class Part>
[[gnu::always_inline]] inline Twins twins_of(const Part* step, int slot) noexcept {
  if constexpr (std::is_same_v<Part, Bfloat16>) {
    return twins_at(step + slot * kTwins);
  } else {
    const Part* const from = step + slot * 2 * kWidth;
    return {floats_at(from), floats_at(from + kStep / 2)};
  }
}

/// `tally` for real numbers that fit in a float. Of numbers of 16 bits sums are within 2^-20 of the
/// exact ones, relative to the sum of magnitudes. Unless squares leave the range of float32: then
/// their sum is not finite, or so small that what underflowed may matter, and all is done again in
/// double.
template <Depth depth, bool kEverything, class Part>
Partial tally_floats(const Part* part, std::int64_t count, const Request& request) noexcept {
  const auto bounds = Bounds::of<Part>(request);
  Slot<Part, depth, kEverything> slots[kSlots];
  // Four streams side by side, as in `sum_of_squares`: a run takes the same number of steps of
  // each.
  const std::int64_t length = count / kRunLength * kTurn;
  for (std::int64_t i = 0; i < length; i += kTurn) {
    for (int slot = 0; slot < kSlots; ++slot) {
      SlotRun<Part, depth, kEverything> run;
      for (int step = 0; step < kTurn; step += kStep) {
        for (int stream = 0; stream < kTallyStreams; ++stream) {
          run.take(twins_of(part + stream * length + i + step, slot), bounds);
        }
      }
      slots[slot].add(run);
    }
  }
  const std::int64_t done = kTallyStreams * length;
  Partial found = tally<depth, kEverything>(part + done, count - done, request);
  if (kEverything) found.zeros += done;
  for (const auto& slot : slots) slot.add_to(found);
  if constexpr (sizeof(Part) != 2) return found;
  const double sum = found.squares.sum;
  const bool inside = sum >= kSmallestShort && std::isfinite(sum);
  const bool expected = depth == Depth::kSums && !(sum < kSmallestShort);  // what a NaN makes
  return inside || expected ? found : tally<depth, kEverything>(part, count, request);
}

}  // namespace
}  // namespace gradcore
