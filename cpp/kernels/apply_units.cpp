#include <algorithm>
#include <limits>
#include <type_traits>

#include "kernels/capability.hpp"
#include "kernels/units.hpp"

namespace gradcore {
namespace {

namespace own = GRADCORE_CAPABILITY;  // with the same instructions as what is here

/// As `apply` multiplies: numbers of 16 bits in float32, unless the factor is too small for it.
template <class Part>
Part product(Part part, double factor) noexcept {
  if constexpr (sizeof(Part) == 2) {
    if (factor >= std::numeric_limits<float>::min()) {
      return shorten<Part>(widen(part) * static_cast<float>(factor));
    }
  }
  return narrow<Part>(widen(part) * factor);
}

template <class Part>
Complex<Part> product(Complex<Part> value, double factor) noexcept {
  return {product(value.real, factor), product(value.imag, factor)};
}

template <class Element>
void scale_columns(const Stretch& stretch, Element* element, const UnitLayout& layout,
                   const double* factors) noexcept {
  std::int64_t unit = layout.unit_of(stretch.begin);
  for (std::int64_t i = 0; i < stretch.count; unit = 0) {
    const std::int64_t run = std::min(layout.count - unit, stretch.count - i);
    const double* const factor = factors + unit;
    for (std::int64_t k = 0; k < run; ++k) {
      if (factor[k] != 1.0) element[i + k] = product(element[i + k], factor[k]);
    }
    i += run;
  }
}

}  // namespace

namespace GRADCORE_CAPABILITY {

void apply_units(const Stretch& stretch, void* data, const UnitLayout& layout,
                 const double* factors, Change change) noexcept {
  if (change.repair != kPropagate) {
    change.factor = 1.0;
    own::apply(stretch.number, data, stretch.count, change);
  }
  with_element(stretch.number, [&](auto* type) {
    using Element = std::remove_pointer_t<decltype(type)>;
    auto* element = static_cast<Element*>(data);
    if (layout.inner == 1 && layout.count > 1) {
      return scale_columns(stretch, element, layout, factors);
    }
    for_each_run(stretch, layout, [&](std::int64_t unit, std::int64_t offset, std::int64_t run) {
      Change scaling;
      scaling.factor = factors[unit];
      if (!scaling.nothing()) own::apply(stretch.number, element + offset, run, scaling);
    });
  });
}

}  // namespace GRADCORE_CAPABILITY
}  // namespace gradcore
