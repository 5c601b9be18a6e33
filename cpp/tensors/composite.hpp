#pragma once
// The same verbs in ordinary ATen operators: for devices that have no kernels of ours.

#include "tensors/apply.hpp"
#include "tensors/measure.hpp"
#include "tensors/units.hpp"

namespace gradcore {

/// `measure_cpu` for tensors of any one device, in float64 where the device has it. Several passes
/// and temporaries of a gradient's size.
at::Tensor measure_composite(at::TensorList gradients, const MeasureOptions& options);

/// `apply_cpu_` likewise; never waits for the device.
void apply_composite_(at::TensorList gradients, const at::Tensor& table, const at::Tensor& factors,
                      const std::optional<at::Tensor>& skip, const ApplyOptions& options);

/// One gradient of `apply_composite_`; `factor` fits [elements, parts of an element].
void rewrite_composite_(const at::Tensor& gradient, const at::Tensor& factor,
                        const std::optional<at::Tensor>& skip, const ApplyOptions& options);

/// The norm of every unit, float64 [units] on the device of the first gradient, for gradients of
/// any devices; undefined ones and memory that is listed twice have norms of 0.
at::Tensor unit_norms_composite(at::TensorList gradients, const UnitCounts& counts,
                                const MeasureOptions& options);

/// `apply_units_cpu_` for gradients of any devices; never waits for one.
void apply_units_composite_(at::TensorList gradients, const at::Tensor& factors,
                            const std::optional<at::Tensor>& skip, const UnitCounts& counts,
                            const ApplyOptions& options);

/// The column of totals of a table of columns, [kRows, n] to [kRows, 1].
at::Tensor totals_of(const at::Tensor& columns, double norm_type);

}  // namespace gradcore
