#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <vector>

#include "tensors/composite.hpp"
#include "tensors/parts.hpp"

namespace gradcore {
namespace {

using at::Tensor;

/// Which dimension of the dense memory the units lie along, and which unit each slice of it is a
/// piece of: undefined where the slices are the units, -1 where all of the gradient is one unit.
struct Along {
  std::int64_t dim = -1;
  Tensor where;

  Along(const Tensor& gradient, std::int64_t axis) {
    if (gradient.dim() < 2) return;
    dim = axis < 0 ? axis + gradient.dim() : axis;
    if (gradient.layout() != c10::kSparse) return;
    const std::int64_t sparse = gradient.sparse_dim();
    if (dim < sparse) where = gradient._indices()[dim];
    dim = dim < sparse ? 0 : dim - sparse + 1;
  }
};

/// Rows of numbers to their Euclidean norms: divided by the largest so that no square overflows.
Tensor norms_of(const Tensor& rows) {
  if (rows.numel() == 0) return at::zeros({rows.size(0)}, rows.options());
  const Tensor scale = rows.abs().amax(1);
  const Tensor norm = (rows / safe(scale).unsqueeze(1)).square_().sum(1).sqrt_() * scale;
  return at::where(scale.isinf(), scale, norm);
}

Tensor unit_norms(const Tensor& given, std::int64_t count, std::int64_t axis,
                  const MeasureOptions& options) {
  const Tensor gradient = given.layout() == c10::kSparse ? given.coalesce() : given;
  const Along along(gradient, axis);
  const Tensor dense = dense_of(gradient);
  const Tensor parts = parts_of(dense);
  const Marks marks(parts, options.overflow);
  const Tensor values = replaced(parts, marks, options.replacement, dense.scalar_type());
  if (along.dim < 0) return norms_of(values.reshape({1, -1}));
  std::vector<std::int64_t> shape = dense.sizes().vec();
  shape.push_back(parts.size(1));
  const Tensor slices = values.reshape(shape).movedim(along.dim, 0);
  const Tensor norms = norms_of(slices.reshape({slices.size(0), -1}));
  if (!along.where.defined()) return norms;
  const Tensor zeros = at::zeros({count}, norms.options());
  const Tensor scale = zeros.index_reduce(0, along.where, norms, "amax");
  const Tensor relative = norms / safe(scale).index_select(0, along.where);
  return zeros.index_add(0, along.where, relative.square_()).sqrt_() * scale;
}

/// One factor for each part of each element, [elements, 1], or one for all.
Tensor factors_of(const Tensor& gradient, const Tensor& factors, std::int64_t axis) {
  const Along along(gradient, axis);
  if (along.dim < 0) return factors[0];
  const bool sparse = along.where.defined();
  const Tensor memory = gradient.layout() == c10::kSparse ? gradient._values() : gradient;
  Tensor own = sparse ? factors.index_select(0, along.where) : factors;
  // Where all units are the same memory, the smallest factor is the one for it.
  if (memory.size(along.dim) > 1 && memory.stride(along.dim) == 0) own = own.amin().expand_as(own);
  std::vector<std::int64_t> shape(static_cast<std::size_t>(memory.dim()), 1);
  shape[static_cast<std::size_t>(along.dim)] = -1;
  return own.view(shape).expand(memory.sizes()).reshape({-1, 1});
}

}  // namespace

Tensor unit_norms_composite(at::TensorList gradients, const UnitCounts& counts,
                            const MeasureOptions& options) {
  const at::NoGradGuard no_grad;
  const std::vector<Elements> list = elements_of(gradients);
  const std::vector<Units> units = units_of(gradients, list, counts);
  std::optional<c10::Device> device;
  std::vector<Tensor> norms;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (gradients[i].defined() && !device) device = gradients[i].device();
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto options_here =
        at::TensorOptions().dtype(at::kDouble).device(device.value_or(at::kCPU));
    norms.push_back(list[i].numel == 0
                        ? at::zeros({units[i].count}, options_here)
                        : unit_norms(gradients[i], units[i].count, counts.axis, options)
                              .to(options_here, /*non_blocking=*/true));
  }
  return norms.empty() ? at::zeros({0}, at::kDouble) : at::cat(norms);
}

void apply_units_composite_(at::TensorList gradients, const Tensor& factors,
                            const std::optional<Tensor>& skip, const UnitCounts& counts,
                            const ApplyOptions& options) {
  const at::NoGradGuard no_grad;
  check_factors(factors, counts);
  const std::vector<Elements> list = elements_of(gradients);
  const std::vector<Units> units = units_of(gradients, list, counts);
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i].numel == 0) continue;
    const c10::Device device = gradients[i].device();
    const auto here = [&](const Tensor& tensor) {
      return tensor.to(device, /*non_blocking=*/true);
    };
    const Tensor own = here(factors.narrow(0, units[i].begin, units[i].count));
    const std::optional<Tensor> skip_here =
        skip ? std::optional<Tensor>(here(*skip)) : std::nullopt;
    rewrite_composite_(gradients[i], factors_of(gradients[i], own, counts.axis), skip_here,
                       options);
  }
}

}  // namespace gradcore
