#pragma once
// Joining what the threads of a block found: i with i + 16, i + 8, ..., i + 1 in each warp, then
// the same over warps. The order is fixed, and `joined` in the tests follows it.

#include "sums.hpp"

namespace gradcore::cuda {

template <Mode kMode>
__device__ __forceinline__ Sums from_lane_below(const Sums& sums, int offset) {
  const auto down = [offset](auto value) { return __shfl_down_sync(0xffffffffu, value, offset); };
  Sums other;
  other.big = down(sums.big);
  other.medium = down(sums.medium);
  other.small = down(sums.small);
  other.nan = down(sums.nan);
  other.posinf = down(sums.posinf);
  other.neginf = down(sums.neginf);
  if constexpr (kMode != Mode::kNorm) {
    other.l1 = down(sums.l1);
    other.max_abs = down(sums.max_abs);
    other.sum = down(sums.sum);
    other.sum_imag = down(sums.sum_imag);
    other.zeros = down(sums.zeros);
  }
  if constexpr (kMode == Mode::kLp) other.power_sum = down(sums.power_sum);
  return other;
}

/// Lane 0 gets everything of its warp's first `2 * offset` lanes.
template <Mode kMode>
__device__ __forceinline__ Sums join_lanes(Sums sums, int offset, double p) {
  for (; offset > 0; offset /= 2) merge<kMode>(sums, from_lane_below<kMode>(sums, offset), p);
  return sums;
}

/// Thread 0 gets everything of its block. `warps` is shared memory, free to be overwritten.
template <Mode kMode, int kWarps>
__device__ __forceinline__ Sums join_block(Sums sums, Sums (&warps)[kWarps], double p) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  sums = join_lanes<kMode>(sums, 16, p);
  if (lane == 0) warps[warp] = sums;
  __syncthreads();
  if (warp == 0) sums = join_lanes<kMode>(warps[lane % kWarps], kWarps / 2, p);
  return sums;
}

}  // namespace gradcore::cuda
