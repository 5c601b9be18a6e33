#include "kernels/units.hpp"

#include <algorithm>
#include <type_traits>

#include "kernels/capability.hpp"
#include "kernels/sums.hpp"

namespace gradcore {
namespace {

namespace own = GRADCORE_CAPABILITY;  // with the same instructions as what is here

/// A longer run is worth what `measure` sets up.
constexpr std::int64_t kLongRun = 4096;

/// Units side by side whose sums stay in the nearest cache.
constexpr std::int64_t kTile = 512;

/// Takes in what is found of pieces: for their units, and for the whole stretch.
class Totals {
 public:
  Totals(SumOfSquares* squares, std::int64_t first) : squares_(squares), first_(first) {}

  void take(std::int64_t unit, SumOfSquares squares) noexcept {
    squares_[unit - first_] += squares;
    recent_ += squares;
    if (++pieces_ % kTogether == 0) fold();
  }

  void take(std::int64_t unit, const Partial& piece) noexcept {
    take(unit, piece.squares);
    whole_.nan += piece.nan;
    whole_.posinf += piece.posinf;
    whole_.neginf += piece.neginf;
  }

  Partial whole() noexcept {
    fold();
    return whole_;
  }

 private:
  /// Small sums first, so that the error grows with their number and not with that of pieces.
  static constexpr std::int64_t kTogether = 256;

  void fold() noexcept {
    whole_.squares += recent_;
    recent_ = {};
  }

  SumOfSquares* squares_;
  std::int64_t first_, pieces_ = 0;
  SumOfSquares recent_;
  Partial whole_;
};

/// Sum of squares of a short run, unguarded: of numbers of 16 bits in float32, sixteen at most in
/// one sum, as `measure` has it.
template <class Part>
double sum_of_run(const Part* part, std::int64_t count) noexcept {
  constexpr bool kShort = sizeof(Part) == 2;
  constexpr int kLanes = 16;
  using Sum = std::conditional_t<kShort, float, double>;
  double sum = 0.0;
  std::int64_t i = 0;
  while (i + kLanes <= count) {
    Sum lanes[kLanes] = {};
    const std::int64_t end = kShort ? std::min(count, i + 16 * kLanes) : count;
    for (; i + kLanes <= end; i += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) {
        const Sum value = widen(part[i + lane]);
        lanes[lane] += value * value;
      }
    }
    double half[kLanes / 2];
    for (int lane = 0; lane < kLanes / 2; ++lane) {
      half[lane] = static_cast<double>(lanes[lane]) + static_cast<double>(lanes[lane + kLanes / 2]);
    }
    sum +=
        ((half[0] + half[4]) + (half[2] + half[6])) + ((half[1] + half[5]) + (half[3] + half[7]));
  }
  for (; i < count; ++i) {
    const double value = widen(part[i]);
    sum += value * value;
  }
  return sum;
}

/// Whether an unguarded sum, of float32 squares if `in_float`, is what it should be.
template <class Part>
bool trustworthy(double sum, const Request& request, bool in_float) noexcept {
  return ordinary(sum, request.overflow) && lossless<Part>(sum) &&
         !(in_float && sum < kSmallestShort);
}

template <class Element>
void measure_run(Number number, const Element* element, std::int64_t count, std::int64_t unit,
                 const Request& request, Totals& totals) noexcept {
  using Part = typename PartOf<Element>::type;
  if (count < kLongRun) {
    const auto* part = reinterpret_cast<const Part*>(element);
    const double sum = sum_of_run(part, count * PartOf<Element>::count);
    if (trustworthy<Part>(sum, request, sizeof(Part) == 2)) {
      return totals.take(unit, SumOfSquares{sum, 0});
    }
  }
  totals.take(unit, own::measure(number, element, count, request));
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

template <class Element>
double square_of(Element element) noexcept {
  const Parts value = load(element);
  if constexpr (PartOf<Element>::count == 1) return value.real * value.real;
  return value.real * value.real + value.imag * value.imag;
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
      const std::int64_t from = row < 0 ? -row : 0;
      const std::int64_t to = std::min(width, stretch.count - row);
      for (std::int64_t k = from; k < to; ++k) sums[k] += square_of(element[row + k]);
      touched |= from < to;
    }
    if (!touched) continue;
    for (std::int64_t column = 0; column < width; ++column) {
      SumOfSquares sum{sums[column], 0};
      if (!trustworthy<Part>(sum.sum, request, false)) {
        const std::int64_t row = tile + column - before;
        const std::int64_t start = row < 0 ? row + layout.count : row;
        sum = squares_of_column(stretch.number, element + start, stretch.count - start,
                                layout.count, request);
      }
      squares[tile + column] += sum;
    }
  }
}

}  // namespace

namespace GRADCORE_CAPABILITY {

Partial measure_units(const Stretch& stretch, const void* data, const UnitLayout& layout,
                      const Request& request, std::int64_t first, SumOfSquares* squares) noexcept {
  Request of_units = request;
  of_units.needs = 0;
  const bool columns = layout.inner == 1 && layout.count > 1 && first == 0;
  // Runs tell all that is to be known of a norm. Columns do not in time: they are read from the
  // cache, where reading in the order of memory has brought them.
  const bool whole = columns || request.needs;
  Partial found;
  if (whole) found = own::measure(stretch.number, data, stretch.count, request);
  with_element(stretch.number, [&](auto* type) {
    using Element = std::remove_pointer_t<decltype(type)>;
    const auto* element = static_cast<const Element*>(data);
    if (columns) return measure_columns(stretch, element, layout, of_units, squares);
    Totals totals(squares, first);
    for_each_run(stretch, layout, [&](std::int64_t unit, std::int64_t offset, std::int64_t run) {
      measure_run(stretch.number, element + offset, run, unit, of_units, totals);
    });
    if (!whole) found = totals.whole();
  });
  return found;
}

}  // namespace GRADCORE_CAPABILITY
}  // namespace gradcore
