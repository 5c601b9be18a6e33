// Applying: every block rewrites what of its share needs it, from the end of the list to its
// beginning. Where nothing needs it, a block has returned before it has read a gradient.

#include "dispatch.hpp"
#include "launch.hpp"
#include "rewriting.hpp"

namespace gradcore::cuda {
namespace {

static_assert(sizeof(List<kMostTensors>) + sizeof(Rewriting) + sizeof(Decision) <= 32764,
              "the parameters of a kernel are at most 32,764 bytes");

template <class K, int kCapacity>
__global__ void __launch_bounds__(kThreads, kResident)
    apply_kernel(const __grid_constant__ List<kCapacity> list,
                 const __grid_constant__ Rewriting asked,
                 const __grid_constant__ Decision decision) {
  using E = Element<typename K::Format, K::kParts>;
  const std::int64_t stride = decision.columns + 1;
  const auto factor_of = [&](std::int32_t column) {
    return decision.factors == nullptr ? decision.factor
                                       : decision.factors[decision.one_each ? column : 0];
  };
  // Started together, so that leaving early takes one trip to memory.
  const bool skip = decision.skip != nullptr && *decision.skip;
  const Change for_all = change_of(asked, decision.table + decision.columns, stride, factor_of(0));
  if (skip || (!decision.one_each && for_all.nothing())) return;

  walk_back<K::kPerUnit>(list, blockIdx.x, [&](const Segment& segment) {
    const std::int32_t column = list.column[segment.tensor];
    const Change change = change_of(asked, decision.table + column, stride, factor_of(column));
    if (change.nothing()) return;
    E* elements = static_cast<E*>(list.data[segment.tensor]) + segment.begin;
    rewrite_segment<typename K::Format, K::kParts>(elements, segment.end - segment.begin,
                                                   int(threadIdx.x), kThreads, asked, change);
  });
}

}  // namespace

void apply(const Batch& batch, const Rewriting& rewriting, const Decision& decision, int blocks,
           cudaStream_t stream) {
  with_kind(batch.number, [&](auto kind) {
    using K = decltype(kind);
    with_list<K::kPerUnit>(batch, blocks, 0, [&](const auto& list) {
      apply_kernel<K><<<list.blocks, kThreads, 0, stream>>>(list, rewriting, decision);
    });
  });
}

}  // namespace gradcore::cuda
