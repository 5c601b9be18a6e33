#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <algorithm>
#include <limits>

#include "kernels/table.hpp"
#include "tensors/composite.hpp"
#include "tensors/operators.hpp"

namespace gradcore {
namespace {

using at::Tensor;
using at::TensorList;
using Skip = const std::optional<Tensor>&;
using Both = std::tuple<Tensor, Tensor>;

constexpr const char* kMeasureSchema =
    "(Tensor[] gradients, int[] units, int unit_axis, int needs, float norm_type, float overflow, "
    "float[]? replacement) -> (Tensor, Tensor)";
constexpr const char* kApplySchema =
    "(Tensor(a!)[] gradients, Tensor table, Tensor factors, int[] units, int unit_axis, "
    "Tensor? skip, int repair, float[]? replacement, float overflow) -> ()";

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

Both measure_composite_units(TensorList gradients, const UnitCounts& counts,
                             const MeasureOptions& options) {
  return {measure(gradients, options), unit_norms_composite(gradients, counts, options)};
}

void apply_composite_units_(TensorList gradients, const Tensor& /*table*/, const Tensor& factors,
                            Skip skip, const UnitCounts& counts, const ApplyOptions& options) {
  apply_units_composite_(gradients, factors, skip, counts, options);
}

template <Both (*run)(TensorList, const UnitCounts&, const MeasureOptions&)>
Both measure_operator(TensorList gradients, at::IntArrayRef units, std::int64_t axis,
                      std::int64_t needs, double norm_type, double overflow, Values replacement) {
  return run(gradients, {units, axis}, {needs, norm_type, overflow, checked(replacement)});
}

template <void (*run)(TensorList, const Tensor&, const Tensor&, Skip, const UnitCounts&,
                      const ApplyOptions&)>
void apply_operator_(TensorList gradients, const Tensor& table, const Tensor& factors,
                     at::IntArrayRef units, std::int64_t axis, Skip skip, std::int64_t repair,
                     Values replacement, double overflow) {
  run(gradients, table, factors, skip, {units, axis},
      {repair, checked(replacement), overflow, kNoLimit});
}

// What the results look like, for tracing.
Both measure_shape(TensorList gradients, at::IntArrayRef units, std::int64_t, std::int64_t, double,
                   double, Values) {
  const auto device = gradients.empty() ? c10::Device(c10::kCPU) : gradients[0].device();
  const auto options = at::TensorOptions().dtype(at::kDouble).device(device);
  const auto columns = static_cast<std::int64_t>(gradients.size()) + 1;
  return {at::empty({kRows, columns}, options), at::empty({UnitCounts{units, 0}.total()}, options)};
}
void apply_shape_(TensorList, const Tensor&, const Tensor&, at::IntArrayRef, std::int64_t, Skip,
                  std::int64_t, Values, double) {}

}  // namespace

Both measure_units(TensorList gradients, const UnitCounts& counts, const MeasureOptions& options) {
  return on_cpu(gradients) ? measure_units_cpu(gradients, counts, options)
                           : measure_composite_units(gradients, counts, options);
}

void apply_units_(TensorList gradients, const Tensor& table, const Tensor& factors, Skip skip,
                  const UnitCounts& counts, const ApplyOptions& options) {
  if (!on_cpu(gradients)) {
    return apply_units_composite_(gradients, factors, skip, counts, options);
  }
  const std::optional<Tensor> skip_here = skip ? std::optional<Tensor>(skip->cpu()) : std::nullopt;
  apply_units_cpu_(gradients, table.cpu(), factors.cpu(), skip_here, counts, options);
}

TORCH_LIBRARY_FRAGMENT(gradcore, m) {
  for (const char* name : {"measure_units", "measure_units_composite"})
    m.def((std::string(name) + kMeasureSchema).c_str());
  for (const char* name : {"apply_units_", "apply_units_composite_"})
    m.def((std::string(name) + kApplySchema).c_str());
}

TORCH_LIBRARY_IMPL(gradcore, CPU, m) {
  m.impl("measure_units", TORCH_FN(measure_operator<measure_units_cpu>));
  m.impl("apply_units_", TORCH_FN(apply_operator_<apply_units_cpu_>));
}

TORCH_LIBRARY_IMPL(gradcore, Meta, m) {
  for (const char* name : {"measure_units", "measure_units_composite"})
    m.impl(name, TORCH_FN(measure_shape));
  for (const char* name : {"apply_units_", "apply_units_composite_"})
    m.impl(name, TORCH_FN(apply_shape_));
}

// Any other device, CUDA too: its kernels measure the table, operators of ATen the units.
TORCH_LIBRARY_IMPL(gradcore, CompositeExplicitAutograd, m) {
  for (const char* name : {"measure_units", "measure_units_composite"})
    m.impl(name, TORCH_FN(measure_operator<measure_composite_units>));
  for (const char* name : {"apply_units_", "apply_units_composite_"})
    m.impl(name, TORCH_FN(apply_operator_<apply_composite_units_>));
}

}  // namespace gradcore
