#pragma once
// Number formats as bit patterns, and 16-byte vectors of them. The same code for host and device,
// so that what runs on a card can be checked on a machine without one. Knows nothing of torch.

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define GRADCORE_BOTH __host__ __device__ __forceinline__
#define GRADCORE_UNROLL _Pragma("unroll")
#define GRADCORE_ROLLED _Pragma("unroll 1")
#else
#define GRADCORE_BOTH inline
#define GRADCORE_UNROLL
#define GRADCORE_ROLLED
#endif

namespace gradcore::cuda {

template <class To, class From>
GRADCORE_BOTH To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

// A format has: Bits; kInfinity, the pattern of +Inf, above which lie the NaNs; kLow and kHigh, the
// range of magnitudes that a batch's largest may have for its squares to be summed as they are;
// kWide, whether squares may leave the range of double; value(bits) and rounded(value), once, to
// nearest even. Those of 16 bits have single(bits) and shortened(float) too. Magnitudes compare
// like their bit patterns: |a| < |b| exactly if magnitude(a) < magnitude(b).

/// `value` cut to a float, its last bit set if anything was cut off: rounding that to fewer bits
/// gives what rounding `value` itself would. Source: S. Boldo and G. Melquiond, "Emulation of a FMA
/// and Correctly Rounded Sums: Proved Algorithms Using Rounding to Odd", IEEE TC 57(4), 2008.
GRADCORE_BOTH float rounded_to_odd(double value) {
#if defined(__CUDA_ARCH__)
  const float cut = __double2float_rz(value);
  // A double has 29 bits more than a float, unless the float is subnormal.
  const bool inexact =
      fabsf(cut) < 0x1p-126f ? double(cut) != value : (__double2loint(value) & 0x1fffffff) != 0;
  return bits_as<float>(bits_as<std::uint32_t>(cut) | std::uint32_t(inexact));
#else
  const auto nearest = float(value);
  auto bits = bits_as<std::uint32_t>(nearest);
  if (double(nearest) != value && value == value) {
    bits -= std::fabs(double(nearest)) > std::fabs(value);
    bits |= 1u;
  }
  return bits_as<float>(bits);
#endif
}

struct Float16 {
  using Bits = std::uint16_t;
  static constexpr Bits kInfinity = 0x7c00, kLow = 1, kHigh = kInfinity - 1;
  static constexpr bool kWide = false;

  static GRADCORE_BOTH float single(Bits bits) {
#if defined(__CUDA_ARCH__)
    return __half2float(__ushort_as_half(bits));
#else
    const std::uint32_t sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
    if (magnitude < 0x0400u)
      return std::copysign(float(magnitude) * 0x1p-24f, bits_as<float>(sign));
    const std::uint32_t bias = magnitude < kInfinity ? 112u << 23 : 224u << 23;
    return bits_as<float>(sign | ((magnitude << 13) + bias));
#endif
  }
  static GRADCORE_BOTH Bits shortened(float value) {
#if defined(__CUDA_ARCH__)
    return __half_as_ushort(__float2half_rn(value));
#else
    const auto bits = bits_as<std::uint32_t>(value), magnitude = bits & 0x7fffffffu;
    const auto sign = Bits((bits >> 16) & 0x8000u);
    if (magnitude > 0x7f800000u) return sign | 0x7fffu;
    if (magnitude >= 0x477ff000u) return sign | kInfinity;  // 65520 and up
    if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 puts the rounding where it belongs
      return sign | Bits(bits_as<std::uint32_t>(bits_as<float>(magnitude) + 0.5f) - 0x3f000000u);
    }
    return sign | Bits((magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13);
#endif
  }
  static GRADCORE_BOTH std::uint32_t shortened(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    return bits_as<std::uint32_t>(__floats2half2_rn(low, high));
#else
    return shortened(low) | std::uint32_t(shortened(high)) << 16;
#endif
  }
  static GRADCORE_BOTH double value(Bits bits) { return double(single(bits)); }
  static GRADCORE_BOTH Bits rounded(double value) { return shortened(rounded_to_odd(value)); }
};

struct BFloat16 {
  using Bits = std::uint16_t;
  static constexpr Bits kInfinity = 0x7f80;
  static constexpr Bits kLow = (127 - 50) << 7, kHigh = (127 + 55) << 7;  // 2^-50, 2^55
  static constexpr bool kWide = false;

