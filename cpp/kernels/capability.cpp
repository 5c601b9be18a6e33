#include "kernels/capability.hpp"

#include <cstdlib>
#include <cstring>

#ifdef GRADCORE_X86
#include <cpuid.h>
#endif

namespace gradcore {
namespace {

#ifdef GRADCORE_X86
/// Conversions of 16-bit floats, of which __builtin_cpu_supports knows nothing in some compilers.
bool has_f16c() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

const Capability& chosen() noexcept {
  const char* const wanted = std::getenv("GRADCORE_CPU");
  const Capability* fastest = capabilities();
  for (const Capability* each = capabilities(); each->name != nullptr; ++each) {
    if (!each->supported) continue;
    fastest = each;
    if (wanted != nullptr && std::strcmp(wanted, each->name) == 0) return *each;
  }
  return *fastest;
}

}  // namespace

const Capability* capabilities() noexcept {
  static const Capability list[] = {
      {"baseline", true, baseline::measure, baseline::apply, baseline::measure_units,
       baseline::apply_units, baseline::read_once},
#ifdef GRADCORE_X86
      {"avx2", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c(),
       avx2::measure, avx2::apply, avx2::measure_units, avx2::apply_units, avx2::read_once},
      {"avx512",
       __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"),
       avx512::measure, avx512::apply, avx512::measure_units, avx512::apply_units,
       avx512::read_once},
#endif
      {nullptr, false, nullptr, nullptr, nullptr, nullptr, nullptr},
  };
  return list;
}

const Capability& capability() noexcept {
  static const Capability& in_use = chosen();
  return in_use;
}

Partial measure(Number number, const void* data, std::int64_t count,
                const Request& request) noexcept {
  return capability().measure(number, data, count, request);
}

void apply(Number number, void* data, std::int64_t count, const Change& change) noexcept {
  capability().apply(number, data, count, change);
}

Partial measure_units(const Stretch& stretch, const void* data, const UnitLayout& layout,
                      const Request& request, std::int64_t first, SumOfSquares* squares) noexcept {
  return capability().measure_units(stretch, data, layout, request, first, squares);
}

void apply_units(const Stretch& stretch, void* data, const UnitLayout& layout,
                 const double* factors, Change change) noexcept {
  capability().apply_units(stretch, data, layout, factors, change);
}

std::uint64_t read_once(const void* data, std::int64_t bytes) noexcept {
  return capability().read_once(data, bytes);
}

}  // namespace gradcore
