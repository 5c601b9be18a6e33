#pragma once
// What the memory of a list allows at best, for benchmarks. Knows libtorch, not Python.

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gradcore {

/// Reads every byte of CPU tensors once, shared out among threads as a measurement is, and returns
/// the exclusive or of what `read_once` says of each block.
std::uint64_t read_once(at::TensorList tensors);

}  // namespace gradcore
