#pragma once
// Measuring lists of gradients on the CPU. Knows libtorch, not Python.

#include <ATen/core/Tensor.h>

#include <optional>

namespace gradcore {

/// Stand-ins for NaN, +Inf and -Inf, in this order.
using Values = std::optional<c10::ArrayRef<double>>;

/// The options of one measurement, as the operator `gradcore::measure` takes them.
struct MeasureOptions {
  std::int64_t needs = 0;
  double norm_type = 2.0;
  double overflow;
  Values replacement;
};

/// Reads every tensor once and returns the table of `kernels/table.hpp` on the CPU.
///
/// Undefined tensors are absent; memory that is listed twice counts once. Throws c10::TypeError for
/// tensors that `check_supported` refuses.
at::Tensor measure_cpu(at::TensorList gradients, const MeasureOptions& options);

}  // namespace gradcore
