#pragma once
// Who reads what: a list of tensors as one range of units, cut into equal shares, a block each.
//
//   units of tensor t    u_t = numel_t / Q + b            Q = 4096 bytes of elements, b = 2
//   first unit           U_t = u_0 + ... + u_(t-1)
//   share of block c     [floor(U c / B), floor(U (c + 1) / B))     U units, B <= U blocks
//   slot of (c, t)       c + t
//
// The b units beyond a tensor's elements stand for what it costs to begin another tensor; they
// also give empty tensors a place. A walk through (block, tensor) pairs rises by one in either or
// in both, so slots are unique and rise along it; those left out by "both" are written empty.

#include <cstdint>

#include "elements.hpp"
#include "tuning.hpp"

namespace gradcore::cuda {

inline constexpr std::int64_t kUnitBytes = 4096;

template <class Format, int kParts>
inline constexpr std::int64_t kUnit = kUnitBytes / std::int64_t(sizeof(Element<Format, kParts>));

/// Tensors of one element type, small enough to travel by value in a kernel's parameters.
template <int kCapacity>
struct List {
  void* data[kCapacity];
  std::int64_t numel[kCapacity];
  std::int32_t column[kCapacity];           ///< of the table
  std::uint32_t first_unit[kCapacity + 1];  ///< U_t, and U behind the last
  std::int32_t count;
  std::uint32_t blocks;
  std::uint32_t first_slot;  ///< of this list among the records of all lists
  std::uint32_t times;       ///< how often each element counts: an expanded gradient repeats them

  /// The first unit of a block's share; of the block behind the last, all units.
  GRADCORE_BOTH std::uint32_t first_of(std::uint32_t block) const {
    return std::uint32_t(std::uint64_t(first_unit[count]) * block / blocks);
  }
  /// The block whose share holds `unit`.
  GRADCORE_BOTH std::uint32_t block_of(std::uint32_t unit) const {
    return std::uint32_t(((std::uint64_t(unit) + 1) * blocks - 1) / first_unit[count]);
  }
  /// The tensor that holds `unit`.
  GRADCORE_BOTH int tensor_of(std::uint32_t unit) const {
    int low = 0, high = count - 1;
    while (low < high) {
      const int middle = (low + high + 1) / 2;
      if (first_unit[middle] <= unit) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }
};

/// A block's part of one tensor: elements [begin, end).
struct Segment {
  int tensor;
  std::int64_t begin, end;
  std::uint32_t slot;
  bool opens;    ///< holds the tensor's first unit
  bool corners;  ///< block and tensor changed at once: nobody owns the slot before this one
};

/// The units [begin, end) that are one block's share.
struct Share {
  std::uint32_t block, begin, end;
};

template <int kCapacity>
GRADCORE_BOTH Share share_of(const List<kCapacity>& list, std::uint32_t block) {
  return {block, list.first_of(block), list.first_of(block + 1)};
}

template <std::int64_t kElements, int kCapacity>
GRADCORE_BOTH Segment segment_of(const List<kCapacity>& list, const Share& share, int tensor) {
  const std::uint32_t first = list.first_unit[tensor], next = list.first_unit[tensor + 1];
  const std::int64_t low = std::int64_t(share.begin > first ? share.begin - first : 0) * kElements;
  const std::int64_t high = std::int64_t((share.end < next ? share.end : next) - first) * kElements;
  const std::int64_t numel = list.numel[tensor];
  return {tensor,
          low < numel ? low : numel,
          high < numel ? high : numel,
          list.first_slot + share.block + std::uint32_t(tensor),
          share.begin <= first,
          share.begin == first && share.block > 0};
}

/// Calls `visit(segment)` for every tensor that `block` has a part of, first to last.
template <std::int64_t kElements, int kCapacity, class Visit>
GRADCORE_BOTH void walk(const List<kCapacity>& list, std::uint32_t block, Visit visit) {
  const Share share = share_of(list, block);
  for (int tensor = list.tensor_of(share.begin);
       tensor < list.count && list.first_unit[tensor] < share.end; ++tensor) {
    visit(segment_of<kElements>(list, share, tensor));
  }
}

/// The same, last to first: what `walk` read last is likely still in the cache.
template <std::int64_t kElements, int kCapacity, class Visit>
GRADCORE_BOTH void walk_back(const List<kCapacity>& list, std::uint32_t block, Visit visit) {
  const Share share = share_of(list, block);
  for (int tensor = list.tensor_of(share.end - 1);
       tensor >= 0 && list.first_unit[tensor + 1] > share.begin; --tensor) {
    visit(segment_of<kElements>(list, share, tensor));
  }
}

/// How a segment lies in memory: elements before the first whole vector, vectors, elements after.
struct Layout {
  std::int64_t head, vectors, tail;
};

template <class Format, int kParts>
GRADCORE_BOTH Layout layout_of(const void* address, std::int64_t count) {
  constexpr int kSize = int(sizeof(Element<Format, kParts>)), kPerVector = 16 / kSize;
  const int past = int(reinterpret_cast<std::uintptr_t>(address) % 16);
  std::int64_t head = past == 0 ? 0 : (16 - past) / kSize;
  if ((16 - past) % kSize != 0 || head > count) head = count;  // vectors can never be reached
  const std::int64_t vectors = (count - head) / kPerVector;
  return {head, vectors, count - head - vectors * kPerVector};
}

}  // namespace gradcore::cuda
