// Long arrays full of numbers that are not finite: counted, summed and repaired on every set of
// instructions as the definitions say, one element at a time.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "arrays.hpp"
#include "kernels/capability.hpp"

namespace gradcore {
namespace {

/// An element as its two parts in long double, and what a test does to it.
struct Exact {
  long double real, imag;
};

template <class Part>
Exact exact(const Part& part) {
  return {static_cast<long double>(widen(part)), 0.0L};
}
template <class Part>
Exact exact(const Complex<Part>& element) {
  return {exact(element.real).real, exact(element.imag).real};
}

template <class Part>
void set(Part& part, double real, double) {
  part = narrow<Part>(real);
}
template <class Part>
void set(Complex<Part>& element, double real, double imag) {
  element = {narrow<Part>(real), narrow<Part>(imag)};
}

/// Normally distributed numbers, every seventh part or so something else.
template <class Element>
std::vector<Element> struck(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  const double others[] = {kNaN, kInf, -kInf, 0.0, 40.0, -40.0};
  const auto part = [&] { return random() % 7 ? normal(random) : others[random() % 6]; };
  std::vector<Element> array(size);
  for (Element& element : array) set(element, part(), part());
  return array;
}

/// What becomes of a part, by the definition of a replacement.
long double replaced(long double part, double overflow, const Replacement& by) {
  if (std::isnan(part)) return by.nan;
  if (part > overflow || (std::isinf(part) && part > 0)) return by.posinf;
  if (part < -overflow || std::isinf(part)) return by.neginf;
  return part;
}

struct Expected {
  std::int64_t nan = 0, posinf = 0, neginf = 0, zeros = 0;
  long double squares = 0, l1 = 0, sum = 0, sum_imag = 0, largest = 0;
};

template <class Element>
Expected expected(const std::vector<Element>& array, const Request& request) {
  Expected facts;
  for (const Element& element : array) {
    Exact value = exact(element);
    const auto above = [&](long double part) { return part > request.overflow || part == kInf; };
    const bool nan = std::isnan(value.real) || std::isnan(value.imag);
    const bool up = !nan && (above(value.real) || above(value.imag));
    const bool down = !nan && !up && (above(-value.real) || above(-value.imag));
    facts.nan += nan;
    facts.posinf += up;
    facts.neginf += down;
    if (request.replace) {
      value = {replaced(value.real, request.overflow, request.replacement),
               replaced(value.imag, request.overflow, request.replacement)};
    } else if (nan || up || down) {
      continue;
    }
    const long double magnitude = std::hypot(value.real, value.imag);
    facts.zeros += magnitude == 0;
    facts.squares += magnitude * magnitude;
    facts.l1 += magnitude;
    facts.sum += value.real;
    facts.sum_imag += value.imag;
    facts.largest = std::max(facts.largest, magnitude);
  }
  return facts;
}

template <class Element>
class Struck : public testing::Test {};

using Kinds = testing::Types<float, double, Float16, Bfloat16, Complex<float>, Complex<double>,
                             Complex<Float16>>;
TYPED_TEST_SUITE(Struck, Kinds);

// Lengths around those of a vector, a step of all streams, and a run of sums in float32.
const std::size_t kSizes[] = {1, 15, 16, 17, 63, 64, 65, 1023, 1024, 1025, 4000};
const Request kRequests[] = {
    {.needs = 0},
    {.needs = kEverything & ~kNeedLp},
    {.needs = 0, .overflow = 30.0},
    {.needs = kEverything & ~kNeedLp,
     .overflow = 30.0,
     .replace = true,
     .replacement = {.nan = 0.5, .posinf = 2.0, .neginf = -4.0}},
};

TYPED_TEST(Struck, IsMeasuredAsOneElementAtATimeWouldBe) {
  const double tolerance = sizeof(typename PartOf<TypeParam>::type) == 2 ? 1e-6 : 1e-13;
  for (const Capability* each = capabilities(); each->name != nullptr; ++each) {
    if (!each->supported) continue;
    for (const std::size_t size : kSizes) {
      for (const Request& request : kRequests) {
        const auto array = struck<TypeParam>(size, static_cast<unsigned>(size));
        const Expected wanted = expected(array, request);
        const Partial found = each->measure(kNumberOf<TypeParam>, array.data(),
                                            static_cast<std::int64_t>(size), request);
        SCOPED_TRACE(testing::Message() << each->name << ", " << size << " elements, needs "
                                        << request.needs << ", overflow " << request.overflow);
        ASSERT_EQ(found.nan, wanted.nan);
        ASSERT_EQ(found.posinf, wanted.posinf);
        ASSERT_EQ(found.neginf, wanted.neginf);
        const auto norm = static_cast<double>(std::sqrt(wanted.squares));
        ASSERT_NEAR(found.squares.norm(), norm, tolerance * norm);
        if (request.needs == 0) continue;
        const auto l1 = static_cast<double>(wanted.l1);
        ASSERT_EQ(found.zeros, wanted.zeros);
        ASSERT_NEAR(found.l1, l1, tolerance * l1);
        ASSERT_NEAR(static_cast<double>(found.sum), wanted.sum, tolerance * l1);
        ASSERT_NEAR(static_cast<double>(found.sum_imag), wanted.sum_imag, tolerance * l1);
        ASSERT_NEAR(found.max_abs, wanted.largest, tolerance * wanted.largest);
      }
    }
  }
}

const Change kChanges[] = {
    {.repair = kZeroElements},
    {.repair = kZeroElements, .factor = 0.25},
    {.repair = kZeroElements, .limit = 0.5},
    {.repair = kReplace, .replacement = {.nan = 0.5, .posinf = 2.0, .neginf = -4.0}},
    {.repair = kReplace, .replacement = {.posinf = 2.0}, .overflow = 30.0, .factor = 0.25},
    {.repair = kZeroParameters},
    {.factor = 0.25},
    {.limit = 0.5},
};

/// What becomes of an element; factors and limits here are powers of two, so that nothing is
/// rounded but a complex element that is clamped.
Exact changed(Exact value, const Change& change) {
  const auto beyond = [&](long double part) {
    return !(std::fabs(part) <= change.overflow) || std::isinf(part);
  };
  const bool bad = beyond(value.real) || beyond(value.imag);
  if (change.repair == kZeroParameters || (change.repair == kZeroElements && bad)) {
    value = {0, 0};
  } else if (change.repair == kReplace) {
    value = {replaced(value.real, change.overflow, change.replacement),
             replaced(value.imag, change.overflow, change.replacement)};
  }
  value = {value.real * change.factor, value.imag * change.factor};
  const long double magnitude = std::hypot(value.real, value.imag);
  if (std::isinf(value.real) || std::isinf(value.imag)) {  // finite parts are nothing beside it
    if (std::isnan(value.real) || std::isnan(value.imag) || change.limit == kInf) return value;
    const auto sign = [](long double part) { return std::isinf(part) ? (part > 0 ? 1 : -1) : 0; };
    const int real = sign(value.real), imag = sign(value.imag);
    const long double share = real && imag ? std::sqrt(0.5L) : 1.0L;
    return {real * share * change.limit, imag * share * change.limit};
  }
  if (magnitude > change.limit) {
    value = {value.real / magnitude * change.limit, value.imag / magnitude * change.limit};
  }
  return value;
}

TYPED_TEST(Struck, IsChangedAsOneElementAtATimeWouldBe) {
  using Part = typename PartOf<TypeParam>::type;
  const double rounding = sizeof(Part) == 2 ? 0x1p-7 : sizeof(Part) == 4 ? 0x1p-23 : 0x1p-51;
  const auto near = [&](long double got, long double wanted, bool exactly) {
    if (std::isnan(wanted)) return std::isnan(got);
    return got == wanted || (!exactly && std::fabs(got - wanted) <= rounding * std::fabs(wanted));
  };
  for (const Capability* each = capabilities(); each->name != nullptr; ++each) {
    if (!each->supported) continue;
    for (const std::size_t size : kSizes) {
      for (const Change& change : kChanges) {
        const auto before = struck<TypeParam>(size, static_cast<unsigned>(size));
        auto after = before;
        each->apply(kNumberOf<TypeParam>, after.data(), static_cast<std::int64_t>(size), change);
        for (std::size_t i = 0; i < size; ++i) {
          const Exact wanted = changed(exact(before[i]), change), got = exact(after[i]);
          const bool exactly = PartOf<TypeParam>::count == 1 || change.limit == kInf;
          ASSERT_TRUE(near(got.real, wanted.real, exactly) && near(got.imag, wanted.imag, exactly))
              << each->name << ", element " << i << " of " << size << ", repair " << change.repair
              << ", factor " << change.factor << ", limit " << change.limit << ": got " << got.real
              << " " << got.imag << ", wanted " << wanted.real << " " << wanted.imag;
        }
      }
    }
  }
}

}  // namespace
}  // namespace gradcore
