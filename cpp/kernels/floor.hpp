#pragma once
// The fastest pass over memory that we know, for benchmarks. Knows nothing of torch.

#include <cstdint>

namespace gradcore {

/// Reads `bytes` bytes at `data` once and returns their exclusive or, in words of eight bytes; the
/// last word is filled up with zeros. Nothing is computed that memory would have to wait for, so
/// its time is the floor under every pass that reads gradients.
std::uint64_t read_once(const void* data, std::int64_t bytes) noexcept;

}  // namespace gradcore
