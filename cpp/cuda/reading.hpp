#pragma once
// One thread's part of reading a segment. A batch of vectors is summed without looking at single
// elements; only a batch whose largest magnitude says that this went wrong is read again, one by
// one.

#include <cstdint>

#include "elements.hpp"
#include "partition.hpp"
#include "sums.hpp"
#include "tuning.hpp"

namespace gradcore::cuda {

/// Vectors of a batch. Sums of float64 take registers, so there are fewer of it on their way.
template <class Format>
inline constexpr int kInFlight = sizeof(typename Format::Bits) == 8 ? 2 : kLoadsInFlight;

GRADCORE_BOTH Vector load(const Vector* address) {
#if defined(__CUDA_ARCH__)
  const uint4 words = __ldg(reinterpret_cast<const uint4*>(address));
  return {{words.x, words.y, words.z, words.w}};
#else
  return *address;
#endif
}

/// Largest magnitude among the parts of some vectors.
template <class Format, int kVectors>
GRADCORE_BOTH typename Format::Bits largest_of(const Vector (&vectors)[kVectors]) {
  using Bits = typename Format::Bits;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if constexpr (sizeof(Bits) == 2) {  // two at a time
    std::uint32_t largest = 0;
    GRADCORE_UNROLL
    for (int i = 0; i < 4 * kVectors; ++i) {
      largest = __vmaxu2(largest, vectors[i / 4].words[i % 4] & 0x7fff7fffu);
    }
    const Bits low = Bits(largest), high = Bits(largest >> 16);
    return low > high ? low : high;
  }
#endif
  constexpr int kPer = kPartsPerVector<Format>;
  Bits largest = 0;
  GRADCORE_UNROLL
  for (int i = 0; i < kVectors * kPer; ++i) {
    const Bits size = magnitude<Format>(part<Format>(vectors[i / kPer], i % kPer));
    if (size > largest) largest = size;
  }
  return largest;
}

/// Sum of the squares of all parts, none of which is huge or broken.
///
/// 16-bit parts: in float32 over at most 8 additions a sum (for 4 vectors), so within 2^-21 of the
/// exact sum.
template <class Format, int kVectors>
GRADCORE_BOTH double squares_of(const Vector (&vectors)[kVectors]) {
  constexpr int kPer = kPartsPerVector<Format>;
  if constexpr (sizeof(typename Format::Bits) == 2) {
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    GRADCORE_UNROLL
    for (int i = 0; i < kVectors * kPer; ++i) {
      const float x = Format::single(part<Format>(vectors[i / kPer], i % kPer));
      sums[i % 4] = fmaf(x, x, sums[i % 4]);
    }
    return double((sums[0] + sums[1]) + (sums[2] + sums[3]));
  } else {
    double sums[2] = {0.0, 0.0};
    GRADCORE_UNROLL
    for (int i = 0; i < kVectors * kPer; ++i) {
      const double x = Format::value(part<Format>(vectors[i / kPer], i % kPer));
      sums[i % 2] = fma(x, x, sums[i % 2]);
    }
    return sums[0] + sums[1];
  }
}

/// Everything of one vector, none of whose parts is huge or broken; of real parts all but
/// `max_abs`.
template <class Format, int kParts>
GRADCORE_BOTH void add_all(Sums& sums, const Vector& vector) {
  GRADCORE_UNROLL
  for (int k = 0; k < kPartsPerVector<Format>; k += kParts) {
    const auto bits = part<Format>(vector, k);
    const double real = Format::value(bits);
    sums.sum += real;
    if constexpr (kParts == 1) {
      sums.medium = fma(real, real, sums.medium);
      sums.l1 += fabs(real);
      sums.zeros += magnitude<Format>(bits) == 0;
    } else {
      const auto imag_bits = part<Format>(vector, k + 1);
      const double imag = Format::value(imag_bits);
      const double square = fma(real, real, imag * imag), size = sqrt(square);
      sums.medium += square;
      sums.l1 += size;
      sums.max_abs = fmax(sums.max_abs, size);
      sums.sum_imag += imag;
      sums.zeros += magnitude<Format>(bits) == 0 && magnitude<Format>(imag_bits) == 0;
    }
  }
}

/// Sums of what `thread` of `threads` reads of the `count` elements from `address` on.
template <class Format, int kParts, Mode kMode>
GRADCORE_BOTH Sums read_segment(const Element<Format, kParts>* elements, std::int64_t count,
                                int thread, int threads, const Reading& reading) {
  using Bits = typename Format::Bits;
  constexpr int kPerVector = kPartsPerVector<Format> / kParts, kBatch = kInFlight<Format>;
  Sums sums;
  if constexpr (kMode == Mode::kLp) {
    for (std::int64_t i = thread; i < count; i += threads) {
      add<Format, kParts, kMode>(sums, elements[i], reading);
    }
    return sums;
  }
  const Layout layout = layout_of<Format, kParts>(elements, count);
  const auto* vectors = reinterpret_cast<const Vector*>(elements + layout.head);
  const Bits high = reading.ceiling < Format::kHigh ? Bits(reading.ceiling) : Format::kHigh;

  for (std::int64_t i = thread; i < layout.vectors; i += kBatch * threads) {
    Vector batch[kBatch];
    int loaded = 0;
    GRADCORE_UNROLL
    for (int k = 0; k < kBatch; ++k) {
      const bool inside = i + k * threads < layout.vectors;
      batch[k] = inside ? load(vectors + i + k * threads) : Vector{};
      loaded += inside;
    }
    const Bits largest = largest_of<Format>(batch);
    if (largest == 0 || (largest >= Format::kLow && largest <= high)) {
      if constexpr (kMode == Mode::kNorm) {
        sums.medium += squares_of<Format>(batch);
      } else {
        GRADCORE_UNROLL
        for (int k = 0; k < kBatch; ++k) add_all<Format, kParts>(sums, batch[k]);
        if constexpr (kParts == 1) sums.max_abs = fmax(sums.max_abs, Format::value(largest));
        sums.zeros -= std::uint64_t(kBatch - loaded) * kPerVector;
      }
    } else {
      for (int k = 0; k < loaded * kPerVector; ++k) {
        const std::int64_t vector = i + std::int64_t(k / kPerVector) * threads;
        add<Format, kParts, kMode>(
            sums, elements[layout.head + vector * kPerVector + k % kPerVector], reading);
      }
    }
  }
  // Head and tail together are few, unless the memory is aligned in no way: then they are all.
  for (std::int64_t i = thread; i < layout.head + layout.tail; i += threads) {
    const std::int64_t k = i < layout.head ? i : i + layout.vectors * kPerVector;
    add<Format, kParts, kMode>(sums, elements[k], reading);
  }
  return sums;
}

}  // namespace gradcore::cuda
