#pragma once
// What kernels there are, for people. Knows libtorch, not Python.

#include <string>
#include <vector>

namespace gradcore {

/// Names of the instruction sets that kernels were compiled for.
std::vector<std::string> compiled_capabilities();

/// Names of those that the processor at hand supports.
std::vector<std::string> supported_capabilities();

/// Name of the one that kernels use.
std::string capability_in_use();

}  // namespace gradcore
