#pragma once
// The numbers that depend on a card rather than on arithmetic. benchmarks/gpu_variants.py tries
// others.

#if !defined(GRADCORE_CUDA_THREADS)
#define GRADCORE_CUDA_THREADS 256
#endif
#if !defined(GRADCORE_CUDA_RESIDENT)
#define GRADCORE_CUDA_RESIDENT 4
#endif
#if !defined(GRADCORE_CUDA_IN_FLIGHT)
#define GRADCORE_CUDA_IN_FLIGHT 4
#endif
#if !defined(GRADCORE_CUDA_UNITS_TO_BEGIN)
#define GRADCORE_CUDA_UNITS_TO_BEGIN 2
#endif

namespace gradcore::cuda {

/// Threads of a block.
inline constexpr int kThreads = GRADCORE_CUDA_THREADS;

/// Blocks that fit on a multiprocessor: 4 of 256 threads leave 64 registers to each.
inline constexpr int kResident = GRADCORE_CUDA_RESIDENT;

/// 16-byte loads of 16- or 32-bit numbers that a thread starts before it uses the first.
inline constexpr int kLoadsInFlight = GRADCORE_CUDA_IN_FLIGHT;

/// What it costs to begin another tensor, in units of a partition. At least 1.
inline constexpr int kUnitsToBegin = GRADCORE_CUDA_UNITS_TO_BEGIN;

}  // namespace gradcore::cuda
