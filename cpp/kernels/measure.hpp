#pragma once
// Reading a stretch of elements once. Knows nothing of torch, allocates nothing, throws nothing.

#include <cstdint>
#include <limits>

#include "kernels/element.hpp"
#include "kernels/numbers.hpp"
#include "kernels/partial.hpp"

namespace gradcore {

/// What is to be found out.
struct Request {
  int needs = 0;   ///< bits of `Need`
  double p = 2.0;  ///< order of kLp, > 0 and finite
  double overflow = std::numeric_limits<double>::infinity();
  bool replace = false;  ///< whether `replacement` stands in for non-finite elements
  Replacement replacement;
};

/// Facts about `count` elements at `data`, which need not be aligned beyond their own size.
///
/// Nothing overflows or underflows on the way, whatever finite numbers there are, and the result
/// depends on the elements and their order alone. Meant for blocks that fit in a cache: one that
/// holds something out of the ordinary is read again.
Partial measure(Number number, const void* data, std::int64_t count,
                const Request& request) noexcept;

}  // namespace gradcore
