#pragma once
// Vectors as wide as the instruction set has them, and numbers loaded into them. Knows nothing of
// torch.
//
// In the compilers' own notation, for loops that they do not turn into vectors by themselves;
// intrinsics only where a single instruction converts what takes a dozen. All in an unnamed
// namespace: these types differ from one instruction set to the next.

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/numbers.hpp"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace gradcore {
namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 8;
#elif defined(__AVX__)
constexpr int kWidth = 4;
#else
constexpr int kWidth = 2;
#endif

#if defined(__AVX512F__)
// GCC's header warns of itself where there is no mask.
constexpr __mmask8 kEvery8 = 0xff;
constexpr __mmask16 kEvery16 = 0xffff;
#endif

template <class Number, int count>
using Vector __attribute__((vector_size(count * sizeof(Number)))) = Number;

using Doubles = Vector<double, kWidth>;
using Longs = Vector<std::int64_t, kWidth>;  ///< of a comparison: -1 where it holds, else 0
using Floats = Vector<float, 2 * kWidth>;
using Words = Vector<std::uint32_t, 2 * kWidth>;
using Halves = Vector<std::uint16_t, 2 * kWidth>;
using HalfFloats = Vector<float, kWidth>;  ///< as many as there are doubles

template <class To, class From>
[[gnu::always_inline]] inline To bits_as(const From& from) noexcept {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

template <class To>
[[gnu::always_inline]] inline To load_as(const void* from) noexcept {
  To to;
  std::memcpy(&to, from, sizeof to);
  return to;
}

[[gnu::always_inline]] inline Doubles all(double value) noexcept { return Doubles{} + value; }

[[gnu::always_inline]] inline Doubles widened(HalfFloats floats) noexcept {
#if defined(__AVX512F__)
  return _mm512_maskz_cvtps_pd(kEvery8, floats);
#elif defined(__AVX__)
  return _mm256_cvtps_pd(floats);
#else
  return __builtin_convertvector(floats, Doubles);
#endif
}

[[gnu::always_inline]] inline Doubles lower(Floats floats) noexcept {
  return widened(load_as<HalfFloats>(&floats));
}
[[gnu::always_inline]] inline Doubles upper(Floats floats) noexcept {
  return widened(load_as<HalfFloats>(reinterpret_cast<const char*>(&floats) + sizeof(HalfFloats)));
}

[[gnu::always_inline]] inline Doubles doubles_at(const double* from) noexcept {
  return load_as<Doubles>(from);
}
[[gnu::always_inline]] inline Doubles doubles_at(const float* from) noexcept {
  return widened(load_as<HalfFloats>(from));
}

[[gnu::always_inline]] inline Floats floats_at(const float* from) noexcept {
  return load_as<Floats>(from);
}

[[gnu::always_inline]] inline Floats floats_at(const Bfloat16* from) noexcept {
#if defined(__AVX512F__)
  const Words wide = bits_as<Words>(_mm512_maskz_cvtepu16_epi32(kEvery16, load_as<__m256i>(from)));
#else
  const Words wide = __builtin_convertvector(load_as<Halves>(from), Words);
#endif
  return bits_as<Floats>(wide << 16);
}

[[gnu::always_inline]] inline Floats floats_at(const Float16* from) noexcept {
#if defined(__AVX512F__)
  return _mm512_maskz_cvtph_ps(kEvery16, load_as<__m256i>(from));
#elif defined(__F16C__)
  return _mm256_cvtph_ps(load_as<__m128i>(from));
#else
  Floats floats;
  for (int i = 0; i < 2 * kWidth; ++i) floats[i] = widen(from[i]);
  return floats;
#endif
}

[[gnu::always_inline]] inline void store_at(float* to, Floats floats) noexcept {
  std::memcpy(to, &floats, sizeof floats);
}

[[gnu::always_inline]] inline void store_at(Float16* to, Floats floats) noexcept {
#if defined(__AVX512F__)
  const __m256i halves =
      _mm512_maskz_cvtps_ph(kEvery16, floats, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  std::memcpy(to, &halves, sizeof halves);
#elif defined(__F16C__)
  const __m128i halves = _mm256_cvtps_ph(floats, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  std::memcpy(to, &halves, sizeof halves);
#else
  for (int i = 0; i < 2 * kWidth; ++i) to[i] = shorten<Float16>(floats[i]);
#endif
}

/// As `shorten` does it.
[[gnu::always_inline]] inline void store_at(Bfloat16* to, Floats floats) noexcept {
  const Words bits = bits_as<Words>(floats);
  const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Words quiet = (bits >> 16) | 0x0040u;
  const Words chosen = floats == floats ? rounded : quiet;
#if defined(__AVX512F__)
  const __m256i halves = _mm512_maskz_cvtepi32_epi16(kEvery16, bits_as<__m512i>(chosen));
#else
  const Halves halves = __builtin_convertvector(chosen, Halves);
#endif
  std::memcpy(to, &halves, sizeof halves);
}

/// Each product is that of doubles, rounded once.
[[gnu::always_inline]] inline Floats multiplied(Floats floats, double factor) noexcept {
  const Doubles low = lower(floats) * factor, high = upper(floats) * factor;
  Floats product;
  char* const to = reinterpret_cast<char*>(&product);
  for (const Doubles* half : {&low, &high}) {
#if defined(__AVX512F__)
    const HalfFloats rounded = _mm512_maskz_cvtpd_ps(kEvery8, *half);
#elif defined(__AVX__)
    const HalfFloats rounded = _mm256_cvtpd_ps(*half);
#else
    const HalfFloats rounded = __builtin_convertvector(*half, HalfFloats);
#endif
    std::memcpy(half == &low ? to : to + sizeof rounded, &rounded, sizeof rounded);
  }
  return product;
}

/// `kWidth` complex numbers, or real ones with imaginary parts of zero.
struct Pairs {
  Doubles real{}, imag{};
};

/// Real and imaginary parts that lie by turns in two vectors.
[[gnu::always_inline]] inline Pairs paired(Doubles low, Doubles high) noexcept {
  Pairs pairs;
  for (int i = 0; i < kWidth / 2; ++i) {
    pairs.real[i] = low[2 * i];
    pairs.imag[i] = low[2 * i + 1];
    pairs.real[i + kWidth / 2] = high[2 * i];
    pairs.imag[i + kWidth / 2] = high[2 * i + 1];
  }
  return pairs;
}

/// The largest float that is not beyond `bound`: no float lies between the two.
inline float held_below(double bound) noexcept {
  const auto nearest = static_cast<float>(bound);
  return nearest > bound ? std::nextafter(nearest, 0.0f) : nearest;
}

}  // namespace
}  // namespace gradcore
