#pragma once
// From what a batch says when running to what kernels are told when compiling.

#include <cstdint>
#include <type_traits>

#include "elements.hpp"
#include "launch.hpp"
#include "partition.hpp"

namespace gradcore::cuda {

template <class Format_, int kParts_>
struct Kind {
  using Format = Format_;
  static constexpr int kParts = kParts_;
  static constexpr std::int64_t kPerUnit = kUnit<Format, kParts>;
};

/// Calls `visit` with the `Kind` that `number` stands for.
template <class Visit>
auto with_kind(Number number, Visit visit) {
  switch (number) {
    case Number::kFloat16:
      return visit(Kind<Float16, 1>{});
    case Number::kBfloat16:
      return visit(Kind<BFloat16, 1>{});
    case Number::kFloat32:
      return visit(Kind<Float32, 1>{});
    case Number::kComplex32:
      return visit(Kind<Float16, 2>{});
    case Number::kComplex64:
      return visit(Kind<Float32, 2>{});
    case Number::kComplex128:
      return visit(Kind<Float64, 2>{});
    case Number::kFloat64:
      break;
  }
  return visit(Kind<Float64, 1>{});
}

template <class Visit>
void with_mode(Mode mode, Visit visit) {
  if (mode == Mode::kNorm) {
    visit(std::integral_constant<Mode, Mode::kNorm>{});
  } else if (mode == Mode::kAll) {
    visit(std::integral_constant<Mode, Mode::kAll>{});
  } else {
    visit(std::integral_constant<Mode, Mode::kLp>{});
  }
}

/// Bit pattern of the largest magnitude that counts as finite: at most `overflow`, and no infinity.
inline std::uint64_t ceiling_of(Number number, double overflow) {
  return with_kind(number, [&](auto kind) -> std::uint64_t {
    using Format = typename decltype(kind)::Format;
    constexpr auto kLargest = typename Format::Bits(Format::kInfinity - 1);
    if (!(overflow < Format::value(kLargest))) return kLargest;
    const auto bits = Format::rounded(overflow);
    return Format::value(bits) > overflow ? bits - 1u : bits;
  });
}

/// `value` as a part can hold it: rounded, and never to infinity.
inline double held(Number number, double value) {
  return with_kind(number, [value](auto kind) {
    using Format = typename decltype(kind)::Format;
    const double largest = Format::value(Format::kInfinity - 1);
    const double within = value > largest ? largest : value < -largest ? -largest : value;
    return Format::value(Format::rounded(within));
  });
}

/// Writes out a batch as a list, cut into at most `blocks` shares.
template <std::int64_t kPerUnit, int kCapacity>
void fill(List<kCapacity>& list, const Batch& batch, int blocks, std::uint32_t first_slot) {
  std::uint32_t units = 0;
  for (int i = 0; i < batch.count; ++i) {
    const Tensor& tensor = batch.tensors[i];
    list.data[i] = tensor.data;
    list.numel[i] = tensor.numel;
    list.column[i] = tensor.column;
    list.first_unit[i] = units;
    units += std::uint32_t(tensor.numel / kPerUnit + kUnitsToBegin);
  }
  list.first_unit[batch.count] = units;
  list.count = batch.count;
  list.blocks = std::uint32_t(blocks) < units ? std::uint32_t(blocks) : units;
  list.first_slot = first_slot;
  list.times = batch.times;
}

/// Calls `visit` with the batch as a list of the smallest capacity that holds it: 4 KB of
/// parameters or 32 KB, which take longer to send.
template <std::int64_t kPerUnit, class Visit>
void with_list(const Batch& batch, int blocks, std::uint32_t first_slot, Visit visit) {
  if (batch.count <= kFewTensors) {
    List<kFewTensors> list;
    fill<kPerUnit>(list, batch, blocks, first_slot);
    visit(list);
  } else {
    List<kMostTensors> list;
    fill<kPerUnit>(list, batch, blocks, first_slot);
    visit(list);
  }
}

}  // namespace gradcore::cuda
