#pragma once
// Which instructions kernels use. Knows nothing of torch.

#include <cstdint>

#include "kernels/apply.hpp"
#include "kernels/floor.hpp"
#include "kernels/measure.hpp"
#include "kernels/units.hpp"

namespace gradcore {

// Each is compiled from the same sources; the name of the namespace is GRADCORE_CAPABILITY there.
#define GRADCORE_KERNELS(capability)                                                        \
  namespace capability {                                                                    \
  Partial measure(Number number, const void* data, std::int64_t count,                      \
                  const Request& request) noexcept;                                         \
  void apply(Number number, void* data, std::int64_t count, const Change& change) noexcept; \
  Partial measure_units(const Stretch& stretch, const void* data, const UnitLayout& layout, \
                        const Request& request, std::int64_t first,                         \
                        SumOfSquares* squares) noexcept;                                    \
  void apply_units(const Stretch& stretch, void* data, const UnitLayout& layout,            \
                   const double* factors, Change change) noexcept;                          \
  std::uint64_t read_once(const void* data, std::int64_t bytes) noexcept;                   \
  }
GRADCORE_KERNELS(baseline)
#ifdef GRADCORE_X86
GRADCORE_KERNELS(avx2)
GRADCORE_KERNELS(avx512)
#endif
#undef GRADCORE_KERNELS

/// One way of running the kernels.
struct Capability {
  const char* name;
  bool supported;  ///< by the processor at hand
  decltype(&baseline::measure) measure;
  decltype(&baseline::apply) apply;
  decltype(&baseline::measure_units) measure_units;
  decltype(&baseline::apply_units) apply_units;
  decltype(&baseline::read_once) read_once;
};

/// All that were compiled in, from the plainest to the fastest; the last one has no name.
const Capability* capabilities() noexcept;

/// The one in use: what the environment variable GRADCORE_CPU names, if it is supported, else the
/// fastest that is. Chosen once.
const Capability& capability() noexcept;

}  // namespace gradcore
