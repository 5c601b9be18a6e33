// Measuring: every block sums up its share of the list, a record for each tensor it meets; a
// second, small kernel joins the records of each tensor, and of all, into the table.

#include "dispatch.hpp"
#include "launch.hpp"
#include "reading.hpp"
#include "reduce.cuh"

namespace gradcore::cuda {
namespace {

constexpr int kWarps = kThreads / 32;
static_assert(sizeof(List<kMostTensors>) + sizeof(Reading) + 2 * sizeof(void*) <= 32764,
              "the parameters of a kernel are at most 32,764 bytes");

template <class K, Mode kMode, int kCapacity>
__global__ void __launch_bounds__(kThreads, resident(kMode))
    measure_kernel(const __grid_constant__ List<kCapacity> list,
                   const __grid_constant__ Reading reading, Sums* records, Span* spans) {
  using E = Element<typename K::Format, K::kParts>;
  __shared__ Sums warps[2][kWarps];
  int turn = 0;  // so that one barrier is enough: nobody is two segments ahead of another
  walk<K::kPerUnit>(list, blockIdx.x, [&](const Segment& segment) {
    const E* elements = static_cast<const E*>(list.data[segment.tensor]) + segment.begin;
    Sums sums = read_segment<typename K::Format, K::kParts, kMode>(
        elements, segment.end - segment.begin, int(threadIdx.x), kThreads, reading);
    sums = join_block<kMode>(sums, warps[turn], reading.norm_type);
    turn ^= 1;
    if (threadIdx.x == 0) {
      repeat(sums, list.times);
      records[segment.slot] = sums;
      if (segment.corners) records[segment.slot - 1] = Sums{};
      if (segment.opens) {
        const std::uint32_t last = list.block_of(list.first_unit[segment.tensor + 1] - 1);
        spans[list.column[segment.tensor]] = {segment.slot, last - blockIdx.x + 1,
                                              list.numel[segment.tensor] * list.times};
      }
    }
  });
}

template <Mode kMode>
__device__ Sums joined_records(const Sums* records, std::uint32_t count, std::uint32_t first,
                               std::uint32_t step, double p) {
  Sums sums;
#pragma unroll 4  // four records on their way at once
  for (std::uint32_t i = first; i < count; i += step) merge<kMode>(sums, records[i], p);
  return sums;
}

/// A warp for each column; the last block is for the totals.
template <Mode kMode>
__global__ void __launch_bounds__(kThreads, 1)
    finish_kernel(const __grid_constant__ Finish from, double* table) {
  __shared__ Sums warps[kWarps];
  const std::int64_t stride = from.columns + 1;
  const double p = from.norm_type;
  if (blockIdx.x == gridDim.x - 1) {
    Sums sums = joined_records<kMode>(from.records, from.slots, threadIdx.x, kThreads, p);
    sums = join_block<kMode>(sums, warps, p);
    if (threadIdx.x == 0) {
      write_column(table, stride, from.columns, sums, double(from.columns), from.numel, from.needs,
                   p);
    }
    return;
  }
  const std::int64_t column = std::int64_t(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (column >= from.columns) return;
  const Span span = from.spans[column];
  Sums sums = joined_records<kMode>(from.records + span.slot, span.count, threadIdx.x % 32, 32, p);
  sums = join_lanes<kMode>(sums, 16, p);
  if (threadIdx.x % 32 == 0) {
    write_column(table, stride, column, sums, 1.0, double(span.numel), from.needs, p);
  }
}

}  // namespace

std::uint32_t measure(const Batch& batch, Mode mode, const Reading& reading, int blocks,
                      std::uint32_t first_slot, Sums* records, Span* spans, cudaStream_t stream) {
  return with_kind(batch.number, [&](auto kind) {
    using K = decltype(kind);
    std::uint32_t next_slot = first_slot;
    with_list<K::kPerUnit>(batch, blocks, first_slot, [&](const auto& list) {
      next_slot += list.blocks + std::uint32_t(list.count) - 1;
      with_mode(mode, [&](auto chosen) {
        measure_kernel<K, chosen.value>
            <<<list.blocks, kThreads, 0, stream>>>(list, reading, records, spans);
      });
    });
    return next_slot;
  });
}

void finish(const Finish& from, Mode mode, double* table, cudaStream_t stream) {
  const auto blocks = unsigned((from.columns + kWarps - 1) / kWarps + 1);
  with_mode(mode, [&](auto chosen) {
    finish_kernel<chosen.value><<<blocks, kThreads, 0, stream>>>(from, table);
  });
}

}  // namespace gradcore::cuda
