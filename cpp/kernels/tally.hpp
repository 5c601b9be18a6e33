#pragma once
// One pass that counts what is not finite, and sums what is asked for. Knows nothing of torch.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "kernels/element.hpp"
#include "kernels/lanewise.hpp"
#include "kernels/measure.hpp"
#include "kernels/vectors.hpp"

namespace gradcore {
namespace {

constexpr int kTallyStreams = 4;
constexpr int kTallyLanes = 16;
constexpr int kVectors = kTallyLanes / kWidth;

/// Loads `kTallyLanes` elements.
template <class Part>
[[gnu::always_inline]] inline void load_lanes(const Part* from, Pairs* to) noexcept {
  if constexpr (sizeof(Part) == 2) {
    for (int i = 0; i < kVectors; i += 2) {
      const Floats floats = floats_at(from + i * kWidth);
      to[i].real = lower(floats);
      to[i + 1].real = upper(floats);
    }
  } else {
    for (int i = 0; i < kVectors; ++i) to[i].real = doubles_at(from + i * kWidth);
  }
}

template <class Part>
[[gnu::always_inline]] inline void load_lanes(const Complex<Part>* from, Pairs* to) noexcept {
  Pairs parts[2 * kVectors];
  load_lanes(reinterpret_cast<const Part*>(from), parts);
  load_lanes(reinterpret_cast<const Part*>(from) + kTallyLanes, parts + kVectors);
  for (int i = 0; i < kVectors; ++i) {
    to[i] = paired(parts[2 * i].real, parts[2 * i + 1].real);
  }
}

/// What counts as infinite, and what stands in for what is not finite.
struct Limits {
  Doubles bound, nan, posinf, neginf;

  template <class Part>
  static Limits of(const Request& request) noexcept {
    const Replacement by = held_in<Part>(request.replacement);
    const double bound = std::min(request.overflow, std::numeric_limits<double>::max());
    return {all(bound), all(by.nan), all(by.posinf), all(by.neginf)};
  }

  Doubles replaced(Doubles part) const noexcept {
    const Doubles low = part < -bound ? neginf : part;
    const Doubles high = part > bound ? posinf : low;
    return part != part ? nan : high;
  }
};

/// The same for floats.
struct Bounds {
  Floats most, nan, posinf, neginf;

  template <class Part>
  static Bounds of(const Request& request) noexcept {
    const Replacement by = held_in<Part>(request.replacement);
    const auto all = [](double value) { return Floats{} + static_cast<float>(value); };
    const float most = held_below(std::min(request.overflow, std::numeric_limits<double>::max()));
    return {Floats{} + most, all(by.nan), all(by.posinf), all(by.neginf)};
  }
};

/// How much `tally` finds out.
enum class Depth {
  kSums,     ///< takes every element to be finite: the sum of squares is not, if one is not
  kCounts,   ///< leaves out what is not finite, and counts it
  kReplaced  ///< counts it, and sums what it is replaced by, each part by itself
};

/// Sums of the lanes of one vector.
template <class Element, Depth depth, bool kEverything>
struct Lanes {
  static constexpr bool kComplex = PartOf<Element>::count == 2;

  Doubles squares{}, l1{}, max_abs{}, sum{}, sum_imag{};
  Longs zeros{}, nan{}, posinf{}, neginf{};

  [[gnu::always_inline]] void take(Pairs value, const Limits& limits) noexcept {
    Longs dropped{};
    if constexpr (depth != Depth::kSums) {
      Longs is_nan = value.real != value.real;
      Longs up = value.real > limits.bound;
      Longs down = value.real < -limits.bound;
      if constexpr (kComplex) {  // NaN before +Inf before -Inf, whichever part it is
        is_nan |= value.imag != value.imag;
        up = (up | (value.imag > limits.bound)) & ~is_nan;
        down = (down | (value.imag < -limits.bound)) & ~is_nan & ~up;
      }
      nan -= is_nan;
      posinf -= up;
      neginf -= down;
      if constexpr (depth == Depth::kReplaced) {
        value.real = limits.replaced(value.real);
        if (kComplex) value.imag = limits.replaced(value.imag);
      } else {
        dropped = is_nan | up | down;
        value.real = dropped ? Doubles{} : value.real;
        if (kComplex) value.imag = dropped ? Doubles{} : value.imag;
      }
    }
    Doubles square = value.real * value.real;
    if (kComplex) square += value.imag * value.imag;
    squares += square;
    if constexpr (kEverything) {
      Doubles magnitude = value.real < 0.0 ? -value.real : value.real;
      Longs zero = value.real == 0.0;
      if constexpr (kComplex) {
        for (int i = 0; i < kWidth; ++i) magnitude[i] = std::sqrt(square[i]);
        zero &= value.imag == 0.0;
        sum_imag += value.imag;
      }
      l1 += magnitude;
      sum += value.real;
      max_abs = larger(magnitude, max_abs);
      zeros -= zero & ~dropped;  // an element that is left out is no zero
    }
  }

  void add_to(Partial& found) const noexcept {
    for (int i = 0; i < kWidth; ++i) {
      found.nan += nan[i];
      found.posinf += posinf[i];
      found.neginf += neginf[i];
      found.zeros += zeros[i];
      found.squares.sum += squares[i];
      found.l1 += l1[i];
      found.sum += sum[i];
      found.sum_imag += sum_imag[i];
      found.max_abs = std::max(found.max_abs, max_abs[i]);
    }
  }
};

/// Facts about a stretch whose finite squares stay within the range of double: counts, squares, and
/// everything but powers if `kEverything`. The same bits whatever the width of vectors.
///
/// A complex element's magnitude is the root of its square, which may underflow for doubles: next
/// to a sum that did not, such an element is nothing.
template <Depth depth, bool kEverything, class Element>
Partial tally(const Element* element, std::int64_t count, const Request& request) noexcept {
  const auto limits = Limits::of<typename PartOf<Element>::type>(request);
  Lanes<Element, depth, kEverything> lanes[kVectors];
  const auto take = [&](const Element* from) __attribute__((always_inline)) {
    Pairs values[kVectors];
    load_lanes(from, values);
    for (int i = 0; i < kVectors; ++i) lanes[i].take(values[i], limits);
  };
  // Four streams side by side, as in `sum_of_squares`.
  const std::int64_t length = count / (kTallyStreams * kTallyLanes) * kTallyLanes;
  for (std::int64_t i = 0; i < length; i += kTallyLanes) {
    take(element + i);
    take(element + length + i);
    take(element + 2 * length + i);
    take(element + 3 * length + i);
  }
  std::int64_t i = kTallyStreams * length;
  for (; i + kTallyLanes <= count; i += kTallyLanes) take(element + i);
  const std::int64_t rest = count - i;
  if (rest > 0) {
    Element last[kTallyLanes] = {};
    std::memcpy(last, element + i, static_cast<std::size_t>(rest) * sizeof(Element));
    take(last);
  }

  Partial found;
  for (const auto& each : lanes) each.add_to(found);
  // Not those that filled up the last ones.
  if (kEverything && rest > 0) found.zeros -= kTallyLanes - rest;
  return found;
}

}  // namespace
}  // namespace gradcore
