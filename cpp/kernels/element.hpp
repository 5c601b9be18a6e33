#pragma once
// One element at a time: what it is, and what a repair makes of it. Knows nothing of torch.

#include <algorithm>
#include <cmath>

#include "kernels/numbers.hpp"

namespace gradcore {

/// Stand-ins for the parts of non-finite elements.
struct Replacement {
  double nan = 0.0, posinf = 0.0, neginf = 0.0;
};

/// The same values as a part can hold them: rounded, and none of them to infinity.
template <class Part>
static inline Replacement held_in(const Replacement& by) noexcept {
  const auto held = [](double value) {
    const double bounded = std::clamp(value, -kLargest<Part>, kLargest<Part>);
    return static_cast<double>(widen(narrow<Part>(bounded)));
  };
  return {held(by.nan), held(by.posinf), held(by.neginf)};
}

/// An element in double precision; `imag` stays 0 where there is none.
struct Parts {
  double real = 0.0, imag = 0.0;
};

/// |z|, which overflows only if it exceeds the largest double.
static inline double magnitude_of(Parts value) noexcept {
  return value.imag == 0.0 ? std::fabs(value.real) : std::hypot(value.real, value.imag);
}

template <class Part>
static inline Parts load(const Part& value) noexcept {
  return {static_cast<double>(widen(value)), 0.0};
}
template <class Part>
static inline Parts load(const Complex<Part>& value) noexcept {
  return {static_cast<double>(widen(value.real)), static_cast<double>(widen(value.imag))};
}

template <class Part>
static inline void store(Part& to, Parts value) noexcept {
  to = narrow<Part>(value.real);
}
template <class Part>
static inline void store(Complex<Part>& to, Parts value) noexcept {
  to = {narrow<Part>(value.real), narrow<Part>(value.imag)};
}

enum class Kind { kFinite, kNan, kPosinf, kNeginf };

/// A part beyond `overflow` counts as infinite; with `overflow` = Inf only a part that is.
static inline bool beyond(double part, double overflow) noexcept {
  return std::fabs(part) > overflow || std::isinf(part);
}

static inline Kind kind_of(Parts value, double overflow) noexcept {
  if (std::isnan(value.real) || std::isnan(value.imag)) return Kind::kNan;
  const bool real = beyond(value.real, overflow), imag = beyond(value.imag, overflow);
  if (!real && !imag) return Kind::kFinite;
  return (real && value.real > 0) || (imag && value.imag > 0) ? Kind::kPosinf : Kind::kNeginf;
}

static inline double replaced(double part, double overflow, const Replacement& by) noexcept {
  if (std::isnan(part)) return by.nan;
  if (!beyond(part, overflow)) return part;
  return part > 0 ? by.posinf : by.neginf;
}

static inline Parts replaced(Parts value, double overflow, const Replacement& by) noexcept {
  // A real element has no imaginary part to replace: 0 is finite and stays 0.
  return {replaced(value.real, overflow, by), replaced(value.imag, overflow, by)};
}

/// `value` brought to a magnitude of at most `limit` along its own direction. NaN stays; what is
/// infinite lies in the direction of its infinite parts.
static inline Parts clamped(Parts value, double limit) noexcept {
  if (std::isnan(value.real) || std::isnan(value.imag)) return value;
  if (value.imag == 0.0) return {std::clamp(value.real, -limit, limit), value.imag};
  if (std::isinf(value.real) || std::isinf(value.imag)) {
    const double both = std::isinf(value.real) && std::isinf(value.imag) ? std::sqrt(0.5) : 1.0;
    const auto along = [=](double part) {
      return std::isinf(part) ? std::copysign(limit * both, part) : 0.0;
    };
    return {along(value.real), along(value.imag)};
  }
  // Halved parts have a magnitude that cannot overflow, and the same direction.
  const double magnitude = std::hypot(value.real / 2, value.imag / 2);
  if (magnitude <= limit / 2) return value;
  return {value.real / 2 / magnitude * limit, value.imag / 2 / magnitude * limit};
}

}  // namespace gradcore
