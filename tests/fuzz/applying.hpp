#pragma once
// The kernels that write.

#include <array>
#include <vector>

#include "measuring.hpp"

namespace gradcore::fuzz {

/// A part after a multiplication: in float64, and of 16 bits perhaps in float32, each rounded once.
inline std::array<Wide, 2> products(Wide part, double factor, const Format& form) {
  if (factor == 1.0) return {part, part};
  const auto wide = static_cast<double>(part) * factor;
  const auto narrow = static_cast<float>(part) * static_cast<float>(factor);
  const bool either = form.bytes == 2 && !(factor < std::numeric_limits<float>::min());
  return {wide, either ? static_cast<Wide>(narrow) : static_cast<Wide>(wide)};
}

/// Along its own direction to a magnitude of at most `limit`.
inline Value limited(Value value, Wide limit) {
  if (value.is_nan() || value.size() <= limit) return value;
  if (std::isinf(value.size())) {
    const auto unit = [](Wide part) { return std::isinf(part) ? std::copysign(1.0L, part) : 0.0L; };
    value = {unit(value.real), unit(value.imag)};
  }
  const Wide size = value.size();
  return {value.real / size * limit, value.imag / size * limit};
}

/// Whether `got` is `wanted` as the format has it, to so many numbers beside it, or to `slack`.
inline bool close(Wide got, Wide wanted, const Format& form, int steps, Wide slack) {
  if (std::isnan(wanted)) return std::isnan(got);
  const Wide rounded = form.round(wanted);
  if (got == rounded) return steps > 0 || got != 0 || std::signbit(got) == std::signbit(wanted);
  if (std::isinf(got) || std::isinf(rounded)) {
    return steps > 0 && std::fabs(wanted) >= form.largest() && std::fabs(got) >= form.largest();
  }
  return std::fabs(got - rounded) <= static_cast<Wide>(steps) * form.step(rounded) + slack;
}

/// The element as repair leaves it.
inline Value repaired(Value value, const Change& change, const Format& form) {
  if (change.repair == kZeroParameters) return {};
  if (change.repair == kPropagate || sort_of(value, change.overflow) == Sort::kFinite) return value;
  if (change.repair == kZeroElements) return {};
  return stand_in(value, change.overflow, change.replacement, form);
}

inline void expect_element(const Where& where, const std::uint8_t* got, const std::uint8_t* before,
                           const Change& change, const Format& form) {
  const Value old = values_of(before, 1, form)[0], now = values_of(got, 1, form)[0];
  const Value mended = repaired(old, change, form);
  const bool limits = change.limit < kInf;
  const bool kept = change.repair == kPropagate || (change.repair != kZeroParameters &&
                                                    sort_of(old, change.overflow) == Sort::kFinite);
  const bool within = !limits || old.is_nan() || old.size() <= change.limit;
  if (kept && change.factor == 1.0 && within) {
    if (std::memcmp(got, before, static_cast<std::size_t>(form.element_bytes())) != 0) {
      fail(where, "a part of an element that nothing is to happen to", now.real, old.real);
    }
    return;
  }
  const auto real = products(mended.real, change.factor, form);
  const auto imag =
      form.complex ? products(mended.imag, change.factor, form) : std::array<Wide, 2>{};
  bool good = false;
  Value wanted;
  for (const std::size_t i : {0u, 1u}) {
    // The limit may come before the product is rounded, or after.
    for (const bool rounds : {false, true}) {
      wanted = {rounds ? form.round(real[i]) : real[i], rounds ? form.round(imag[i]) : imag[i]};
      // Where a part cannot be held the limit is what it can hold.
      const bool held = std::max(std::fabs(wanted.real), std::fabs(wanted.imag)) <= form.largest();
      const Wide limit = held ? change.limit : std::min<Wide>(change.limit, form.largest());
      if (limits) wanted = limited(wanted, limit);
      const int steps = limits ? (form.complex ? 4 : 1) : 0;
      // A part that is next to nothing beside the other may become nothing.
      const Wide slack = limits && form.complex ? wanted.size() * 0x1p-80L : 0;
      good |= close(now.real, wanted.real, form, steps, slack) &&
              close(now.imag, wanted.imag, form, steps, slack);
    }
  }
  if (!good && now.real != wanted.real) fail(where, "the real part", now.real, wanted.real);
  if (!good) fail(where, "the imaginary part", now.imag, wanted.imag);
}

inline void fuzz_apply(Bytes& bytes, Number number, int shift) {
  const Change change = change_of(bytes);
  const Format form = format_of(number);
  const auto step = static_cast<std::size_t>(form.element_bytes());
  for (const Capability* each = capabilities(); each->name != nullptr; ++each) {
    if (!each->supported) continue;
    const Elements elements(bytes.rest(), bytes.left(), form, shift);
    each->apply(number, elements.data(), elements.count, change);
    for (std::int64_t i = 0; i < elements.count; ++i) {
      const auto at = static_cast<std::size_t>(i) * step;
      expect_element({"apply", each->name, number, i}, elements.data() + at, bytes.rest() + at,
                     change, form);
    }
    if (!elements.fence_stands()) fail({"apply", each->name, number, -1}, "the fence", 1, 0);
  }
}

inline void fuzz_apply_units(Bytes& bytes, Number number, int shift) {
  Change change = change_of(bytes);
  change.limit = kInf;
  const UnitLayout layout = layout_of(bytes);
  const std::int64_t begin = bytes.byte() + 256 * bytes.byte();
  std::vector<double> factors;
  for (std::int64_t unit = 0; unit < layout.count; ++unit) {
    factors.push_back(unit < 16 ? factor_of(bytes) : factors[static_cast<std::size_t>(unit % 16)]);
  }
  const Format form = format_of(number);
  const auto step = static_cast<std::size_t>(form.element_bytes());
  for (const Capability* each = capabilities(); each->name != nullptr; ++each) {
    if (!each->supported) continue;
    const Elements elements(bytes.rest(), bytes.left(), form, shift);
    each->apply_units({number, begin, elements.count}, elements.data(), layout, factors.data(),
                      change);
    for (std::int64_t i = 0; i < elements.count; ++i) {
      const auto at = static_cast<std::size_t>(i) * step;
      Change own = change;
      own.factor = factors[unit_of(begin + i, layout)];
      expect_element({"apply_units", each->name, number, i}, elements.data() + at,
                     bytes.rest() + at, own, form);
    }
    if (!elements.fence_stands()) fail({"apply_units", each->name, number, -1}, "the fence", 1, 0);
  }
}

}  // namespace gradcore::fuzz
