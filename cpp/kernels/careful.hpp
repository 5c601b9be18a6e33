#pragma once
// The pass for stretches whose squares leave the range of double, and for powers. Knows nothing of
// torch.
//
// Static, as everything that is compiled for several instruction sets: see numbers.hpp.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/element.hpp"
#include "kernels/measure.hpp"
#include "kernels/table.hpp"

namespace gradcore {

/// Norms of order 1 and 2 need no powers beyond what is summed anyway.
static bool needs_powers(const Request& request) noexcept {
  return (request.needs & kNeedLp) && request.p != 1.0 && request.p != 2.0;
}

/// Reads element by element, in two passes: what each is and the largest magnitude; then the sums,
/// with everything scaled by a power of two so that squares stay within the range of double.
template <class Element>
static Partial measure_carefully(const Element* element, std::int64_t count,
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

}  // namespace gradcore
