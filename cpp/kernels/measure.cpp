#include "kernels/capability.hpp"

#include <type_traits>

#include "kernels/sums.hpp"
#include "kernels/table.hpp"

namespace gradcore {
namespace {

constexpr int kStreams = 4;
constexpr int kLanes = 8;

/// Sum of squares of `count` numbers, unguarded: not finite if a number is not, or if it overflows.
///
/// The stretch is read as four streams side by side, since prefetchers stop at the end of a page;
/// each stream has lanes of its own, which compilers keep in vectors. A float, and anything
/// shorter, has a square that double holds exactly.
template <class Part>
double sum_of_squares(const Part* part, std::int64_t count) noexcept {
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

/// The same for numbers of 16 bits, whose squares are summed in float32, sixteen at most in one
/// sum: the result is within 2^-20 of the exact one, unless the squares leave the range of float32.
/// Then it is not finite, or so small that what underflowed may matter: `kSmallestShort` tells.
template <class Part>
double sum_of_short_squares(const Part* part, std::int64_t count) noexcept {
  constexpr int kShortLanes = 2 * kLanes, kRun = 16;
  double lanes[kShortLanes] = {};
  const std::int64_t length = count / (kStreams * kShortLanes * kRun) * kShortLanes * kRun;
  for (std::int64_t i = 0; i < length; i += kShortLanes * kRun) {
    float run[kStreams][kShortLanes] = {};
    for (std::int64_t j = i; j < i + kShortLanes * kRun; j += kShortLanes) {
      for (int stream = 0; stream < kStreams; ++stream) {
        const Part* at = part + stream * length + j;
        for (int lane = 0; lane < kShortLanes; ++lane) {
          const float value = widen(at[lane]);
          run[stream][lane] += value * value;
        }
      }
    }
    for (int lane = 0; lane < kShortLanes; ++lane) {
      lanes[lane] += (static_cast<double>(run[0][lane]) + run[1][lane]) +
                     (static_cast<double>(run[2][lane]) + run[3][lane]);
    }
  }
  double sum = sum_of_squares(part + kStreams * length, count - kStreams * length);
  for (const double lane : lanes) sum += lane;
  return sum;
}

/// Squares below 2^-126 lose digits: of 65,536 of them, less than 1e-33, which is nothing next to
/// this.
constexpr double kSmallestShort = 1e-25;

/// Sum of squares by whichever of the two is good for `count` numbers.
template <class Part>
double sum_of_any_squares(const Part* part, std::int64_t count) noexcept {
  if constexpr (sizeof(Part) == 2) {
    const double sum = sum_of_short_squares(part, count);
    if (sum >= kSmallestShort && std::isfinite(sum)) return sum;
  }
  return sum_of_squares(part, count);
}

/// Norms of order 1 and 2 need no powers beyond what is summed anyway.
bool needs_powers(const Request& request) noexcept {
  return (request.needs & kNeedLp) && request.p != 1.0 && request.p != 2.0;
}

/// Reads element by element, in two passes: what each is and the largest magnitude; then the sums,
/// with everything scaled by a power of two so that squares stay within the range of double.
template <class Element>
Partial measure_carefully(const Element* element, std::int64_t count,
                          const Request& request) noexcept {
  const Replacement replacement = held_in<typename PartOf<Element>::type>(request.replacement);
  Partial found;
  const auto value_of = [&](std::int64_t i, Kind& kind) {
    const Parts value = load(element[i]);
    kind = kind_of(value, request.overflow);
    if (kind == Kind::kFinite) return value;
    return request.replace ? replaced(value, request.overflow, replacement) : Parts{};
  };
  for (std::int64_t i = 0; i < count; ++i) {
    Kind kind;
    const Parts value = value_of(i, kind);
    found.nan += kind == Kind::kNan;
    found.posinf += kind == Kind::kPosinf;
    found.neginf += kind == Kind::kNeginf;
    // An element that is left out is no zero.
    const bool counted = kind == Kind::kFinite || request.replace;
    found.zeros += counted && value.real == 0.0 && value.imag == 0.0;
    found.max_abs = std::max(found.max_abs, std::max(std::fabs(value.real), std::fabs(value.imag)));
  }
  if (found.max_abs == 0.0) return found;

  const double largest_part = found.max_abs;
  found.squares.exponent = std::ilogb(largest_part);
  found.max_abs = 0.0;
  for (std::int64_t i = 0; i < count; ++i) {
    Kind kind;
    const Parts value = value_of(i, kind);
    const double real = std::scalbn(value.real, -found.squares.exponent);  // in (-2, 2)
    const double imag = std::scalbn(value.imag, -found.squares.exponent);
    found.squares.sum += real * real + imag * imag;
    found.sum += value.real;
    found.sum_imag += value.imag;
    const double magnitude = magnitude_of(value);
    found.l1 += magnitude;
    found.max_abs = std::max(found.max_abs, magnitude);
  }
  if (needs_powers(request)) {
    found.powers.scale = largest_part;
    for (std::int64_t i = 0; i < count; ++i) {
      Kind kind;
      const Parts value = value_of(i, kind);
      const double magnitude = magnitude_of({value.real / largest_part, value.imag / largest_part});
      if (magnitude != 0.0) found.powers.sum += std::pow(magnitude, request.p);
    }
  }
  return found;
}

/// Everything but powers, unguarded like `sum_of_squares`. A complex element's magnitude is the
/// root of its square, which may underflow for doubles: next to a sum that did not, such an element
/// is nothing.
template <class Element>
Partial measure_everything(const Element* element, std::int64_t count) noexcept {
  double squares[kLanes] = {}, l1[kLanes] = {}, sum[kLanes] = {}, sum_imag[kLanes] = {},
         max_abs[kLanes] = {};
  std::int64_t zeros[kLanes] = {};
  const auto take = [&](int lane, Parts value) {
    const double square = value.real * value.real + value.imag * value.imag;
    const double magnitude =
        PartOf<Element>::count == 1 ? std::fabs(value.real) : std::sqrt(square);
    squares[lane] += square;
    l1[lane] += magnitude;
    sum[lane] += value.real;
    if (PartOf<Element>::count == 2) sum_imag[lane] += value.imag;
    max_abs[lane] = magnitude > max_abs[lane] ? magnitude : max_abs[lane];
    zeros[lane] += value.real == 0.0 && value.imag == 0.0;
  };
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) take(lane, load(element[i + lane]));
  }
  for (; i < count; ++i) take(static_cast<int>(i % kLanes), load(element[i]));

