#include "kernels/measure.hpp"

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "kernels/capability.hpp"
#include "kernels/careful.hpp"
#include "kernels/squares.hpp"
#include "kernels/sums.hpp"
#include "kernels/tally_floats.hpp"

namespace gradcore {
namespace {

template <class Part>
bool all_zero(const Part* part, std::int64_t count) noexcept {
  bool found = false;
  for (std::int64_t i = 0; i < count; ++i) found |= widen(part[i]) != 0;
  return !found;
}

/// The tally that suits the kind of number.
template <Depth depth, bool kEverything, class Element>
Partial tallied(const Element* element, std::int64_t count, const Request& request) noexcept {
  if constexpr (PartOf<Element>::count == 1 && !std::is_same_v<Element, double>) {
    return tally_floats<depth, kEverything>(element, count, request);
  } else {
    return tally<depth, kEverything>(element, count, request);
  }
}

/// Sums, taking every element to be finite.
template <class Element>
Partial summed(const Element* element, std::int64_t count, const Request& request) noexcept {
  using Part = typename PartOf<Element>::type;
  if (request.needs) return tallied<Depth::kSums, true>(element, count, request);
  // The squares of parts are those of elements.
  const auto* const part = reinterpret_cast<const Part*>(element);
  const std::int64_t parts = count * PartOf<Element>::count;
  if constexpr (sizeof(Part) == 2) {
    return tally_floats<Depth::kSums, false>(part, parts, request);
  } else {
    Partial found;
    found.squares.sum = sum_of_squares(part, parts);
    return found;
  }
}

template <Depth depth, class Element>
Partial counted(const Element* element, std::int64_t count, const Request& request) noexcept {
  return request.needs ? tallied<depth, true>(element, count, request)
                       : tallied<depth, false>(element, count, request);
}

template <class Element>
Partial measure_elements(const Element* element, std::int64_t count,
                         const Request& request) noexcept {
  using Part = typename PartOf<Element>::type;
  if (needs_powers(request)) return measure_carefully(element, count, request);

  Partial found = summed(element, count, request);
  // One look at the sum clears the whole block.
  const double sum = found.squares.sum;
  const auto zeros = [&] {
    const auto* const part = reinterpret_cast<const Part*>(element);
    return sum == 0.0 && all_zero(part, count * PartOf<Element>::count);
  };
  if (ordinary(sum, request.overflow) && (lossless<Part>(sum) || zeros())) return found;

  // The block is in a cache by now.
  found = request.replace ? counted<Depth::kReplaced>(element, count, request)
                          : counted<Depth::kCounts>(element, count, request);
  // Of what was found finite the squares of doubles alone can have been too large or too small.
  const double left = found.squares.sum;
  const bool good = !std::is_same_v<Part, double> || (std::isfinite(left) && lossless<Part>(left));
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
