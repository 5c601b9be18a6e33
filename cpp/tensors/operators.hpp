#pragma once
// The two verbs for gradients of any device, as eager code calls them. Knows libtorch, not Python.

#include "tensors/apply.hpp"
#include "tensors/measure.hpp"

namespace gradcore {

/// Measures gradients of one device or several; undefined ones are absent. The table is on the
/// device of the first gradient.
at::Tensor measure(at::TensorList gradients, const MeasureOptions& options);

/// Applies to gradients of one device or several; `table`, `factors` and `skip` may be on any.
void apply_(at::TensorList gradients, const at::Tensor& table, const at::Tensor& factors,
            const std::optional<at::Tensor>& skip, const ApplyOptions& options);

}  // namespace gradcore
