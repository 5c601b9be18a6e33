// Measuring, emulated: against long double, in any order of blocks.

#include <gtest/gtest.h>

#include "emulator.hpp"
#include "lists.hpp"

namespace {

using namespace gradcore;
using namespace gradcore::cuda;
using lists::Values;

constexpr int kEverything = kNeedL1 | kNeedMaxAbs | kNeedSum | kNeedZeros;

Mode mode_of(int needs) { return needs & kNeedLp ? Mode::kLp : needs ? Mode::kAll : Mode::kNorm; }

struct Options {
  int needs = 0;
  double overflow = INFINITY;
  const double* replacement = nullptr;
  double p = 2.0;
  int blocks = 7;
};

std::vector<double> measured(const lists::List& list, const Options& options,
                             std::uint64_t seed = 0) {
  return emulator::measure({list.batch()}, std::int64_t(list.tensors.size()),
                           mode_of(options.needs), options.needs, options.overflow,
                           options.replacement, options.p, options.blocks, seed);
}

void expect_close(double value, long double expected, long double tolerance, const char* row) {
  if (std::isinf((double)expected)) {
    EXPECT_EQ(value, (double)expected) << row;
  } else {
    EXPECT_LE(std::fabs(value - expected), tolerance)
        << row << ": " << value << " for " << (double)expected;
  }
}

void expect_column(const std::vector<double>& table, std::int64_t stride, std::int64_t column,
                   const oracle::Facts& facts, const Options& options, long double relative) {
  const auto at = [&](Row row) { return table[std::size_t(row * stride + column)]; };
  EXPECT_EQ(at(kNumel), double(facts.numel));
  EXPECT_EQ(at(kNan), double(facts.nan));
  EXPECT_EQ(at(kPosinf), double(facts.posinf));
  EXPECT_EQ(at(kNeginf), double(facts.neginf));
  // Where magnitudes are subnormal, each is rounded to a multiple of the smallest.
  const long double l2 = std::sqrt(facts.squares),
                    smallest = 0x1p-1074L * (long double)(facts.numel + 1);
  expect_close(at(kL2), l2, relative * l2 + smallest, "l2");
  if (options.needs & kNeedL1) {
    // Of the sums only the sizes of what is summed are known, so they may be off by that much.
    const long double slack = 1e-12L * facts.l1 + smallest;
    expect_close(at(kL1), facts.l1, slack, "l1");
    if (!std::isinf((double)facts.l1)) {
      expect_close(at(kSum), facts.sum, slack, "sum");
      expect_close(at(kSumImag), facts.sum_imag, slack, "sum_imag");
    }
    expect_close(at(kMaxAbs), facts.max_abs, 1e-15L * facts.max_abs + smallest, "max_abs");
    EXPECT_EQ(at(kZeros), double(facts.zeros));
  } else {
    EXPECT_TRUE(std::isnan(at(kL1)) && std::isnan(at(kMaxAbs)) && std::isnan(at(kZeros)));
  }
  if (options.needs & kNeedLp) {
    const long double lp = std::pow(facts.powers, 1.0L / options.p);
    expect_close(at(kLp), lp, 1e-12L * lp + smallest, "lp");
  }
}

void expect_right(const lists::List& list, const Options& options) {
  const std::vector<double> table = measured(list, options);
  const auto n = std::int64_t(list.arrays.size());
  const long double relative = lists::narrow(list.number) ? 1e-6L : 1e-12L;
  for (std::int64_t i = 0; i < n; ++i) {
    SCOPED_TRACE("tensor " + std::to_string(i) + " of " +
                 std::to_string(list.arrays[std::size_t(i)].numel()));
    const auto facts = oracle::facts({&list.arrays[std::size_t(i)]}, options.overflow,
                                     options.replacement, options.p);
    expect_column(table, n + 1, i, facts, options, relative);
  }
  SCOPED_TRACE("total");
  expect_column(table, n + 1, n,
                oracle::facts(list.all(), options.overflow, options.replacement, options.p),
                options, relative);
}

class MeasureOf : public testing::TestWithParam<Number> {
 protected:
  std::mt19937_64 random{std::uint64_t(GetParam()) + 10};
};

TEST_P(MeasureOf, RandomListsAgreeWithLongDouble) {
  const double replacement[3] = {0.5, 1024.0, -2048.0};  // every format has them
  for (int run = 0; run < 24; ++run) {
    const auto list = lists::list_of(GetParam(), 1 + int(random() % 6), 5000, random);
    Options options;
    options.needs = run % 3 == 0 ? 0 : kEverything;
    // 1.1 lies between the numbers of most formats.
    options.overflow = run % 4 == 3 ? (run % 8 == 3 ? 1.5 : 1.1) : INFINITY;
    options.replacement = run % 5 == 4 ? replacement : nullptr;
    options.blocks = 1 + int(random() % 13);
    SCOPED_TRACE("run " + std::to_string(run));
    expect_right(list, options);
  }
}

TEST_P(MeasureOf, TheOrderOfBlocksChangesNoBit) {
  for (int run = 0; run < 6; ++run) {
    const auto list = lists::list_of(GetParam(), 5, 5000, random);
    Options options;
    options.needs = run % 2 ? kEverything : 0;
    const auto in_order = measured(list, options);
    for (std::uint64_t seed : {1, 2}) {
      const auto shuffled = measured(list, options, seed);
      EXPECT_EQ(std::memcmp(in_order.data(), shuffled.data(), in_order.size() * sizeof(double)), 0);
    }
  }
}

TEST_P(MeasureOf, AFaultIsSeenWhereverItLies) {
  const auto format = lists::kind_of(GetParam()).format;
  const auto parts = lists::kind_of(GetParam()).parts;
  const std::uint64_t faults[] = {format.infinity() + 1, format.infinity(),
                                  format.infinity() | format.sign()};
  for (int offset = 0; offset < 9; ++offset) {
    for (std::int64_t numel : {1, 5, 17, 40}) {
      for (std::int64_t place = 0; place < numel * parts; place += 1 + numel / 20) {
        lists::List list{GetParam(), {}, {}, {}};
        auto array = lists::array_of(GetParam(), numel, Values::kOrdinary, random);
        array.bits[std::size_t(place)] = faults[std::size_t(place + offset) % 3];
        list.add(std::move(array), offset);
        Options options;
        options.needs = offset % 2 ? kEverything : 0;
        expect_right(list, options);
      }
    }
  }
}

TEST_P(MeasureOf, HugeAndTinyValuesNeitherOverflowNorVanish) {
  for (Values values : {Values::kHuge, Values::kTiny, Values::kAnyBits}) {
    lists::List list{GetParam(), {}, {}, {}};
    list.add(lists::array_of(GetParam(), 3000, values, random), 1);
    list.add(lists::array_of(GetParam(), 20, values, random), 0);
    for (int needs : {0, kEverything}) {
      Options options;
      options.needs = needs;
      expect_right(list, options);
    }
  }
}

TEST_P(MeasureOf, PowersAgreeWithLongDouble) {
  for (double p : {0.5, 1.0, 3.0, 7.5}) {
    auto list = lists::list_of(GetParam(), 3, 600, random);
    list.add(lists::array_of(GetParam(), 50, Values::kOrdinary, random), 3);
    Options options;
    options.needs = kEverything | kNeedLp;
    options.p = p;
    const auto facts = oracle::facts(list.all(), INFINITY, nullptr, p);
    if (std::isinf(facts.powers)) continue;  // beyond the oracle
    expect_right(list, options);
  }
}

INSTANTIATE_TEST_SUITE_P(Numbers, MeasureOf, testing::ValuesIn(lists::kNumbers),
                         [](const auto& test) {
                           return "Number" + std::to_string(int(test.param));
                         });

TEST(Measure, ManyTensorsTakeTheLargeList) {
  std::mt19937_64 random(5);
  const auto list = lists::list_of(Number::kBfloat16, 400, 60, random);
  Options options;
  options.needs = kEverything;
  options.blocks = 31;
  expect_right(list, options);
}

TEST(Measure, SeveralKindsShareATable) {
  std::mt19937_64 random(6);
  auto halves = lists::list_of(Number::kFloat16, 3, 500, random);
  auto floats = lists::list_of(Number::kFloat32, 2, 500, random);
  const std::int32_t columns[] = {0, 2, 4, 1, 3};
  for (int i = 0; i < 5; ++i)
    (i < 3 ? halves.tensors[std::size_t(i)] : floats.tensors[std::size_t(i - 3)]).column =
        columns[i];
  const auto table = emulator::measure({halves.batch(), floats.batch()}, 5, Mode::kNorm, 0,
                                       INFINITY, nullptr, 2.0, 9, 3);
  for (int i = 0; i < 5; ++i) {
    const auto& array = i < 3 ? halves.arrays[std::size_t(i)] : floats.arrays[std::size_t(i - 3)];
    const auto facts = oracle::facts({&array}, INFINITY, nullptr, 2.0);
    const double l2 = table[std::size_t(kL2 * 6 + columns[i])];
    EXPECT_NEAR(l2, double(std::sqrt(facts.squares)), 1e-6 * double(std::sqrt(facts.squares)));
  }
  auto all = halves.all();
  for (const auto* array : floats.all()) all.push_back(array);
  const auto total = oracle::facts(all, INFINITY, nullptr, 2.0);
  EXPECT_NEAR(table[std::size_t(kL2 * 6 + 5)], double(std::sqrt(total.squares)),
              1e-6 * double(std::sqrt(total.squares)));
  EXPECT_EQ(table[std::size_t(kNan * 6 + 5)], double(total.nan));
}

TEST(Measure, ElementsOfAnExpandedTensorCountSeveralTimes) {
  std::mt19937_64 random(7);
  lists::List list{Number::kFloat32, {}, {}, {}};
  for (int i = 0; i < 2; ++i) {
    auto array = lists::array_of(list.number, 300, Values::kOrdinary, random);
    array.bits[std::size_t(i)] = array.format.infinity() + 1;
    list.add(std::move(array), i);
  }
  auto batch = list.batch();
  batch.times = 9;
  const auto once = measured(list, {});
  const auto table = emulator::measure({batch}, 2, Mode::kNorm, 0, INFINITY, nullptr, 2.0, 7, 0);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(table[kNumel * 3 + i], 9 * once[kNumel * 3 + i]);
    EXPECT_EQ(table[kNan * 3 + i], i == 2 ? 18 : 9);
    EXPECT_NEAR(table[kL2 * 3 + i], 3 * once[kL2 * 3 + i], 1e-12 * table[kL2 * 3 + i]);
  }
}

}  // namespace
