#pragma once
// What ends a run: a difference between a kernel and the oracle, said in one line.

#include <cstdio>
#include <cstdlib>

#include "oracle.hpp"

namespace gradcore::fuzz {

/// Which call it was.
struct Where {
  const char* kernel;
  const char* capability;
  Number number;
  std::int64_t index;  ///< of an element or a unit; -1 for the whole
};

[[noreturn]] inline void fail(const Where& where, const char* what, Wide got, Wide wanted) {
  std::fprintf(stderr, "%s (%s, number %d, at %lld): %s is %.21Lg, and should be %.21Lg\n",
               where.kernel, where.capability, static_cast<int>(where.number),
               static_cast<long long>(where.index), what, got, wanted);
  std::abort();
}

inline void expect_equal(const Where& where, const char* what, std::int64_t got,
                         std::int64_t wanted) {
  if (got != wanted) fail(where, what, static_cast<Wide>(got), static_cast<Wide>(wanted));
}

/// Equal up to `slack`; beyond the largest double there is infinity.
inline void expect_near(const Where& where, const char* what, Wide got, Wide wanted, Wide slack) {
  constexpr Wide kMost = std::numeric_limits<double>::max();
  if (std::isinf(got) && std::fabs(wanted) + slack >= kMost && (got > 0) == (wanted > 0)) return;
  if (!(std::fabs(got - wanted) <= slack)) fail(where, what, got, wanted);
}

/// Relative error of sums that is promised: `design` of the kernels, 1e-12, and 1e-6 for 16 bits.
inline Wide error_of(const Format& form) { return form.bytes == 2 ? 1e-6L : 1e-12L; }

inline Wide smallest() { return std::numeric_limits<double>::denorm_min(); }

}  // namespace gradcore::fuzz
