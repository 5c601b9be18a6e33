#pragma once
// The same two verbs in ordinary ATen operators: for devices that have no kernels of ours.

#include "tensors/apply.hpp"
#include "tensors/measure.hpp"

namespace gradcore {

/// `measure_cpu` for tensors of any one device, in float64 where the device has it. Several passes
/// and temporaries of a gradient's size.
at::Tensor measure_composite(at::TensorList gradients, const MeasureOptions& options);

/// `apply_cpu_` likewise; never waits for the device.
void apply_composite_(at::TensorList gradients, const at::Tensor& table, const at::Tensor& factors,
                      const std::optional<at::Tensor>& skip, const ApplyOptions& options);

/// The column of totals of a table of columns, [kRows, n] to [kRows, 1].
at::Tensor totals_of(const at::Tensor& columns, double norm_type);

}  // namespace gradcore
