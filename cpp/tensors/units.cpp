#include "tensors/units.hpp"

#include <c10/core/WrapDimMinimal.h>
#include <c10/util/Exception.h>

#include <numeric>

namespace gradcore {
namespace {

std::int64_t axis_of(const at::Tensor& tensor, std::int64_t axis, std::size_t place) {
  TORCH_CHECK_VALUE(-tensor.dim() <= axis && axis < tensor.dim(),
                    "unit_axis must be an axis of "
                    "every tensor of two dimensions or more; got ",
                    axis, ", and number ", place, " has shape ", tensor.sizes(), ".");
  return axis < 0 ? axis + tensor.dim() : axis;
}

/// Finds the units of one gradient that has elements.
void locate(Units& units, const at::Tensor& gradient, const Elements& elements, std::int64_t axis) {
  units.layout = {elements.numel, 1};
  units.times = elements.times;
  if (gradient.dim() < 2) return;
  std::int64_t dim = axis;
  if (elements.indices.defined()) {
    const std::int64_t sparse = elements.indices.size(0);
    if (axis < sparse) units.where = elements.indices[axis].contiguous();
    dim = axis < sparse ? 0 : axis - sparse + 1;
  }
  const at::Tensor& dense = *elements.dense;
  // What is dense has its dimensions one within the other: the stride counts the elements within.
  if (dense.size(dim) > 1) units.layout = {dense.stride(dim), dense.size(dim)};
  const std::int64_t pieces = units.where.defined() ? units.where.numel() : units.count;
  units.shared = dense.size(dim) < pieces;
  if (units.shared) units.times /= pieces;
}

}  // namespace

std::int64_t UnitCounts::total() const {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

std::vector<std::int64_t> units_of(at::TensorList parameters, std::int64_t axis) {
  std::vector<std::int64_t> counts;
  counts.reserve(parameters.size());
  for (const at::Tensor& parameter : parameters) {
    counts.push_back(parameter.dim() < 2 ? 1
                                         : parameter.size(axis_of(parameter, axis, counts.size())));
  }
  return counts;
}

std::vector<Units> units_of(at::TensorList gradients, const std::vector<Elements>& list,
                            const UnitCounts& counts) {
  TORCH_CHECK_VALUE(counts.counts.size() == gradients.size(),
                    "There must be as many counts of "
                    "units as gradients, ",
                    gradients.size(), "; got ", counts.counts.size(), ".");
  std::vector<Units> all(gradients.size());
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].begin = begin;
    all[i].count = counts.counts[i];
    begin += all[i].count;
    if (list[i].numel == 0) continue;
    const at::Tensor& gradient = gradients[i];
    const std::int64_t axis = gradient.dim() < 2 ? 0 : axis_of(gradient, counts.axis, i);
    const std::int64_t units = gradient.dim() < 2 ? 1 : gradient.size(axis);
    TORCH_CHECK_VALUE(units == all[i].count, "A gradient has the units of its parameter, ",
                      all[i].count, " for number ", i, "; got ", units, " of a gradient of shape ",
                      gradient.sizes(), ".");
    locate(all[i], gradient, list[i], axis);
  }
  return all;
}

void check_factors(const at::Tensor& factors, const UnitCounts& counts) {
  TORCH_CHECK_VALUE(factors.scalar_type() == at::kDouble && factors.dim() == 1 &&
                        factors.size(0) == counts.total(),
                    "apply_units_() takes float64 factors, one for each of the ", counts.total(),
                    " units; got ", factors.scalar_type(), " ", factors.sizes(), ".");
}

}  // namespace gradcore
