#pragma once
// Measuring lists of gradients on the CPU. Knows libtorch, not Python.

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "kernels/measure.hpp"
#include "tensors/blocks.hpp"
#include "tensors/gradients.hpp"

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

/// `options` as kernels take them.
Request request_of(const MeasureOptions& options);

/// The table, of partial results for every block of `list` in order.
at::Tensor table_of(const std::vector<Elements>& list, const std::vector<Block>& blocks,
                    const std::vector<Partial>& partials, const Request& request);

}  // namespace gradcore
