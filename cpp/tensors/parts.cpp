#include "tensors/parts.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

namespace gradcore {
namespace {

using at::Tensor;

// Metal has no float64; there numbers are as good as float32 can make them.
c10::ScalarType wide(c10::Device device) { return device.is_mps() ? at::kFloat : at::kDouble; }

double largest(c10::ScalarType type) {
  switch (type) {
    case at::kHalf:
    case at::kComplexHalf:
      return 65504.0;
    case at::kBFloat16:
      return 0x1.fep127;
    case at::kFloat:
    case at::kComplexFloat:
      return std::numeric_limits<float>::max();
    default:
      return std::numeric_limits<double>::max();
  }
}

}  // namespace

Tensor parts_of(const Tensor& dense) {
  const Tensor parts = dense.is_complex() ? at::view_as_real(dense) : dense.unsqueeze(-1);
  return parts.reshape({-1, parts.size(-1)}).to(wide(dense.device()));
}

Marks::Marks(const Tensor& parts, double overflow)
    : nan(parts.isnan()),
      posinf(parts.gt(overflow).logical_or_(parts.isposinf())),
      neginf(parts.lt(-overflow).logical_or_(parts.isneginf())),
      element_nan(nan.any(-1)),
      element_posinf(posinf.any(-1).logical_and_(element_nan.logical_not())),
      element_neginf(
          neginf.any(-1).logical_and_(element_nan.logical_or(element_posinf).logical_not())),
      bad(element_nan.logical_or(element_posinf).logical_or_(element_neginf)) {}

Tensor replaced(const Tensor& parts, const Marks& marks, const Values& by, c10::ScalarType type) {
  if (!by) return parts.masked_fill(marks.bad.unsqueeze(-1), 0.0);
  const double bound = largest(type);
  const auto value = [&](std::size_t i) {  // as the dtype can hold it
    return at::scalar_tensor(std::clamp((*by)[i], -bound, bound), at::kDouble)
        .to(c10::toRealValueType(type))
        .item<double>();
  };
  return parts.masked_fill(marks.nan, value(0))
      .masked_fill_(marks.posinf, value(1))
      .masked_fill_(marks.neginf, value(2));
}

Tensor safe(const Tensor& scale) { return at::where(scale > 0, scale, at::ones_like(scale)); }

Tensor dense_of(const Tensor& gradient) {
  const Tensor memory =
      gradient.layout() == c10::kSparse ? gradient.coalesce()._values() : gradient;
  return memory.resolve_conj().resolve_neg();
}

}  // namespace gradcore