  Partial found;
  for (int lane = 0; lane < kLanes; ++lane) {
    found.squares.sum += squares[lane];
    found.l1 += l1[lane];
    found.sum += sum[lane];
    found.sum_imag += sum_imag[lane];
    found.max_abs = std::max(found.max_abs, max_abs[lane]);
    found.zeros += zeros[lane];
  }
  return found;
}

template <class Part>
bool all_zero(const Part* part, std::int64_t count) noexcept {
  bool found = false;
  for (std::int64_t i = 0; i < count; ++i) found |= widen(part[i]) != 0;
  return !found;
}

template <class Element>
Partial measure_elements(const Element* element, std::int64_t count,
                         const Request& request) noexcept {
  using Part = typename PartOf<Element>::type;
  if (needs_powers(request)) return measure_carefully(element, count, request);

  const auto* part = reinterpret_cast<const Part*>(element);
  const std::int64_t parts = count * PartOf<Element>::count;
  Partial found;
  if (request.needs) {
    found = measure_everything(element, count);
  } else {
    found.squares.sum = sum_of_any_squares(part, parts);
  }
  // One look at the sum clears the whole block.
  const double sum = found.squares.sum;
  const bool good = ordinary(sum, request.overflow) &&
                    (lossless<Part>(sum) || (sum == 0.0 && all_zero(part, parts)));
  return good ? found : measure_carefully(element, count, request);
}

}  // namespace

namespace GRADCORE_CAPABILITY {

Partial measure(Number number, const void* data, std::int64_t count,
                const Request& request) noexcept {
  return with_element(number, [&](auto* type) {
    using Element = std::remove_pointer_t<decltype(type)>;
    return measure_elements(static_cast<const Element*>(data), count, request);
  });
}

}  // namespace GRADCORE_CAPABILITY
}  // namespace gradcore
