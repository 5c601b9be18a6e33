#pragma once
// Rewriting a stretch of elements in place. Knows nothing of torch, allocates nothing, throws
// nothing.

#include <cstdint>
#include <limits>

#include "kernels/element.hpp"
#include "kernels/numbers.hpp"
#include "kernels/table.hpp"

namespace gradcore {

/// What is to become of every element: repaired, then multiplied, then brought within the limit.
struct Change {
  Repair repair = kPropagate;
  Replacement replacement;
  double overflow = std::numeric_limits<double>::infinity();
  double factor = 1.0;  ///< NaN makes everything NaN
  double limit = std::numeric_limits<double>::infinity();

  bool nothing() const noexcept {
    return repair == kPropagate && factor == 1.0 &&
           limit == std::numeric_limits<double>::infinity();
  }
};

/// Carries `change` out on `count` elements at `data`. A product is that of float64
/// numbers, rounded once; of 16-bit numbers that are only scaled, of float32 numbers.
void apply(Number number, void* data, std::int64_t count, const Change& change) noexcept;

}  // namespace gradcore
