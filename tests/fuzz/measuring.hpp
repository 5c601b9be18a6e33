#pragma once
// The kernels that read.

#include <vector>

#include "expect.hpp"
#include "input.hpp"
#include "kernels/capability.hpp"

namespace gradcore::fuzz {

inline void expect_counts(const Where& where, const Partial& got, const Facts& wanted) {
  expect_equal(where, "nan", got.nan, wanted.nan);
  expect_equal(where, "posinf", got.posinf, wanted.posinf);
  expect_equal(where, "neginf", got.neginf, wanted.neginf);
}

inline void expect_norm(const Where& where, SumOfSquares got, Wide squares, const Format& form) {
  const Wide wanted = std::sqrt(squares);
  expect_near(where, "l2", got.norm(), wanted, error_of(form) * wanted + smallest());
}

inline void expect_facts(const Where& where, const Partial& got, const Facts& wanted,
                         const Request& request, const Format& form, std::int64_t count) {
  const Wide error = error_of(form);
  expect_counts(where, got, wanted);
  expect_norm(where, got.squares, wanted.squares, form);
  const auto asked = [&](Need need) { return (request.needs & need) != 0; };
  // Each magnitude of a complex element is rounded by itself.
  const Wide of_l1 = error * wanted.l1 + smallest() * static_cast<Wide>(count + 1);
  if (asked(kNeedL1)) expect_near(where, "l1", got.l1, wanted.l1, of_l1);
  if (asked(kNeedMaxAbs)) {
    expect_near(where, "max_abs", got.max_abs, wanted.max_abs, error * wanted.max_abs + smallest());
  }
  if (asked(kNeedSum)) {
    expect_near(where, "sum", got.sum, wanted.sum, of_l1);
    expect_near(where, "sum_imag", got.sum_imag, wanted.sum_imag, of_l1);
  }
  if (asked(kNeedZeros)) expect_equal(where, "zeros", got.zeros, wanted.zeros);
  if (asked(kNeedLp) && request.p != 1.0 && request.p != 2.0) {
    const Wide lp = wanted.lp(request.p);
    expect_near(where, "lp", got.powers.norm(request.p), lp, 1e-11L * lp + 4 * smallest());
  }
}

/// The same bits, whatever the instructions.
inline void expect_same(const Where& where, const Partial& got, const Partial& other) {
  const auto same = [&](const char* what, Wide one, Wide two) {
    if (one != two && !(std::isnan(one) && std::isnan(two))) fail(where, what, one, two);
  };
  expect_equal(where, "zeros of another capability", got.zeros, other.zeros);
  same("squares of another capability", got.squares.sum, other.squares.sum);
  same("l1 of another capability", got.l1, other.l1);
  same("max_abs of another capability", got.max_abs, other.max_abs);
  same("sum of another capability", got.sum, other.sum);
  same("powers of another capability", got.powers.sum, other.powers.sum);
}

inline void fuzz_measure(Bytes& bytes, Number number, int shift) {
  const Request request = request_of(bytes);
  const std::uint8_t cut = bytes.byte();
  const Format form = format_of(number);
  const Elements elements(bytes.rest(), bytes.left(), form, shift);
  const std::vector<Value> values = values_of(elements.data(), elements.count, form);
  const Facts wanted = facts_of(values, request, form);
  const std::int64_t left = elements.count * cut / 255;
  Partial first;
  for (const Capability* each = capabilities(); each->name != nullptr; ++each) {
    if (!each->supported) continue;
    const Where where{"measure", each->name, number, -1};
    const Partial got = each->measure(number, elements.data(), elements.count, request);
    expect_facts(where, got, wanted, request, form, elements.count);
    if (each == capabilities()) first = got;
    expect_same(where, got, first);

    Partial joined = each->measure(number, elements.data(), left, request);
    const auto* const second = elements.data() + left * form.element_bytes();
    joined.join(each->measure(number, second, elements.count - left, request), request.p);
    expect_facts({"join", each->name, number, -1}, joined, wanted, request, form, elements.count);
  }
  if (std::memcmp(elements.data(), bytes.rest(), elements.bytes) != 0) {
    fail({"measure", "any", number, -1}, "memory that was read", 1, 0);
  }
}

/// Which unit an element belongs to, counted out.
inline std::size_t unit_of(std::int64_t element, const UnitLayout& layout) {
  return static_cast<std::size_t>(element / layout.inner % layout.count);
}

inline UnitLayout layout_of(Bytes& bytes) {
  UnitLayout layout;
  layout.inner = 1 + bytes.byte() * (bytes.byte() % 8 == 7 ? 32 : 1);
  layout.count = 1 + bytes.byte() * (bytes.byte() % 8 == 7 ? 8 : 1);
  if (bytes.byte() % 2) layout.inner = 1;  // columns
  return layout;
}

inline void fuzz_measure_units(Bytes& bytes, Number number, int shift) {
  Request request = request_of(bytes);
  const UnitLayout layout = layout_of(bytes);
  const std::int64_t begin = bytes.byte() + 256 * bytes.byte();
  const Format form = format_of(number);
  const Elements elements(bytes.rest(), bytes.left(), form, shift);
  const std::vector<Value> values = values_of(elements.data(), elements.count, form);
  const Facts wanted = facts_of(values, request, form);
  std::vector<Facts> units(static_cast<std::size_t>(layout.count));
  for (std::int64_t i = 0; i < elements.count; ++i) {
    units[unit_of(begin + i, layout)].take(values[static_cast<std::size_t>(i)], request, form);
  }
  for (const Capability* each = capabilities(); each->name != nullptr; ++each) {
    if (!each->supported) continue;
    std::vector<SumOfSquares> squares(units.size());
    const Partial got = each->measure_units({number, begin, elements.count}, elements.data(),
                                            layout, request, 0, squares.data());
    expect_facts({"measure_units", each->name, number, -1}, got, wanted, request, form,
                 elements.count);
    for (std::size_t unit = 0; unit < units.size(); ++unit) {
      const Where where{"measure_units", each->name, number, static_cast<std::int64_t>(unit)};
      expect_norm(where, squares[unit], units[unit].squares, form);
    }
  }
}

inline void fuzz_read_once(Bytes& bytes, int shift) {
  const Elements memory(bytes.rest(), bytes.left(), {1, 0, 0, 0, false}, shift);
  std::uint64_t wanted = 0;
  for (std::size_t i = 0; i < memory.bytes; ++i) {
    wanted ^= std::uint64_t{memory.data()[i]} << (8 * (i % 8));
  }
  for (const Capability* each = capabilities(); each->name != nullptr; ++each) {
    if (!each->supported) continue;
    const std::uint64_t got = each->read_once(memory.data(), memory.count);
    if (got != wanted) {
      fail({"read_once", each->name, Number::kFloat64, -1}, "exclusive or", static_cast<Wide>(got),
           static_cast<Wide>(wanted));
    }
  }
}

}  // namespace gradcore::fuzz