  static GRADCORE_BOTH float single(Bits bits) { return bits_as<float>(std::uint32_t(bits) << 16); }
  static GRADCORE_BOTH Bits shortened(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    return __bfloat16_as_ushort(__float2bfloat16_rn(value));
#else
    const auto bits = bits_as<std::uint32_t>(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fffu;
    return Bits((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
#endif
  }
  static GRADCORE_BOTH std::uint32_t shortened(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    return bits_as<std::uint32_t>(__floats2bfloat162_rn(low, high));
#else
    return shortened(low) | std::uint32_t(shortened(high)) << 16;
#endif
  }
  static GRADCORE_BOTH double value(Bits bits) { return double(single(bits)); }
  static GRADCORE_BOTH Bits rounded(double value) { return shortened(rounded_to_odd(value)); }
};

struct Float32 {
  using Bits = std::uint32_t;
  static constexpr Bits kInfinity = 0x7f800000, kLow = 1, kHigh = kInfinity - 1;
  static constexpr bool kWide = false;

  static GRADCORE_BOTH double value(Bits bits) { return double(bits_as<float>(bits)); }
  static GRADCORE_BOTH Bits rounded(double value) { return bits_as<Bits>(float(value)); }
};

struct Float64 {
  using Bits = std::uint64_t;
  static constexpr Bits kInfinity = 0x7ff0000000000000;
  static constexpr Bits kLow = Bits(1023 - 400) << 52, kHigh = Bits(1023 + 400) << 52;
  static constexpr bool kWide = true;

  static GRADCORE_BOTH double value(Bits bits) { return bits_as<double>(bits); }
  static GRADCORE_BOTH Bits rounded(double value) { return bits_as<Bits>(value); }
};

template <class Format>
inline constexpr auto kSign =
    typename Format::Bits(typename Format::Bits(1) << (8 * sizeof(typename Format::Bits) - 1));

template <class Format>
GRADCORE_BOTH typename Format::Bits magnitude(typename Format::Bits bits) {
  return bits & typename Format::Bits(~kSign<Format>);
}

/// An element: one part, or real and imaginary part.
template <class Format, int kParts>
struct Element {
  typename Format::Bits parts[kParts];
};

/// What one instruction loads: the unit in which well-aligned memory is walked.
struct alignas(16) Vector {
  std::uint32_t words[4];
};

template <class Format>
inline constexpr int kPartsPerVector = 16 / int(sizeof(typename Format::Bits));

/// Part `k` of a vector; `k` must be known when compiling, or words end up in local memory.
template <class Format>
GRADCORE_BOTH typename Format::Bits part(const Vector& vector, int k) {
  using Bits = typename Format::Bits;
  if constexpr (sizeof(Bits) == 2) {
    return Bits(vector.words[k / 2] >> (16 * (k % 2)));
  } else if constexpr (sizeof(Bits) == 4) {
    return vector.words[k];
  } else {
    return vector.words[2 * k] | Bits(vector.words[2 * k + 1]) << 32;
  }
}

/// Replaces part `k` of a vector.
template <class Format>
GRADCORE_BOTH void put_part(Vector& vector, int k, typename Format::Bits bits) {
  if constexpr (sizeof(bits) == 2) {
    const std::uint32_t other = vector.words[k / 2] & (k % 2 ? 0xffffu : 0xffff0000u);
    vector.words[k / 2] = other | std::uint32_t(bits) << (16 * (k % 2));
  } else if constexpr (sizeof(bits) == 4) {
    vector.words[k] = bits;
  } else {
    vector.words[2 * k] = std::uint32_t(bits);
    vector.words[2 * k + 1] = std::uint32_t(bits >> 32);
  }
}

/// |z| from its parts, with rounded operations only, so that host and device agree bit for bit.
///
/// Infinite only where |z| exceeds the largest double.
template <bool kWide>
GRADCORE_BOTH double modulus(double real, double imag) {
  double scale = 1.0;
  if constexpr (kWide) {
    const double largest = fmax(fabs(real), fabs(imag));
    if (largest > 0x1p400) scale = 0x1p-600;
    if (largest < 0x1p-400) scale = 0x1p600;
    real *= scale;
    imag *= scale;
  }
  const double root = sqrt(fma(real, real, imag * imag));
  return kWide ? root * (1.0 / scale) : root;  // a power of two: exact both ways
}

}  // namespace gradcore::cuda
