#include "kernels/capability.hpp"

#include <cstdlib>
#include <cstring>

namespace gradcore {
namespace {

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
      {"baseline", true, baseline::measure, baseline::apply},
#ifdef GRADCORE_X86
      {"avx2",
       __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("f16c"),
       avx2::measure, avx2::apply},
      {"avx512",
       __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"),
       avx512::measure, avx512::apply},
#endif
      {nullptr, false, nullptr, nullptr},
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

}  // namespace gradcore
