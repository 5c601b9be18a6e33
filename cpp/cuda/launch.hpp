#pragma once
// What the host calls. Plain memory and a stream: knows nothing of torch, allocates nothing and
// waits for nothing, so every call can be captured in a graph.

#include <cstdint>

#include "rewriting.hpp"
#include "sums.hpp"
#include "tuning.hpp"

struct CUstream_st;
using cudaStream_t = CUstream_st*;  // as cuda_runtime_api.h has it, which hosts without CUDA lack

namespace gradcore::cuda {

inline constexpr int kFewTensors = 160;    ///< of one launch with 4 KB of parameters
inline constexpr int kMostTensors = 1344;  ///< of one launch with 32 KB of parameters

enum class Number { kFloat16, kBfloat16, kFloat32, kFloat64, kComplex32, kComplex64, kComplex128 };

struct Tensor {
  void* data;
  std::int64_t numel;
  std::int32_t column;  ///< of the table
};

/// At most `kMostTensors` tensors of one kind, to be dealt with in one launch.
struct Batch {
  Number number;
  const Tensor* tensors;
  int count;
  std::uint32_t times = 1;  ///< how often each element counts
};

/// Where the records of a tensor stand.
struct Span {
  std::uint32_t slot, count;
  std::int64_t numel;
};

/// Blocks that fit on a multiprocessor when measuring: what is summed up takes registers.
constexpr int resident(Mode mode) { return mode == Mode::kNorm ? kResident : 2; }

// The number of blocks of a launch is what a card keeps resident. Sums are joined in an order that
// follows from the list and from this number alone, so the same bits come out of every run, and of
// every card with as many multiprocessors.

/// Records that measuring `count` tensors with `blocks` blocks can take.
inline std::int64_t most_slots(std::int64_t count, int blocks) { return count + blocks; }

/// Sums up every segment into `records` from `first_slot` on, and notes the tensors' `spans`.
/// Returns the slot after the last.
std::uint32_t measure(const Batch& batch, Mode mode, const Reading& reading, int blocks,
                      std::uint32_t first_slot, Sums* records, Span* spans, cudaStream_t stream);

/// Joins `slots` records into `table`, [kRows, columns + 1], totals last.
struct Finish {
  const Sums* records;
  std::uint32_t slots;
  const Span* spans;
  std::int64_t columns;
  double numel;  ///< of all columns
  int needs;
  double norm_type;
};
void finish(const Finish& from, Mode mode, double* table, cudaStream_t stream);

/// Factors and table of `apply`, on the device.
struct Decision {
  const double* table;
  std::int64_t columns;
  const double* factors;  ///< null: `factor` for all
  bool one_each;          ///< else one factor for all
  double factor;
  const bool* skip;  ///< null: never
};
void apply(const Batch& batch, const Rewriting& rewriting, const Decision& decision, int blocks,
           cudaStream_t stream);

}  // namespace gradcore::cuda
