#include "tensors/capabilities.hpp"

#include "kernels/capability.hpp"

namespace gradcore {
namespace {

std::vector<std::string> names(bool supported_alone) {
  std::vector<std::string> list;
  for (const Capability* each = capabilities(); each->name != nullptr; ++each) {
    if (each->supported || !supported_alone) list.emplace_back(each->name);
  }
  return list;
}

}  // namespace

std::vector<std::string> compiled_capabilities() { return names(false); }
std::vector<std::string> supported_capabilities() { return names(true); }
std::string capability_in_use() { return capability().name; }

}  // namespace gradcore
