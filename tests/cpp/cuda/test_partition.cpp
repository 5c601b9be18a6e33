// Shares of blocks: every element once, every record its own place, whatever the list.

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <vector>

#include "cuda/dispatch.hpp"
#include "cuda/partition.hpp"

namespace {

using namespace gradcore::cuda;
using Small = List<160>;
constexpr std::int64_t kPer = 8;  // elements a unit

Small list_of(const std::vector<std::int64_t>& sizes, int blocks) {
  std::vector<Tensor> tensors;
  for (std::int64_t size : sizes) tensors.push_back({nullptr, size, std::int32_t(tensors.size())});
  Small list;
  fill<kPer>(list, {Number::kFloat32, tensors.data(), int(tensors.size())}, blocks, 0);
  return list;
}

void expect_a_partition(const Small& list) {
  std::map<int, std::int64_t> covered;  // elements of a tensor up to here
  std::set<std::uint32_t> slots, empty;
  for (std::uint32_t block = 0; block < list.blocks; ++block) {
    std::vector<int> there, back;
    const Share share = share_of(list, block);
    EXPECT_LT(share.begin, share.end) << "a block without a share";
    for (std::uint32_t unit = share.begin; unit < share.end; ++unit) {
      EXPECT_EQ(list.block_of(unit), block);
    }
    walk<kPer>(list, block, [&](const Segment& segment) {
      EXPECT_EQ(segment.begin, covered[segment.tensor]);
      EXPECT_EQ(segment.opens, list.block_of(list.first_unit[segment.tensor]) == block);
      EXPECT_EQ(segment.slot, block + std::uint32_t(segment.tensor));
      covered[segment.tensor] = segment.end;
      EXPECT_TRUE(slots.insert(segment.slot).second) << "two records in one slot";
      if (segment.corners) {
        EXPECT_TRUE(empty.insert(segment.slot - 1).second);
      }
      there.push_back(segment.tensor);
    });
    walk_back<kPer>(list, block, [&](const Segment& segment) { back.push_back(segment.tensor); });
    EXPECT_EQ(there, std::vector<int>(back.rbegin(), back.rend()));
  }
  for (int t = 0; t < list.count; ++t) EXPECT_EQ(covered[t], list.numel[t]);
  for (std::uint32_t slot = 0; slot < list.blocks + std::uint32_t(list.count) - 1; ++slot) {
    EXPECT_EQ(slots.count(slot) + empty.count(slot), 1u) << "slot " << slot;
  }
}

TEST(Partition, RandomListsAreCoveredOnce) {
  std::mt19937_64 random(2);
  for (int run = 0; run < 500; ++run) {
    std::vector<std::int64_t> sizes(1 + random() % 40);
    for (auto& size : sizes) size = std::int64_t(random() % 400) >> (random() % 10);
    expect_a_partition(list_of(sizes, 1 + int(random() % 60)));
  }
}

TEST(Partition, EqualTensorsOnEqualBlocksMeetAtCorners) {
  expect_a_partition(list_of(std::vector<std::int64_t>(12, 2 * kPer), 12));
  expect_a_partition(list_of(std::vector<std::int64_t>(12, 2 * kPer), 4));
}

TEST(Partition, EmptyTensorsHaveTheirPlace) {
  expect_a_partition(list_of({0}, 5));
  expect_a_partition(list_of({0, 0, 7, 0, 1000, 0}, 5));
}

TEST(Partition, TensorsBeyondTwoToTheThirtyOneAreCovered) {
  const std::int64_t large = (std::int64_t(1) << 33) + 9;
  std::vector<Tensor> tensors{{nullptr, 5, 0}, {nullptr, large, 1}, {nullptr, 3, 2}};
  Small list;
  fill<2048>(list, {Number::kBfloat16, tensors.data(), 3}, 528, 0);
  std::int64_t covered = 0;
  for (std::uint32_t block = 0; block < list.blocks; ++block) {
    walk<2048>(list, block, [&](const Segment& segment) {
      if (segment.tensor != 1) return;
      EXPECT_EQ(segment.begin, covered);
      covered = segment.end;
    });
  }
  EXPECT_EQ(covered, large);
}

template <class K>
void expect_layouts() {
  using E = Element<typename K::Format, K::kParts>;
  for (std::uintptr_t address = 0; address < 64; address += sizeof(E) / std::size_t(K::kParts)) {
    for (std::int64_t count = 0; count < 40; ++count) {
      const auto layout = layout_of<typename K::Format, K::kParts>(
          reinterpret_cast<const void*>(4096 + address), count);
      const std::int64_t per = 16 / std::int64_t(sizeof(E));
      EXPECT_EQ(layout.head + layout.vectors * per + layout.tail, count);
      EXPECT_GE(layout.head, 0);
      EXPECT_GE(layout.tail, 0);
      if (layout.vectors > 0) {
        EXPECT_EQ((address + std::size_t(layout.head) * sizeof(E)) % 16, 0u);
      }
      if (address % sizeof(E) == 0) {
        EXPECT_LT(layout.head + layout.tail, 2 * per);
      }
    }
  }
}

TEST(Partition, VectorsAreAlignedWhereverMemoryBegins) {
  expect_layouts<Kind<Float16, 1>>();
  expect_layouts<Kind<Float32, 1>>();
  expect_layouts<Kind<Float64, 1>>();
  expect_layouts<Kind<Float16, 2>>();
  expect_layouts<Kind<Float32, 2>>();
  expect_layouts<Kind<Float64, 2>>();
}

}  // namespace
