#pragma once
// The same two verbs for gradients whose units each have a norm, and a factor, of their own. Knows
// nothing of torch, allocates nothing, throws nothing.

#include <cstdint>

#include "kernels/apply.hpp"
#include "kernels/measure.hpp"

namespace gradcore {

/// Which unit each element of a gradient belongs to, in the order of memory: `inner` neighbours to
/// one, the next `inner` to the next, and after `count` units it begins again with the first.
struct UnitLayout {
  std::int64_t inner = 1;
  std::int64_t count = 1;

  std::int64_t unit_of(std::int64_t element) const noexcept { return element / inner % count; }
};

/// Some of the elements of a gradient: `count` of them, the first of which is number `begin`.
struct Stretch {
  Number number;
  std::int64_t begin;
  std::int64_t count;
};

/// Adds the squares of the stretch to those of their units; `squares` begins with unit `first`.
///
/// Non-finite elements, overflow and replacements are treated as `measure` does, and nothing
/// overflows or underflows either. Meant for a stretch that is in a cache, since it was measured.
void measure_units(const Stretch& stretch, const void* data, const UnitLayout& layout,
                   const Request& request, std::int64_t first, SumOfSquares* squares) noexcept;

/// Carries out the repair of `change` and then multiplies each element by the factor of its unit. A
/// unit whose factor is exactly 1 is not multiplied.
void apply_units(const Stretch& stretch, void* data, const UnitLayout& layout,
                 const double* factors, Change change) noexcept;

}  // namespace gradcore
