#include "tensors/gradients.hpp"

#include <ATen/core/grad_mode.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <unordered_map>

namespace gradcore {
namespace {

/// Whether two tensors are the same elements of the same memory. Dense ones are if they start
/// alike, whatever the order of their dimensions; others if they are laid out alike.
bool same_memory(const at::Tensor& a, const at::Tensor& b) {
  if (a.const_data_ptr() != b.const_data_ptr() || a.numel() != b.numel() ||
      a.scalar_type() != b.scalar_type() || !a.is_alias_of(b)) {
    return false;
  }
  const bool dense = a.is_non_overlapping_and_dense() && b.is_non_overlapping_and_dense();
  return dense || (a.sizes() == b.sizes() && a.strides() == b.strides());
}

/// Remembers tensors by their memory: a small open hash table, sized once.
class Memories {
 public:
  explicit Memories(std::size_t expected) {
    std::size_t size = 16;
    while (size < 2 * expected) size *= 2;
    slots_.resize(size, nullptr);
  }

  /// True if the same memory was added before. `tensor` has elements and outlives this.
  bool add(const at::Tensor& tensor) {
    const auto address = reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr());
    const auto hash = (address >> 4) * 0x9e3779b97f4a7c15u;
    for (std::size_t i = hash >> 32;; ++i) {
      const at::Tensor*& slot = slots_[i & (slots_.size() - 1)];
      if (slot == nullptr) {
        slot = &tensor;
        return false;
      }
      if (same_memory(*slot, tensor)) return true;
    }
  }

 private:
  std::vector<const at::Tensor*> slots_;
};

Number number_of(c10::ScalarType type) {
  switch (type) {
    case at::kHalf:
      return Number::kFloat16;
    case at::kBFloat16:
      return Number::kBfloat16;
    case at::kFloat:
      return Number::kFloat32;
    case at::kDouble:
      return Number::kFloat64;
    case at::kComplexHalf:
      return Number::kComplex32;
    case at::kComplexFloat:
      return Number::kComplex64;
    case at::kComplexDouble:
      return Number::kComplex128;
    default:
      C10_THROW_ERROR(TypeError,
                      c10::str("gradcore takes float16, bfloat16, float32, float64, complex32, "
                               "complex64 and complex128 tensors; got ",
                               c10::toString(type), "."));
  }
}

/// Without its expanded dimensions: the memory itself, each element once.
at::Tensor unexpanded(at::Tensor tensor) {
  for (std::int64_t d = 0; d < tensor.dim(); ++d) {
    if (tensor.stride(d) == 0 && tensor.size(d) > 1) tensor = tensor.narrow(d, 0, 1);
  }
  return tensor;
}

Elements elements_of(const at::Tensor& tensor) {
  Elements found;
  if (!tensor.defined()) return found;
  check_supported(tensor);
  found.present = true;
  found.number = number_of(tensor.scalar_type());
  found.dense = tensor;
  if (tensor.layout() == c10::kSparse) {
    const at::Tensor coalesced = tensor.is_coalesced() ? tensor : tensor.coalesce();
    found.dense = coalesced._values();
    found.indices = coalesced._indices();
  }
  const bool lazy = tensor.is_conj() || tensor.is_neg();
  if (lazy || !found.dense.is_non_overlapping_and_dense()) {
    const std::int64_t numel = found.dense.numel();
    found.dense = unexpanded(found.dense);
    if (found.dense.numel() > 0) found.times = numel / found.dense.numel();
    if (lazy || !found.dense.is_non_overlapping_and_dense()) {
      found.original = found.dense;
      found.dense = found.original.resolve_conj().resolve_neg().contiguous();
    }
  }
  found.numel = found.dense.numel();
  found.data = found.numel > 0 ? found.dense.const_data_ptr() : nullptr;
  return found;
}

}  // namespace

std::vector<at::Tensor> gradients_of(at::TensorList parameters) {
  std::vector<at::Tensor> gradients;
  gradients.reserve(parameters.size());
  std::vector<at::Tensor> held;
  std::unordered_map<c10::TensorImpl*, at::Tensor> coalesced;  // parameters may share a gradient
  for (const at::Tensor& parameter : parameters) {
    const at::Tensor& gradient = parameter.grad();
    if (gradient.defined() && gradient.layout() == c10::kSparse && !gradient.is_coalesced()) {
      const at::NoGradGuard no_grad;
      at::Tensor& once = coalesced[gradient.unsafeGetTensorImpl()];
      if (!once.defined()) once = gradient.coalesce();
      held.push_back(gradient);  // so that no other tensor comes to lie where it was
      parameter.mutable_grad() = once;
    }
    gradients.push_back(parameter.grad());
  }
  return gradients;
}

void check_supported(const at::Tensor& tensor) {
  const auto layout = tensor.layout();
  TORCH_CHECK_TYPE(!tensor.key_set().has(c10::DispatchKey::Python),
                   "gradcore takes plain tensors; got a tensor subclass. Pass its local tensor.");
  TORCH_CHECK_TYPE(!tensor.is_quantized(),
                   "gradcore takes floating point tensors; got a quantized one.");
  TORCH_CHECK_TYPE(!tensor.is_nested(), "gradcore takes plain tensors; got a nested one.");
  TORCH_CHECK_TYPE(layout == c10::kStrided || layout == c10::kSparse,
                   "gradcore takes strided and sparse COO tensors; got layout ", layout, ".");
  TORCH_CHECK_TYPE(!tensor.is_meta(),
                   "gradcore takes tensors with data; got one on the meta device.");
  number_of(tensor.scalar_type());
}

std::vector<Elements> elements_of(at::TensorList tensors) {
  const at::NoGradGuard no_grad;
  std::vector<Elements> list;
  list.reserve(tensors.size());
  Memories memories(tensors.size());
  for (const at::Tensor& tensor : tensors) {
    list.push_back(elements_of(tensor));
    Elements& found = list.back();  // stays where it is: the list has its capacity
    const at::Tensor& memory = found.original.defined() ? found.original : found.dense;
    if (found.numel > 0 && memories.add(memory)) found.numel = 0;
  }
  return list;
}

void finish_write(const Elements& elements) {
  const at::NoGradGuard no_grad;
  if (elements.original.defined()) {
    elements.original.copy_(elements.dense);  // moves the version itself
  } else if (!elements.dense.is_inference()) {
    elements.dense.unsafeGetTensorImpl()->bump_version();
  }
}

}  // namespace gradcore
