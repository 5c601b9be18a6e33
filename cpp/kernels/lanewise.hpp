#pragma once
// Arithmetic on the lanes of vectors that takes compilers more than one instruction where the
// processor has one. Knows nothing of torch.

#include "kernels/vectors.hpp"

namespace gradcore {
namespace {

[[gnu::always_inline]] inline Floats magnitude_of(Floats value) noexcept {
  return bits_as<Floats>(bits_as<Words>(value) & 0x7fffffffu);
}
[[gnu::always_inline]] inline Doubles magnitude_of(Doubles value) noexcept {
  return bits_as<Doubles>(bits_as<Longs>(value) & 0x7fffffffffffffff);
}

/// The larger of two magnitudes.
[[gnu::always_inline]] inline Floats larger(Floats a, Floats b) noexcept {
#if defined(__AVX512F__)
  return _mm512_maskz_max_ps(kEvery16, a, b);
#elif defined(__AVX__)
  return _mm256_max_ps(a, b);
#else
  return a > b ? a : b;
#endif
}

[[gnu::always_inline]] inline Doubles larger(Doubles a, Doubles b) noexcept {
#if defined(__AVX512F__)
  return _mm512_maskz_max_pd(kEvery8, a, b);
#elif defined(__AVX__)
  return _mm256_max_pd(a, b);
#else
  return a > b ? a : b;
#endif
}

/// 0 for a magnitude of 0, else 1: what is not zero has bits.
[[gnu::always_inline]] inline Ints at_most_one(Floats magnitude) noexcept {
  const Ints bits = bits_as<Ints>(magnitude), one = Ints{} + 1;
#if defined(__AVX512F__)
  return bits_as<Ints>(
      _mm512_maskz_min_epi32(kEvery16, bits_as<__m512i>(bits), bits_as<__m512i>(one)));
#elif defined(__AVX2__)
  return bits_as<Ints>(_mm256_min_epi32(bits_as<__m256i>(bits), bits_as<__m256i>(one)));
#else
  return bits < one ? bits : one;
#endif
}

/// sum + value^2, where a square is exact: then it is the same fused or not.
[[gnu::always_inline]] inline Floats plus_square(Floats sum, Floats value) noexcept {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(value, value, sum);
#elif defined(__FMA__)
  return _mm256_fmadd_ps(value, value, sum);
#else
  return sum + value * value;
#endif
}
[[gnu::always_inline]] inline Doubles plus_square(Doubles sum, Doubles value) noexcept {
#if defined(__AVX512F__)
  return _mm512_fmadd_pd(value, value, sum);
#elif defined(__FMA__)
  return _mm256_fmadd_pd(value, value, sum);
#else
  return sum + value * value;
#endif
}

[[gnu::always_inline]] inline HalfFloats rounded(Doubles value) noexcept {
#if defined(__AVX512F__)
  return _mm512_maskz_cvtpd_ps(kEvery8, value);
#elif defined(__AVX__)
  return _mm256_cvtpd_ps(value);
#else
  return __builtin_convertvector(value, HalfFloats);
#endif
}

/// Each product is that of doubles, rounded once.
[[gnu::always_inline]] inline Floats multiplied(Floats floats, double factor) noexcept {
  const HalfFloats halves[2] = {rounded(lower(floats) * factor), rounded(upper(floats) * factor)};
  return load_as<Floats>(halves);
}

}  // namespace
}  // namespace gradcore
