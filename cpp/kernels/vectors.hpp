#pragma once
// Vectors as wide as the instruction set has them, and numbers loaded into them. Knows nothing of
// torch.
//
// In the compilers' own notation, for loops that they do not turn into vectors by themselves;
// intrinsics only where a single instruction converts what takes a dozen. All in an unnamed
// namespace: these types differ from one instruction set to the next.

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

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
using Ints = Vector<std::int32_t, 2 * kWidth>;  ///< of a comparison of floats
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

// Taken from the register, where compilers would go through memory.
[[gnu::always_inline]] inline Doubles lower(Floats floats) noexcept {
#if defined(__AVX512F__)
  return widened(_mm512_maskz_extractf32x8_ps(kEvery8, floats, 0));
#elif defined(__AVX__)
  return widened(_mm256_castps256_ps128(floats));
#else
  return widened(load_as<HalfFloats>(&floats));
#endif
}
[[gnu::always_inline]] inline Doubles upper(Floats floats) noexcept {
#if defined(__AVX512F__)
  return widened(_mm512_maskz_extractf32x8_ps(kEvery8, floats, 1));
#elif defined(__AVX__)
  return widened(_mm256_extractf128_ps(floats, 1));
#else
  return widened(load_as<HalfFloats>(reinterpret_cast<const char*>(&floats) + sizeof(HalfFloats)));
#endif
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

/// Two vectors of floats, from twice as many numbers in a row.
struct Twins {
  Floats first, second;
};
constexpr int kTwins = 4 * kWidth;

template <class Part>
[[gnu::always_inline]] inline Twins twins_at(const Part* from) noexcept {
  return {floats_at(from), floats_at(from + kTwins / 2)};
}

template <class Part>
[[gnu::always_inline]] inline void store_at(Part* to, Twins twins) noexcept {
  store_at(to, twins.first);
  store_at(to + kTwins / 2, twins.second);
}

// A pair of bfloat16 lies in the word of a float: the upper one is that float, once the lower is
// gone. So numbers at even and at odd places are the twins, which takes no instruction to unpack.
static_assert(std::endian::native == std::endian::little);

[[gnu::always_inline]] inline Twins twins_at(const Bfloat16* from) noexcept {
  const Words pairs = load_as<Words>(from);
  return {bits_as<Floats>(pairs << 16), bits_as<Floats>(pairs & 0xffff0000u)};
}

/// Rounded as `shorten` does it. NaN must come from numbers of 16 bits, or have nothing in its
/// lower half either: then rounding leaves it one.
[[gnu::always_inline]] inline void store_at(Bfloat16* to, Twins twins) noexcept {
  const auto rounded = [](Floats value) __attribute__((always_inline)) {
    const Words bits = bits_as<Words>(value);
    return bits + 0x7fffu + ((bits >> 16) & 1u);
  };
  const Words pairs = (rounded(twins.first) >> 16) | (rounded(twins.second) & 0xffff0000u);
  std::memcpy(to, &pairs, sizeof pairs);
}

/// `kWidth` complex numbers, or real ones with imaginary parts of zero.
struct Pairs {
  Doubles real{}, imag{};
};

/// Number `first` of two vectors in a row, and every other one from there.
template <int first, int... lanes>
[[gnu::always_inline]] inline Doubles every_other(Doubles low, Doubles high,
                                                  std::integer_sequence<int, lanes...>) noexcept {
  return __builtin_shufflevector(low, high, (first + 2 * lanes)...);
}

/// Real and imaginary parts that lie by turns in two vectors.
[[gnu::always_inline]] inline Pairs paired(Doubles low, Doubles high) noexcept {
  constexpr std::make_integer_sequence<int, kWidth> kLanes;
  return {every_other<0>(low, high, kLanes), every_other<1>(low, high, kLanes)};
}

/// The largest float that is not beyond `bound`: no float lies between the two.
inline float held_below(double bound) noexcept {
  const auto nearest = static_cast<float>(bound);
  return nearest > bound ? std::nextafter(nearest, 0.0f) : nearest;
}

}  // namespace
}  // namespace gradcore
