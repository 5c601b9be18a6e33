#pragma once
// The verbs for gradients of any device, as eager code calls them. Knows libtorch, not Python.

#include "tensors/apply.hpp"
#include "tensors/measure.hpp"
#include "tensors/units.hpp"

namespace gradcore {

/// Measures gradients of one device or several; undefined ones are absent. The table is on the
/// device of the first gradient.
at::Tensor measure(at::TensorList gradients, const MeasureOptions& options);

/// Applies to gradients of one device or several; `table`, `factors` and `skip` may be on any.
void apply_(at::TensorList gradients, const at::Tensor& table, const at::Tensor& factors,
            const std::optional<at::Tensor>& skip, const ApplyOptions& options);

/// `measure`, and the Euclidean norm of every unit, on the device of the first gradient.
std::tuple<at::Tensor, at::Tensor> measure_units(at::TensorList gradients, const UnitCounts& counts,
                                                 const MeasureOptions& options);

/// `apply_` with a factor for each unit and no limit.
void apply_units_(at::TensorList gradients, const at::Tensor& table, const at::Tensor& factors,
                  const std::optional<at::Tensor>& skip, const UnitCounts& counts,
                  const ApplyOptions& options);

/// Whether all of them are on the CPU, those that are defined.
bool on_cpu(at::TensorList gradients);

/// `replacement`, if it is three numbers; throws a ValueError otherwise.
Values checked(Values replacement);

}  // namespace gradcore
