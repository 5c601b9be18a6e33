#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/capability.hpp"
#include "kernels/changes.hpp"

namespace gradcore {
namespace {

/// The general case, element by element.
template <class Element>
void rewrite(Element* element, std::int64_t count, const Change& change) noexcept {
  const Replacement replacement = held_in<typename PartOf<Element>::type>(change.replacement);
  constexpr double kMost = kLargest<typename PartOf<Element>::type>;
  const bool limited = change.limit < std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < count; ++i) {
    const Parts before = load(element[i]);
    Parts value = before;
    if (change.repair == kZeroParameters) {
      value = {};
    } else if (change.repair != kPropagate && kind_of(value, change.overflow) != Kind::kFinite) {
      value = change.repair == kReplace ? replaced(value, change.overflow, replacement) : Parts{};
    }
    if (change.factor != 1.0) value = {value.real * change.factor, value.imag * change.factor};
    if (limited) {
      // What no part can hold is to become a number that one can; what it can may be larger still,
      // since the magnitude of a complex element exceeds that of its parts.
      const bool held = std::fabs(value.real) <= kMost && std::fabs(value.imag) <= kMost;
      value = clamped(value, held ? change.limit : std::min(change.limit, kMost));
    }
    // What did not change keeps its bits, a NaN's payload among them.
    if (std::memcmp(&value, &before, sizeof value) != 0) store(element[i], value);
  }
}

}  // namespace

namespace GRADCORE_CAPABILITY {

void apply(Number number, void* data, std::int64_t count, const Change& change) noexcept {
  with_element(number, [&](auto* type) {
    using Element = std::remove_pointer_t<decltype(type)>;
    using Part = typename PartOf<Element>::type;
    auto* const element = static_cast<Element*>(data);
    auto* const part = static_cast<Part*>(data);
    const std::int64_t parts = count * PartOf<Element>::count;
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (change.limit < kInfinity && !can_be_clamped(element, count, change)) {
      rewrite(element, count, change);
      return;
    }
    if (change.repair == kZeroParameters) {
      std::memset(data, 0, static_cast<std::size_t>(parts) * sizeof(Part));
      if (std::isnan(change.factor)) scale(part, parts, change.factor);
    } else if (change.repair != kPropagate) {
      mend_from_first(element, count, change);
    } else if (change.factor != 1.0) {
      scale(part, parts, change.factor);
    }
    if (change.limit < kInfinity) clamp(part, parts, change.limit);
  });
}

}  // namespace GRADCORE_CAPABILITY
}  // namespace gradcore
