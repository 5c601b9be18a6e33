#pragma once
// One thread's part of rewriting a segment: repaired, then multiplied, then brought within a limit.
// Products are formed in double and rounded once, or like torch's in float32 where a 16-bit number
// is only multiplied. What does not change keeps its bits, and is not written.

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

/// Brings a complex number to a magnitude of at most `limit` along its own direction; what is
/// infinite lies in the direction of its infinite parts, and NaN stays.
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
    if (change.repair == kZeroParameters) after[k] = 0.0;
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
  }
  return element;
}

/// A product; with `kSingle` of float32 numbers, rounded to float32 first.
template <class Format, bool kSingle>
GRADCORE_BOTH typename Format::Bits scaled(typename Format::Bits bits, double factor) {
  if constexpr (kSingle) {
    return Format::shortened(Format::single(bits) * float(factor));
  } else {
    return Format::rounded(Format::value(bits) * factor);
  }
}

template <class Format, bool kSingle>
GRADCORE_BOTH void scale_vector(Vector& vector, double factor) {
  if constexpr (kSingle) {  // two at a time: devices convert pairs faster
    GRADCORE_UNROLL
    for (std::uint32_t& word : vector.words) {
      const float low = Format::single(typename Format::Bits(word));
      const float high = Format::single(typename Format::Bits(word >> 16));
      word = Format::shortened(low * float(factor), high * float(factor));
    }
  } else {
    GRADCORE_UNROLL
    for (int k = 0; k < kPartsPerVector<Format>; ++k) {
      put_part<Format>(vector, k, scaled<Format, kSingle>(part<Format>(vector, k), factor));
    }
  }
}

/// Multiplies what `thread` of `threads` has of some memory, last to first.
template <class Format, int kParts, bool kSingle>
GRADCORE_BOTH void scale_segment(Element<Format, kParts>* elements, std::int64_t count, int thread,
                                 int threads, double factor) {
  constexpr int kPerVector = kPartsPerVector<Format> / kParts, kBatch = kInFlight<Format>;
  const Layout layout = layout_of<Format, kParts>(elements, count);
  auto* const vectors = reinterpret_cast<Vector*>(elements + layout.head);
  for (std::int64_t i = layout.vectors - 1 - thread; i >= 0; i -= kBatch * threads) {
    Vector* const last = vectors + i;
    const int inside = i < kBatch * threads ? int(i) / threads + 1 : kBatch;
    Vector batch[kBatch];
    GRADCORE_UNROLL
    for (int k = 0; k < kBatch; ++k) batch[k] = k < inside ? last[-k * threads] : Vector{};
    GRADCORE_UNROLL
    for (int k = 0; k < kBatch; ++k) {
      scale_vector<Format, kSingle>(batch[k], factor);
      if (k < inside) last[-k * threads] = batch[k];
    }
  }
  GRADCORE_ROLLED
  for (std::int64_t i = thread; i < layout.head + layout.tail; i += threads) {
    auto& element = elements[i < layout.head ? i : i + layout.vectors * kPerVector];
    for (int k = 0; k < kParts; ++k) {
      element.parts[k] = scaled<Format, kSingle>(element.parts[k], factor);
    }
  }
}

GRADCORE_BOTH void swap_halves(Vector& vector) {
  const std::uint32_t first = vector.words[0], second = vector.words[1];
  vector.words[0] = vector.words[2];
  vector.words[1] = vector.words[3];
  vector.words[2] = first;
  vector.words[3] = second;
}

/// Rewrites a vector of real numbers; returns whether that changed anything.
///
/// Half of it at a time, the halves swapped after each: a whole one takes more registers than there
/// are, and registers have no running index.
template <class Format>
GRADCORE_BOTH bool rewrite_vector(Vector& vector, const Rewriting& asked, const Change& change) {
  bool differs = false;
  GRADCORE_ROLLED
  for (int half = 0; half < 2; ++half) {
    GRADCORE_UNROLL
    for (int k = 0; k < kPartsPerVector<Format> / 2; ++k) {
      const Element<Format, 1> before{{part<Format>(vector, k)}};
      const auto after = rewritten(before, asked, change).parts[0];
      differs |= after != before.parts[0];
      put_part<Format>(vector, k, after);
    }
    swap_halves(vector);
  }
  return differs;
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
  // float32 multiplies 16-bit numbers, unless the factor is too small for it.
  constexpr bool kSingle = sizeof(typename Format::Bits) == 2;
  const bool only_scales = change.repair == kPropagate && !change.limits();
  if (only_scales && !(kSingle && fabs(change.factor) < 0x1p-126)) {
    scale_segment<Format, kParts, kSingle>(elements, count, thread, threads, change.factor);
    return;
  }
  Layout layout = layout_of<Format, kParts>(elements, count);
  if (kParts == 2) layout = {count, 0, 0};  // an element is a wide load by itself
  constexpr int kPerVector = kPartsPerVector<Format> / kParts;
  if constexpr (kParts == 1) {
    auto* const vectors = reinterpret_cast<Vector*>(elements + layout.head);
    GRADCORE_ROLLED
    for (std::int64_t i = layout.vectors - 1 - thread; i >= 0; i -= threads) {
      Vector vector = vectors[i];
      if (rewrite_vector<Format>(vector, asked, change)) vectors[i] = vector;
    }
  }
  GRADCORE_ROLLED
  for (std::int64_t i = thread; i < layout.head + layout.tail; i += threads) {
    rewrite_one(elements[i < layout.head ? i : i + layout.vectors * kPerVector], asked, change);
  }
}

}  // namespace gradcore::cuda
