#pragma once
// The changes that most elements take, in loops without branches. Knows nothing of torch.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/apply.hpp"
#include "kernels/element.hpp"
#include "kernels/lanewise.hpp"
#include "kernels/vectors.hpp"

namespace gradcore {
namespace {

/// Magnitudes beyond it are not finite.
double bound_of(const Change& change) noexcept {
  return std::min(change.overflow, std::numeric_limits<double>::max());
}

/// Whether numbers of 16 bits can be multiplied by `factor` in float32, as torch does it.
bool fits_float(double factor) noexcept {
  return !(std::fabs(factor) < std::numeric_limits<float>::min());
}

/// The factor as a float; NaN without anything in its lower half.
float single_of(double factor) noexcept {
  return factor == factor ? static_cast<float>(factor) : std::numeric_limits<float>::quiet_NaN();
}

/// Calls change(vector) for all numbers, in vectors of floats, and stores what it gives.
template <class Part, class Replace>
[[gnu::always_inline]] inline void change_all(Part* part, std::int64_t count,
                                              Replace change) noexcept {
  const auto change_at = [=](Part* at) __attribute__((always_inline)) {
    const Twins twins = twins_at(at);
    store_at(at, Twins{change(twins.first), change(twins.second)});
  };
  std::int64_t i = 0;
  for (; i + kTwins <= count; i += kTwins) change_at(part + i);
  if (i == count) return;
  Part last[kTwins] = {};
  std::memcpy(last, part + i, static_cast<std::size_t>(count - i) * sizeof(Part));
  change_at(last);
  std::memcpy(part + i, last, static_cast<std::size_t>(count - i) * sizeof(Part));
}

template <class Part>
void scale(Part* part, std::int64_t count, double factor) noexcept {
  if constexpr (sizeof(Part) == 2) {
    if (fits_float(factor)) {
      const float single = single_of(factor);
      change_all(part, count, [=](Floats value) { return value * single; });
      return;
    }
  }
  for (std::int64_t i = 0; i < count; ++i) part[i] = narrow<Part>(widen(part[i]) * factor);
}

/// Whether a number of a short stretch is not finite, or beyond `bound`.
template <class Part>
bool any_beyond_here(const Part* part, std::int64_t count, double bound) noexcept {
  std::int64_t i = 0;
  bool found = false;
  if constexpr (!std::is_same_v<Part, double>) {
    const float most = held_below(bound);
    Ints beyond{};
    for (; i + 2 * kWidth <= count; i += 2 * kWidth) {
      beyond |= ~(magnitude_of(floats_at(part + i)) <= most);
    }
    for (int lane = 0; lane < 2 * kWidth; ++lane) found |= beyond[lane] != 0;
  }
  for (; i < count; ++i) found |= !(std::fabs(widen(part[i])) <= bound);
  return found;
}

/// Numbers that are looked at together: few enough to be in the nearest cache after that.
constexpr std::int64_t kLook = 1024;

/// The same of any stretch, without a look at what follows the first one.
template <class Part>
bool any_beyond(const Part* part, std::int64_t count, double bound) noexcept {
  for (std::int64_t i = 0; i < count; i += kLook) {
    if (any_beyond_here(part + i, std::min(kLook, count - i), bound)) return true;
  }
  return false;
}

/// Repairs numbers one by one, parts of complex ones too, and multiplies them.
template <class Part>
void mend(Part* part, std::int64_t count, const Change& change) noexcept {
  const Replacement by =
      change.repair == kReplace ? held_in<Part>(change.replacement) : Replacement{};
  const double bound = bound_of(change), factor = change.factor;
  if constexpr (!std::is_same_v<Part, double>) {
    // Less zero: a sum with zero would make zero of minus zero.
    const Floats nan = static_cast<float>(by.nan) - Floats{},
                 posinf = static_cast<float>(by.posinf) - Floats{},
                 neginf = static_cast<float>(by.neginf) - Floats{};
    const float most = held_below(bound);
    const auto mended = [=](Floats value) {
      const Floats low = value < -most ? neginf : value;
      const Floats high = value > most ? posinf : low;
      return value != value ? nan : high;
    };
    if (factor == 1.0) {
      change_all(part, count, mended);
      return;
    }
    if constexpr (sizeof(Part) == 4) {
      change_all(part, count, [=](Floats value) { return multiplied(mended(value), factor); });
      return;
    } else if (fits_float(factor)) {
      const float single = single_of(factor);
      change_all(part, count, [=](Floats value) { return mended(value) * single; });
      return;
    }
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const double value = widen(part[i]);
    const double low = value < -bound ? by.neginf : value;
    const double high = value > bound ? by.posinf : low;
    part[i] = narrow<Part>((value != value ? by.nan : high) * factor);
  }
}

/// The same for complex elements, of which each goes as a whole.
template <class Part>
void mend(Complex<Part>* element, std::int64_t count, const Change& change) noexcept {
  const double bound = bound_of(change);
  for (std::int64_t i = 0; i < count; ++i) {
    const double real = widen(element[i].real), imag = widen(element[i].imag);
    const bool kept = (std::fabs(real) <= bound) & (std::fabs(imag) <= bound);
    element[i].real = narrow<Part>((kept ? real : 0.0) * change.factor);
    element[i].imag = narrow<Part>((kept ? imag : 0.0) * change.factor);
  }
}

/// Multiplies elements, and repairs those that need it. Up to the first of them few are looked at
/// together and changed at once, while memory delivers the next; after it, since they seldom come
/// alone, without a look.
template <class Element>
void mend_from_first(Element* element, std::int64_t count, const Change& change) noexcept {
  constexpr std::int64_t kParts = PartOf<Element>::count, kStep = kLook / kParts;
  const auto part_at = [=](std::int64_t i) {
    return reinterpret_cast<typename PartOf<Element>::type*>(element + i);
  };
  std::int64_t i = 0;
  for (; i < count; i += kStep) {
    const std::int64_t parts = std::min(kStep, count - i) * kParts;
    if (any_beyond_here(part_at(i), parts, bound_of(change))) break;
    if (change.factor != 1.0) scale(part_at(i), parts, change.factor);
  }
  if (i >= count) return;
  change.repair == kReplace ? mend(part_at(i), (count - i) * kParts, change)
                            : mend(element + i, count - i, change);
}

/// Whether `clamp` brings the elements within a limit: they are real, and finite by then.
template <class Part>
bool can_be_clamped(const Part* part, std::int64_t count, const Change& change) noexcept {
  return change.repair != kPropagate ||
         !any_beyond(part, count, std::numeric_limits<double>::max());
}
template <class Part>
bool can_be_clamped(const Complex<Part>*, std::int64_t, const Change&) noexcept {
  return false;
}

/// Brings finite numbers into [-limit, limit].
template <class Part>
void clamp(Part* part, std::int64_t count, double limit) noexcept {
  // Rounding keeps the order: the bound as the numbers can hold it bounds them alike.
  const double most = widen(narrow<Part>(std::min(limit, kLargest<Part>)));
  if constexpr (std::is_same_v<Part, double>) {
    for (std::int64_t i = 0; i < count; ++i) {
      const double low = part[i] < -most ? -most : part[i];
      part[i] = part[i] > most ? most : low;
    }
  } else {
    const Floats high = Floats{} + static_cast<float>(most);
    change_all(part, count, [=](Floats value) {
      const Floats low = value < -high ? -high : value;
      return value > high ? high : low;
    });
  }
}

}  // namespace
}  // namespace gradcore
