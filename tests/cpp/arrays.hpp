#pragma once
// What the tests of the kernels share: plain arrays in, facts out.

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/apply.hpp"
#include "kernels/measure.hpp"

namespace gradcore {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr int kEverything = kNeedL1 | kNeedMaxAbs | kNeedSum | kNeedZeros | kNeedLp;

template <class Element>
inline constexpr Number kNumberOf = Number::kFloat32;
template <>
inline constexpr Number kNumberOf<double> = Number::kFloat64;
template <>
inline constexpr Number kNumberOf<Float16> = Number::kFloat16;
template <>
inline constexpr Number kNumberOf<Bfloat16> = Number::kBfloat16;
template <>
inline constexpr Number kNumberOf<Complex<Float16>> = Number::kComplex32;
template <>
inline constexpr Number kNumberOf<Complex<float>> = Number::kComplex64;
template <>
inline constexpr Number kNumberOf<Complex<double>> = Number::kComplex128;

/// Facts about an array, everything asked for unless `request` says otherwise.
template <class Element>
Partial facts(const std::vector<Element>& array, const Request& request = {.needs = kEverything}) {
  return measure(kNumberOf<Element>, array.data(), static_cast<std::int64_t>(array.size()),
                 request);
}

template <class Element>
std::vector<Element> changed(std::vector<Element> array, const Change& change) {
  apply(kNumberOf<Element>, array.data(), static_cast<std::int64_t>(array.size()), change);
  return array;
}

}  // namespace gradcore
