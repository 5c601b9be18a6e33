#include "kernels/capability.hpp"

#include <cstring>
#include <type_traits>

namespace gradcore {
namespace {

template <class Part>
void scale(Part* part, std::int64_t count, double factor) noexcept {
  if constexpr (sizeof(Part) == 2) {
    // In float32, as torch does, unless the factor is too small for it.
    if (!(std::fabs(factor) < std::numeric_limits<float>::min())) {
      const auto single = static_cast<float>(factor);
      for (std::int64_t i = 0; i < count; ++i) part[i] = shorten<Part>(widen(part[i]) * single);
      return;
    }
  }
  for (std::int64_t i = 0; i < count; ++i) part[i] = narrow<Part>(widen(part[i]) * factor);
}

/// The general case, element by element.
template <class Element>
void rewrite(Element* element, std::int64_t count, const Change& change) noexcept {
  const Replacement replacement = held_in<typename PartOf<Element>::type>(change.replacement);
  // An infinite element is to become a number that the dtype can hold.
  const double limit = std::min(change.limit, kLargest<typename PartOf<Element>::type>);
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
    if (limited) value = clamped(value, limit);
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
    if (change.repair == kPropagate && !(change.limit < std::numeric_limits<double>::infinity())) {
      scale(static_cast<Part*>(data), count * PartOf<Element>::count, change.factor);
    } else {
      rewrite(static_cast<Element*>(data), count, change);
    }
  });
}

}  // namespace GRADCORE_CAPABILITY
}  // namespace gradcore
