#include "tensors/composite.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <limits>
#include <vector>

#include "kernels/table.hpp"
#include "tensors/gradients.hpp"
#include "tensors/parts.hpp"

namespace gradcore {
namespace {

using at::Tensor;

/// sqrt(sum |x|^2) over everything, divided by the largest first so that no square overflows.
Tensor scaled_norm(const Tensor& values, const Tensor& scale) {
  const Tensor norm = (values / safe(scale)).square_().sum().sqrt_() * scale;
  return at::where(scale.isinf(), scale, norm);
}

Tensor column_of(const Tensor& gradient, const MeasureOptions& options) {
  check_supported(gradient);
  const Tensor dense = dense_of(gradient);
  const Tensor parts = parts_of(dense);
  const Tensor nothing = at::full({}, std::numeric_limits<double>::quiet_NaN(), parts.options());
  const Tensor zero = at::zeros({}, parts.options());
  std::vector<Tensor> column(kRows, nothing);
  const Marks marks(parts, options.overflow);
  const Tensor values = replaced(parts, marks, options.replacement, dense.scalar_type());
  const Tensor scale = values.numel() ? values.abs().amax() : zero;
  column[kPresent] = at::ones({}, parts.options());
  column[kNumel] = at::full({}, static_cast<double>(parts.size(0)), parts.options());
  column[kNan] = marks.element_nan.sum();
  column[kPosinf] = marks.element_posinf.sum();
  column[kNeginf] = marks.element_neginf.sum();
  column[kL2] = scaled_norm(values, scale);
  if (options.needs & (kNeedL1 | kNeedMaxAbs | kNeedLp)) {
    const Tensor relative = (values / safe(scale)).square_().sum(-1).sqrt_();
    if (options.needs & kNeedL1) column[kL1] = relative.sum() * scale;
    if (options.needs & kNeedMaxAbs)
      column[kMaxAbs] = (values.numel() ? relative.amax() : zero) * scale;
    if (options.needs & kNeedLp) {
      column[kLp] =
          at::where(relative > 0, relative.pow(options.norm_type), at::zeros_like(relative))
              .sum()
              .pow(1.0 / options.norm_type) *
          scale;
    }
  }
  if (options.needs & kNeedSum) {
    const Tensor sums = values.sum(0);
    column[kSum] = sums[0];
    column[kSumImag] = parts.size(1) == 2 ? sums[1] : zero;
  }
  if (options.needs & kNeedZeros) {
    const Tensor zeros = values.eq(0).all(-1);
    column[kZeros] =
        (options.replacement ? zeros : zeros.logical_and(marks.bad.logical_not())).sum();
  }
  for (Tensor& entry : column) entry = entry.to(parts.scalar_type());
  return at::stack(column);
}

Tensor clamped(const Tensor& parts, double limit) {
  if (parts.size(1) == 1) return parts.clamp(-limit, limit);
  const Tensor infinite = parts.isinf();
  const Tensor any = infinite.any(-1, true);
  // What is infinite lies in the direction of its infinite parts.
  const Tensor values =
      at::where(any, at::where(infinite, parts.sign(), at::zeros_like(parts)), parts);
  const Tensor scale = safe(values.abs().amax(-1, true));
  const Tensor direction = values / scale;
  const Tensor relative = direction.square().sum(-1, true).sqrt_();
  const Tensor beyond = (relative * scale > limit)
                            .logical_or_(any)
                            .logical_and_(parts.isnan().any(-1, true).logical_not());
  return at::where(beyond, direction / safe(relative) * limit, parts);
}

}  // namespace

Tensor totals_of(const Tensor& columns, double norm_type) {
  Tensor totals = columns.sum(1, true);
  const Tensor l2 = columns[kL2], lp = columns[kLp], max_abs = columns[kMaxAbs];
  if (columns.size(1) == 0) return totals.zero_();
  totals[kL2] = scaled_norm(l2, l2.amax());
  totals[kMaxAbs] = max_abs.amax();
  const Tensor largest = lp.amax();
  const Tensor powers = (lp / safe(largest)).pow(norm_type).sum().pow(1.0 / norm_type) * largest;
  totals[kLp] = at::where(largest.isinf(), largest, powers);
  return totals;
}

Tensor measure_composite(at::TensorList gradients, const MeasureOptions& options) {
  const at::NoGradGuard no_grad;
  if (gradients.empty()) return measure_cpu(gradients, options);  // no device to stay on
  std::vector<Tensor> columns;
  columns.reserve(gradients.size());
  for (const Tensor& gradient : gradients) columns.push_back(column_of(gradient, options));
  const Tensor table = at::stack(columns, 1);
  return at::cat({table, totals_of(table, options.norm_type)}, 1);
}

void apply_composite_(at::TensorList gradients, const Tensor& /*table*/, const Tensor& factors,
                      const std::optional<Tensor>& skip, const ApplyOptions& options) {
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const Tensor factor = factors.dim() == 0 ? factors : factors[static_cast<std::int64_t>(i)];
    rewrite_composite_(gradients[i], factor, skip, options);
  }
}

void rewrite_composite_(const Tensor& gradient, const Tensor& factor,
                        const std::optional<Tensor>& skip, const ApplyOptions& options) {
  const at::NoGradGuard no_grad;
  const bool sparse = gradient.layout() == c10::kSparse;
  const Tensor memory = sparse ? gradient._values() : gradient;
  const Tensor dense = memory.resolve_conj().resolve_neg();
  const Tensor parts = parts_of(dense);
  const Marks marks(parts, options.overflow);
  Tensor values = parts;
  if (options.repair == kZeroElements)
    values = replaced(parts, marks, std::nullopt, dense.scalar_type());
  if (options.repair == kReplace)
    values = replaced(parts, marks, options.replacement, dense.scalar_type());
  if (options.repair == kZeroParameters) values = parts.masked_fill(marks.bad.any(), 0.0);
  values = at::where(factor == 1, values, values * factor.to(values.scalar_type()));
  if (options.limit < std::numeric_limits<double>::infinity())
    values = clamped(values, options.limit);
  const Tensor unchanged = values.eq(parts).logical_and_(values.signbit().eq(parts.signbit()));
  const Tensor keep = skip ? unchanged.logical_or(*skip) : unchanged;
  const Tensor was = dense.is_complex() ? at::view_as_real(dense) : dense.unsqueeze(-1);
  const Tensor now = at::where(keep.view_as(was), was, values.to(was.scalar_type()).view_as(was));
  Tensor to = dense.is_complex() ? at::view_as_complex(now.contiguous()) : now.squeeze(-1);
  // An expanded gradient is one stretch of memory, written once.
  Tensor target = memory;
  for (std::int64_t d = 0; d < target.dim(); ++d) {
    if (target.stride(d) == 0 && target.size(d) > 1) {
      target = target.narrow(d, 0, 1);
      to = to.narrow(d, 0, 1);
    }
  }
  target.copy_(to);
}

}  // namespace gradcore
