// Applying, emulated: bit for bit what the oracle says, and nothing where nothing is to be done.

#include <gtest/gtest.h>

#include "emulator.hpp"
#include "lists.hpp"

namespace {

using namespace gradcore;
using namespace gradcore::cuda;
using lists::Values;

constexpr double kNone = std::numeric_limits<double>::infinity();

struct Asked {
  int repair = kPropagate;
  double replacement[3] = {0.0, 0.0, 0.0};
  double overflow = kNone;
  double limit = kNone;
  std::vector<double> factors{1.0};
};

void apply(const lists::List& list, const Asked& asked, int blocks, std::uint64_t seed = 4) {
  const auto n = std::int64_t(list.tensors.size());
  const auto table =
      emulator::measure({list.batch()}, n, Mode::kNorm, 0, asked.overflow, nullptr, 2.0, blocks, 0);
  Rewriting rewriting{ceiling_of(list.number, asked.overflow), {}, asked.limit, asked.repair};
  for (int i = 0; i < 3; ++i) rewriting.replacement[i] = held(list.number, asked.replacement[i]);
  emulator::apply(list.batch(), rewriting, table, n, asked.factors, blocks, seed);
}

/// What a real element or a part becomes by repair and factor alone.
std::uint64_t expected_part(const oracle::Array& array, std::uint64_t bits, bool element_bad,
                            bool tensor_bad, const Asked& asked, double factor) {
  const double before = double(array.format.decode(bits));
  const double largest = double(array.format.decode(array.format.infinity() - 1));
  const auto held = [&](double value) {
    return double(array.format.decode(array.format.encode(std::clamp(value, -largest, largest))));
  };
  const bool only_scales =
      (asked.repair == kPropagate || !tensor_bad) && std::isinf(asked.limit) && factor != 1.0;
  if (array.format.bytes() == 2 && only_scales &&
      std::fabs(factor) >= std::numeric_limits<float>::min()) {
    return array.format.encode(float(before) * float(factor));  // as torch multiplies
  }
  double after = before;
  if (tensor_bad && asked.repair == kZeroParameters) after = 0.0;
  if (element_bad && asked.repair == kZeroElements) after = 0.0;
  if (asked.repair == kReplace) {
    if (std::isnan(before)) {
      after = held(asked.replacement[0]);
    } else if (oracle::beyond(before, asked.overflow)) {
      after = held(asked.replacement[before > 0 ? 1 : 2]);
    }
  }
  if (factor != 1.0) after *= factor;
  if (array.parts == 1 && std::fabs(after) > asked.limit) after = std::copysign(asked.limit, after);
  if (after == before && std::signbit(after) == std::signbit(before)) return bits;
  if (std::isnan(before) && std::isnan(after) && factor == 1.0) return bits;
  return array.format.encode(after);
}

void expect_rewritten(const lists::List& list, const Asked& asked) {
  for (std::size_t t = 0; t < list.arrays.size(); ++t) {
    const oracle::Array& before = list.arrays[t];
    const oracle::Array after = list.memories[t].now();
    const auto facts = oracle::facts({&before}, asked.overflow, nullptr, 2.0);
    const bool tensor_bad = facts.nan + facts.posinf + facts.neginf > 0;
    const double factor = asked.factors[asked.factors.size() == 1 ? 0 : t];
    for (std::size_t i = 0; i < before.bits.size(); ++i) {
      bool element_bad = false;
      for (std::size_t k = i - i % std::size_t(before.parts), end = k + std::size_t(before.parts);
           k < end; ++k) {
        const auto part = before.format.decode(before.bits[k]);
        element_bad |= std::isnan(part) || oracle::beyond(part, asked.overflow);
      }
      const auto expected =
          expected_part(before, before.bits[i], element_bad, tensor_bad, asked, factor);
      if (std::isnan(before.format.decode(expected)) &&
          (factor != 1.0 || expected != before.bits[i])) {
        EXPECT_TRUE(std::isnan(before.format.decode(after.bits[i])))
            << "part " << i;  // of whatever payload
      } else {
        ASSERT_EQ(after.bits[i], expected)
            << "part " << i << " of tensor " << t << ", was " << before.bits[i];
      }
    }
  }
}

class ApplyTo : public testing::TestWithParam<Number> {
 protected:
  std::mt19937_64 random{std::uint64_t(GetParam()) + 30};
};

TEST_P(ApplyTo, FactorsRepairsAndOverflowsGiveTheBitsOfTheOracle) {
  for (int run = 0; run < 24; ++run) {
    const auto list = lists::list_of(GetParam(), 1 + int(random() % 5), 3000, random);
    Asked asked;
    asked.repair = run % 4;
    asked.replacement[0] = 0.1;
    asked.replacement[1] = 1e300;
    asked.replacement[2] = -3.0;
    asked.overflow = run % 5 == 4 ? 1.25 : kNone;
    const double factors[] = {1.0, 0.1, 1e-3, 0.5, 1e-30, 1e-39, -1.0};
    if (run % 3 == 0) asked.factors.clear();
    for (std::size_t i = asked.factors.size(); i < list.tensors.size() && run % 3 == 0; ++i) {
      asked.factors.push_back(factors[random() % 7]);
    }
    if (run % 3 == 1) asked.factors = {factors[random() % 7]};
    SCOPED_TRACE("run " + std::to_string(run));
    apply(list, asked, 1 + int(random() % 13));
    expect_rewritten(list, asked);
  }
}

TEST_P(ApplyTo, NothingToDoLeavesEveryBit) {
  const auto list = lists::list_of(GetParam(), 6, 3000, random);
  apply(list, {}, 5);
  for (std::size_t t = 0; t < list.arrays.size(); ++t)
    EXPECT_EQ(list.memories[t].now().bits, list.arrays[t].bits);
}

TEST_P(ApplyTo, AFactorOfNanMakesEverythingNan) {
  lists::List list{GetParam(), {}, {}, {}};
  list.add(lists::array_of(GetParam(), 100, Values::kOrdinary, random), 1);
  Asked asked;
  asked.factors = {std::nan("")};
  apply(list, asked, 3);
  const auto now = list.memories[0].now();
  for (std::uint64_t bits : now.bits) EXPECT_TRUE(std::isnan(now.format.decode(bits)));
}

TEST_P(ApplyTo, ALimitBoundsMagnitudesAndKeepsDirections) {
  lists::List list{GetParam(), {}, {}, {}};
  for (int offset : {0, 1, 3})
    list.add(lists::array_of(GetParam(), 700, Values::kWithFaults, random), offset);
  Asked asked;
  asked.limit = 0.75;
  asked.factors = {0.5};
  apply(list, asked, 5);
  if (lists::kind_of(GetParam()).parts == 1) {
    expect_rewritten(list, asked);
    return;
  }
  const double rounding = lists::narrow(GetParam()) ? 1e-2 : 1e-6;
  for (std::size_t t = 0; t < list.arrays.size(); ++t) {
    const auto& before = list.arrays[t];
    const auto after = list.memories[t].now();
    for (std::size_t i = 0; i < before.bits.size(); i += 2) {
      const auto at = [&](const oracle::Array& array, std::size_t k) {
        return double(array.format.decode(array.bits[k]));
      };
      double real = at(before, i) * 0.5, imag = at(before, i + 1) * 0.5;
      if (std::isnan(real) || std::isnan(imag)) {
        EXPECT_EQ(std::isnan(at(after, i)), std::isnan(real));
        EXPECT_EQ(std::isnan(at(after, i + 1)), std::isnan(imag));
        continue;
      }
      if (std::isinf(real) || std::isinf(imag)) {
        const auto direction = [](double part) {
          return std::isinf(part) ? std::copysign(1.0, part) : 0.0;
        };
        real = direction(real) * 1e3;
        imag = direction(imag) * 1e3;
      }
      const long double size = std::hypot((long double)real, (long double)imag);
      const double shrink = size > 0.75L ? double(0.75L / size) : 1.0;
      EXPECT_NEAR(at(after, i), real * shrink, rounding);
      EXPECT_NEAR(at(after, i + 1), imag * shrink, rounding);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Numbers, ApplyTo, testing::ValuesIn(lists::kNumbers),
                         [](const auto& test) {
                           return "Number" + std::to_string(int(test.param));
                         });

void expect_every_pattern_scaled(Number number, int repair) {
  // The last two put products just beyond ties, by less than a float could tell; repaired gradients
  // are rounded once nevertheless.
  for (double factor :
       {0.1, 1.0 / 3.0, 0.999999, 1e-6, 7.3e4, 1.0 + 0x1p-8 + 0x1p-40, 1.0 + 0x1p-11 + 0x1p-40}) {
    const oracle::Format format = lists::kind_of(number).format;
    oracle::Array array{format, 1, {}};
    for (std::uint64_t bits = 0; bits < 65536; ++bits) array.bits.push_back(bits);
    lists::List list{number, {}, {}, {}};
    list.add(std::move(array), 0);
    Asked asked;
    asked.factors = {factor};
    asked.repair = repair;
    apply(list, asked, 3);
    expect_rewritten(list, asked);
  }
}

TEST(Apply, EveryPatternOfTheSixteenBitFormatsIsScaled) {
  for (int repair : {int(kPropagate), int(kZeroElements)}) {
    expect_every_pattern_scaled(Number::kFloat16, repair);
    expect_every_pattern_scaled(Number::kBfloat16, repair);
  }
}

TEST(Apply, ATensorWithinItsLimitIsNotWritten) {
  EXPECT_TRUE((Change{kPropagate, 1.0, kNone}.nothing()));
  std::vector<double> column(kRows, 0.0);
  column[kMaxAbs] = 2.0;
  const Rewriting asked{0, {}, 2.0, kZeroElements};
  EXPECT_TRUE(change_of(asked, column.data(), 1, 1.0).nothing());
  column[kMaxAbs] = 2.1;
  EXPECT_FALSE(change_of(asked, column.data(), 1, 1.0).nothing());
  column[kMaxAbs] = std::nan("");  // not measured
  EXPECT_FALSE(change_of(asked, column.data(), 1, 1.0).nothing());
}

}  // namespace
