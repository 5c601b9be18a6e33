#pragma once
// Tensors of the device as the CPU's, and the other way round.

#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <vector>

#include "device.hpp"

namespace software_device {

using at::Tensor;

/// The same memory as a tensor of the CPU.
inline Tensor on_host(const Tensor& tensor) {
  if (!tensor.defined() || tensor.device().type() != kType) return tensor;
  const auto options = at::TensorOptions().dtype(tensor.dtype()).device(c10::kCPU);
  Tensor alias = at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), options);
  alias._set_conj(tensor.is_conj());
  alias._set_neg(tensor.is_neg());
  return alias;
}

inline c10::Device device_of(std::optional<c10::Device> device) {
  return {kType, device && device->has_index() ? device->index() : current};
}

/// A copy of a tensor of the CPU.
inline Tensor on_device(const Tensor& tensor, c10::Device device) {
  if (!tensor.defined() || !tensor.is_cpu()) return tensor;
  const Tensor plain = tensor.resolve_conj().resolve_neg();
  Tensor copy = at::empty_strided(plain.sizes(), plain.strides(), plain.options().device(device));
  on_host(copy).copy_(plain);
  return copy;
}

/// Operators whose results have as many elements as the values of others say.
inline bool looks_at_values(const c10::OperatorHandle& op, const torch::jit::Stack& arguments) {
  static const std::vector<std::string> names{
      "aten::nonzero",    "aten::equal",    "aten::masked_select",    "aten::_unique2",
      "aten::unique_dim", "aten::bincount", "aten::repeat_interleave"};
  const std::string& name = op.schema().name();
  if (std::find(names.begin(), names.end(), name) != names.end()) return true;
  if (name != "aten::index" && name != "aten::_index_put_impl_") return false;
  for (const auto& index : arguments[1].toOptionalTensorVector()) {
    if (index && (index->scalar_type() == at::kBool || index->scalar_type() == at::kByte))
      return true;
  }
  return false;
}

}  // namespace software_device
