#pragma once
// One thread's part of rewriting a segment: repaired, then multiplied, then brought within a limit.
// Products are formed in double and rounded once. What does not change keeps its bits, and a vector of
// which nothing changes is not written.

#include <cstdint>

#include "elements.hpp"
#include "kernels/table.hpp"
#include "partition.hpp"
#include "reading.hpp"

namespace gradcore::cuda {

/// What was asked for, for all tensors.
struct Rewriting {
  std::uint64_t ceiling;  ///< largest pattern of a magnitude that counts as finite
  double replacement[3];  ///< for NaN, +Inf, -Inf
  double limit;           ///< infinite for none
  int repair;             ///< `Repair`
};

/// What of it one tensor needs.
struct Change {
  int repair;
  double factor, limit;

  GRADCORE_BOTH bool limits() const { return limit < INFINITY; }
  GRADCORE_BOTH bool nothing() const { return repair == kPropagate && factor == 1.0 && !limits(); }
};

/// What one tensor needs, by its column of the table.
GRADCORE_BOTH Change change_of(const Rewriting& asked, const double* column, std::int64_t stride,
                               double factor) {
  const bool ordinary =
      column[kNan * stride] + column[kPosinf * stride] + column[kNeginf * stride] == 0.0;
  // Not measured is NaN, and so is not known to be within the limit.
  const bool within = ordinary && column[kMaxAbs * stride] * fabs(factor) <= asked.limit;
  return {ordinary ? int(kPropagate) : asked.repair, factor, within ? INFINITY : asked.limit};
}

/// Brings a complex number to a magnitude of at most `limit` along its own direction; what is infinite
/// lies in the direction of its infinite parts, and NaN stays.
GRADCORE_BOTH void limit_complex(double& real, double& imag, double limit) {
  if (real != real || imag != imag) return;
  const bool real_infinite = fabs(real) == INFINITY, imag_infinite = fabs(imag) == INFINITY;
  if (real_infinite || imag_infinite) {
    const double size = real_infinite && imag_infinite ? limit * sqrt(0.5) : limit;
    real = real_infinite ? copysign(size, real) : 0.0;
    imag = imag_infinite ? copysign(size, imag) : 0.0;
    return;
  }
  const double half = modulus<true>(real / 2, imag / 2);  // cannot overflow
  if (half <= limit / 2) return;
  real = real / 2 / half * limit;
  imag = imag / 2 / half * limit;
}

template <class Format, int kParts>
GRADCORE_BOTH Element<Format, kParts> rewritten(Element<Format, kParts> element,
                                                const Rewriting& asked, const Change& change) {
  double before[kParts], after[kParts];
  bool broken = false;
  GRADCORE_UNROLL
  for (int k = 0; k < kParts; ++k) {
    const auto bits = element.parts[k], size = magnitude<Format>(bits);
    before[k] = after[k] = Format::value(bits);
    if (size > asked.ceiling) {
      broken = true;
      if (change.repair == kReplace) {
        after[k] = asked.replacement[size > Format::kInfinity ? 0 : bits == size ? 1 : 2];
      }
    }
  }
  GRADCORE_UNROLL
  for (int k = 0; k < kParts; ++k) {
    if (broken && change.repair == kZeroElements) after[k] = 0.0;
    if (change.factor != 1.0) after[k] *= change.factor;
  }
  if (change.limits()) {
    if (kParts == 1 || after[kParts - 1] == 0.0) {
      if (fabs(after[0]) > change.limit) after[0] = copysign(change.limit, after[0]);
    } else {
      limit_complex(after[0], after[kParts - 1], change.limit);
    }
  }
  GRADCORE_UNROLL
  for (int k = 0; k < kParts; ++k) {
    const bool same = bits_as<std::uint64_t>(before[k]) == bits_as<std::uint64_t>(after[k]);
    if (!same) element.parts[k] = Format::rounded(after[k]);
    if (change.repair == kZeroParameters) element.parts[k] = 0;
  }
  return element;
}

template <class Format>
GRADCORE_BOTH Vector scaled(const Vector& vector, double factor) {
  Vector to{};
  GRADCORE_UNROLL
  for (int k = 0; k < kPartsPerVector<Format>; ++k) {
    put_part<Format>(to, k, Format::rounded(Format::value(part<Format>(vector, k)) * factor));
  }
  return to;
}

template <class Format>
GRADCORE_BOTH Vector rewritten(const Vector& vector, const Rewriting& asked, const Change& change) {
  Vector to{};
  GRADCORE_UNROLL
  for (int k = 0; k < kPartsPerVector<Format>; ++k) {
    const Element<Format, 1> element{{part<Format>(vector, k)}};
    put_part<Format>(to, k, rewritten(element, asked, change).parts[0]);
  }
  return to;
}

GRADCORE_BOTH bool differ(const Vector& a, const Vector& b) {
  return ((a.words[0] ^ b.words[0]) | (a.words[1] ^ b.words[1]) | (a.words[2] ^ b.words[2]) |
          (a.words[3] ^ b.words[3])) != 0;
}

template <class Format, int kParts>
GRADCORE_BOTH void rewrite_one(Element<Format, kParts>& element, const Rewriting& asked,
                               const Change& change) {
  const Element<Format, kParts> before = element, after = rewritten(before, asked, change);
  bool same = true;
  for (int k = 0; k < kParts; ++k) same = same && before.parts[k] == after.parts[k];
  if (!same) element = after;
}

/// What `thread` of `threads` rewrites of the `count` elements from `elements` on, last to first.
template <class Format, int kParts>
GRADCORE_BOTH void rewrite_segment(Element<Format, kParts>* elements, std::int64_t count,
                                   int thread, int threads, const Rewriting& asked,
                                   const Change& change) {
  constexpr int kPerVector = kPartsPerVector<Format> / kParts, kBatch = kInFlight<Format>;
  const bool only_scales = change.repair == kPropagate && !change.limits();
  Layout layout = layout_of<Format, kParts>(elements, count);
  if (kParts == 2 && !only_scales) layout = {count, 0, 0};  // an element is a wide load by itself
  auto* const vectors = reinterpret_cast<Vector*>(elements + layout.head);

  if (only_scales) {
    for (std::int64_t i = layout.vectors - 1 - thread; i >= 0; i -= kBatch * threads) {
      Vector batch[kBatch];
      GRADCORE_UNROLL
      for (int k = 0; k < kBatch; ++k) {
        batch[k] = i - k * threads >= 0 ? vectors[i - k * threads] : Vector{};
      }
      GRADCORE_UNROLL
      for (int k = 0; k < kBatch; ++k) {
        if (i - k * threads >= 0) vectors[i - k * threads] = scaled<Format>(batch[k], change.factor);
      }
    }
  } else if constexpr (kParts == 1) {
    for (std::int64_t i = layout.vectors - 1 - thread; i >= 0; i -= threads) {
      const Vector before = vectors[i], after = rewritten<Format>(before, asked, change);
      if (differ(before, after)) vectors[i] = after;
    }
  }
  for (std::int64_t i = thread; i < layout.head + layout.tail; i += threads) {
    rewrite_one(elements[i < layout.head ? i : i + layout.vectors * kPerVector], asked, change);
  }
}

}  // namespace gradcore::cuda
