#pragma once
// The device on a host without one: the kernels' own partition, reading, rewriting and joining, run
// block after block in any order and thread after thread. What it leaves out are barriers and
// shuffles alone.

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "cuda/dispatch.hpp"
#include "cuda/launch.hpp"
#include "cuda/reading.hpp"
#include "cuda/rewriting.hpp"
#include "cuda/sums.hpp"

namespace gradcore::cuda::emulator {

/// Blocks in an order drawn from `seed`; 0 stands for first to last.
inline std::vector<std::uint32_t> shuffled(std::uint32_t blocks, std::uint64_t seed) {
  std::vector<std::uint32_t> order(blocks);
  std::iota(order.begin(), order.end(), 0u);
  if (seed != 0) std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
  return order;
}

/// i with i + n/2, i + n/4, ..., i + 1: what shuffles leave in the first lane.
template <Mode kMode>
Sums joined(std::vector<Sums> lanes, double p) {
  for (std::size_t offset = lanes.size() / 2; offset > 0; offset /= 2) {
    for (std::size_t i = 0; i < offset; ++i) merge<kMode>(lanes[i], lanes[i + offset], p);
  }
  return lanes[0];
}

/// Warps of 32 first, then the warps.
template <Mode kMode>
Sums joined_block(const std::vector<Sums>& threads, double p) {
  std::vector<Sums> warps;
  for (std::size_t i = 0; i < threads.size(); i += 32) {
    warps.push_back(joined<kMode>(
        {threads.begin() + std::ptrdiff_t(i), threads.begin() + std::ptrdiff_t(i) + 32}, p));
  }
  return joined<kMode>(warps, p);
}

template <class K, Mode kMode, int kCapacity>
void measure_list(const List<kCapacity>& list, const Reading& reading, std::uint64_t seed,
                  Sums* records, Span* spans) {
  using E = Element<typename K::Format, K::kParts>;
  for (const std::uint32_t block : shuffled(list.blocks, seed)) {
    walk<K::kPerUnit>(list, block, [&](const Segment& segment) {
      const E* elements = static_cast<const E*>(list.data[segment.tensor]) + segment.begin;
      std::vector<Sums> threads;
      for (int thread = 0; thread < kThreads; ++thread) {
        threads.push_back(read_segment<typename K::Format, K::kParts, kMode>(
            elements, segment.end - segment.begin, thread, kThreads, reading));
      }
      Sums sums = joined_block<kMode>(threads, reading.norm_type);
      repeat(sums, list.times);
      records[segment.slot] = sums;
      if (segment.corners) records[segment.slot - 1] = Sums{};
      if (segment.opens) {
        const std::uint32_t last = list.block_of(list.first_unit[segment.tensor + 1] - 1);
        spans[list.column[segment.tensor]] = {segment.slot, last - block + 1,
                                              list.numel[segment.tensor] * list.times};
      }
    });
  }
}

template <Mode kMode>
Sums joined_records(const Sums* records, std::uint32_t count, std::uint32_t lanes, double p) {
  std::vector<Sums> found(lanes);
  for (std::uint32_t lane = 0; lane < lanes; ++lane) {
    for (std::uint32_t i = lane; i < count; i += lanes) merge<kMode>(found[lane], records[i], p);
  }
  return lanes == 32 ? joined<kMode>(found, p) : joined_block<kMode>(found, p);
}

/// The table of `batches`, whose columns are 0 ... columns - 1.
inline std::vector<double> measure(const std::vector<Batch>& batches, std::int64_t columns,
                                   Mode mode, int needs, double overflow, const double* replacement,
                                   double norm_type, int blocks, std::uint64_t seed) {
  std::int64_t slots = 0;
  double numel = 0.0;
  for (const Batch& batch : batches) {
    slots += most_slots(batch.count, blocks);
    for (int i = 0; i < batch.count; ++i) numel += double(batch.tensors[i].numel) * batch.times;
  }
  Sums poison;  // what nobody wrote must not go unnoticed
  poison.medium = poison.l1 = NAN;
  std::vector<Sums> records(std::size_t(slots), poison);
  std::vector<Span> spans(std::size_t(columns), Span{0xffffffffu, 0, -1});
  std::vector<double> table(std::size_t(kRows * (columns + 1)), -1.0);
  std::uint32_t used = 0;
  for (const Batch& batch : batches) {
    Reading reading{ceiling_of(batch.number, overflow), {}, replacement != nullptr, norm_type};
    for (int i = 0; i < 3 && replacement; ++i)
      reading.replacement[i] = held(batch.number, replacement[i]);
    with_kind(batch.number, [&](auto kind) {
      using K = decltype(kind);
      with_list<K::kPerUnit>(batch, blocks, used, [&](const auto& list) {
        used += list.blocks + std::uint32_t(list.count) - 1;
        with_mode(mode, [&](auto chosen) {
          measure_list<K, chosen.value>(list, reading, seed, records.data(), spans.data());
        });
      });
    });
  }
  with_mode(mode, [&](auto chosen) {
    for (std::int64_t i = 0; i < columns; ++i) {
      const Span& span = spans.at(std::size_t(i));
      const Sums sums =
          joined_records<chosen.value>(&records.at(span.slot), span.count, 32, norm_type);
      write_column(table.data(), columns + 1, i, sums, 1.0, double(span.numel), needs, norm_type);
    }
    const Sums sums = joined_records<chosen.value>(records.data(), used, kThreads, norm_type);
    write_column(table.data(), columns + 1, columns, sums, double(columns), numel, needs,
                 norm_type);
  });
  return table;
}

/// Rewrites `batch` by its table; `factors` are one each, or one for all.
inline void apply(const Batch& batch, const Rewriting& asked, const std::vector<double>& table,
                  std::int64_t columns, const std::vector<double>& factors, int blocks,
                  std::uint64_t seed) {
  with_kind(batch.number, [&](auto kind) {
    using K = decltype(kind);
    using E = Element<typename K::Format, K::kParts>;
    with_list<K::kPerUnit>(batch, blocks, 0, [&](const auto& list) {
      for (const std::uint32_t block : shuffled(list.blocks, seed)) {
        walk_back<K::kPerUnit>(list, block, [&](const Segment& segment) {
          const std::int32_t column = list.column[segment.tensor];
          const double factor = factors.at(factors.size() == 1 ? 0 : std::size_t(column));
          const Change change = change_of(asked, table.data() + column, columns + 1, factor);
          if (change.nothing()) return;
          E* elements = static_cast<E*>(list.data[segment.tensor]) + segment.begin;
          for (int thread = 0; thread < kThreads; ++thread) {
            rewrite_segment<typename K::Format, K::kParts>(elements, segment.end - segment.begin,
                                                           thread, kThreads, asked, change);
          }
        });
      }
    });
  });
}

}  // namespace gradcore::cuda::emulator
