#include "kernels/units.hpp"

#include <algorithm>
#include <type_traits>

#include "kernels/capability.hpp"
#include "kernels/sums.hpp"

namespace gradcore {
namespace {

namespace own = GRADCORE_CAPABILITY;  // with the same instructions as what is here

/// A shorter run is over before lanes have paid for themselves.
constexpr std::int64_t kShortRun = 32;

/// Units side by side whose sums stay in the nearest cache.
constexpr std::int64_t kTile = 512;

/// Calls visit(unit, offset, count) for every run of elements of one unit.
template <class Visit>
void for_each_run(const Stretch& stretch, const UnitLayout& layout, Visit&& visit) {
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

double square_of(Parts value) noexcept { return value.real * value.real + value.imag * value.imag; }

template <class Element>
SumOfSquares squares_of_run(Number number, const Element* element, std::int64_t count,
                            const Request& request) noexcept {
  using Part = typename PartOf<Element>::type;
  if (count < kShortRun) {
    double sum = 0.0;
    for (std::int64_t i = 0; i < count; ++i) sum += square_of(load(element[i]));
    if (ordinary(sum, request.overflow) && lossless<Part>(sum)) return {sum, 0};
  }
  return own::measure(number, element, count, request).squares;
}

/// Squares of every `step`-th element.
template <class Element>
SumOfSquares squares_of_column(Number number, const Element* element, std::int64_t count,
                               std::int64_t step, const Request& request) noexcept {
  constexpr std::int64_t kGathered = 64;
  Element gathered[kGathered];
  SumOfSquares found;
  for (std::int64_t i = 0; i < count;) {
    std::int64_t n = 0;
    for (; n < kGathered && i < count; i += step) gathered[n++] = element[i];
    found += own::measure(number, gathered, n, request).squares;
  }
  return found;
}

/// Units that alternate with every element: memory is a matrix with a column for each. Tiles of
/// neighbouring columns are summed side by side.
template <class Element>
void measure_columns(const Stretch& stretch, const Element* element, const UnitLayout& layout,
                     const Request& request, SumOfSquares* squares) noexcept {
  using Part = typename PartOf<Element>::type;
  const std::int64_t before = layout.unit_of(stretch.begin);  // of the first row, elsewhere
  for (std::int64_t tile = 0; tile < layout.count; tile += kTile) {
    const std::int64_t width = std::min(kTile, layout.count - tile);
    double sums[kTile] = {};
    bool touched = false;
    for (std::int64_t row = tile - before; row < stretch.count; row += layout.count) {
      const std::int64_t from = std::max<std::int64_t>(row, 0);
      const std::int64_t to = std::min(row + width, stretch.count);
      for (std::int64_t i = from; i < to; ++i) sums[i - row] += square_of(load(element[i]));
      touched |= from < to;
    }
    if (!touched) continue;
    for (std::int64_t column = 0; column < width; ++column) {
      SumOfSquares sum{sums[column], 0};
      if (!ordinary(sum.sum, request.overflow) || !lossless<Part>(sum.sum)) {
        const std::int64_t row = tile - before + column;
        const std::int64_t start = row < 0 ? row + layout.count : row;
        sum = squares_of_column(stretch.number, element + start, stretch.count - start,
                                layout.count, request);
      }
      squares[tile + column] += sum;
    }
  }
}

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

void measure_units(const Stretch& stretch, const void* data, const UnitLayout& layout,
                   const Request& request, std::int64_t first, SumOfSquares* squares) noexcept {
  with_element(stretch.number, [&](auto* type) {
    using Element = std::remove_pointer_t<decltype(type)>;
    const auto* element = static_cast<const Element*>(data);
    if (layout.inner == 1 && layout.count > 1 && first == 0) {
      return measure_columns(stretch, element, layout, request, squares);
    }
    for_each_run(stretch, layout, [&](std::int64_t unit, std::int64_t offset, std::int64_t run) {
      squares[unit - first] += squares_of_run(stretch.number, element + offset, run, request);
    });
  });
}

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
