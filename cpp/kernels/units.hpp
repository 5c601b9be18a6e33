#pragma once
// The same two verbs for gradients whose units each have a norm, and a factor, of their own. Knows
// nothing of torch, allocates nothing, throws nothing.

#include <algorithm>
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

/// Calls visit(unit, offset, count) for every run of elements of one unit.
template <class Visit>
static inline void for_each_run(const Stretch& stretch, const UnitLayout& layout, Visit&& visit) {
  std::int64_t unit = layout.unit_of(stretch.begin);
  std::int64_t rest = layout.inner - stretch.begin % layout.inner;
  for (std::int64_t offset = 0; offset < stretch.count;) {
    const std::int64_t run = std::min(rest, stretch.count - offset);
    visit(unit, offset, run);
    offset += run;
    rest = layout.inner;
    if (++unit == layout.count) unit = 0;
  }
}

/// What `measure` says of the stretch, and adds its squares to those of their units; `squares`
/// begins with unit `first`.
///
/// Nothing overflows or underflows here either, and non-finite elements, overflow and replacements
/// mean the same. Where units alternate with every element, or more than the norm is needed, the
/// stretch is read twice: one that fits in a cache is read from memory once.
Partial measure_units(const Stretch& stretch, const void* data, const UnitLayout& layout,
                      const Request& request, std::int64_t first, SumOfSquares* squares) noexcept;

/// Carries out the repair of `change` and then multiplies each element by the factor of its unit. A
/// unit whose factor is exactly 1 is not multiplied.
void apply_units(const Stretch& stretch, void* data, const UnitLayout& layout,
                 const double* factors, Change change) noexcept;

}  // namespace gradcore
