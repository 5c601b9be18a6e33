#include "tensors/gradients.hpp"

#include <ATen/core/grad_mode.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <utility>

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

const at::Tensor& memory_of(const Elements& elements) {
  return elements.original.defined() ? elements.original : *elements.dense;
}

/// Remembers the memory of elements: a small open hash table, sized once, of places in a list.
class Memories {
 public:
  explicit Memories(const std::vector<Elements>& list, std::size_t expected) : list_(list) {
    std::size_t size = 16;
    while (size < 2 * expected) size *= 2;
    slots_.resize(size);
  }

  /// True if the memory of number `place` of the list, which has elements, was added before.
  bool add(std::uint32_t place) {
    const at::Tensor& memory = memory_of(list_[place]);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.const_data_ptr());
    const auto hash = (address >> 4) * 0x9e3779b97f4a7c15u;
    const auto tag = static_cast<std::uint32_t>(hash);
    for (std::size_t i = hash >> 32;; ++i) {
      Slot& slot = slots_[i & (slots_.size() - 1)];
      if (slot.place == kEmpty) {
        slot = {tag, place};
        return false;
      }
      if (slot.tag == tag && same_memory(memory_of(list_[slot.place]), memory)) return true;
    }
  }

 private:
  static constexpr std::uint32_t kEmpty = 0xffffffffu;

  struct Slot {
    std::uint32_t tag = 0;  ///< of the address: a tensor of another one need not be looked at
    std::uint32_t place = kEmpty;
  };

  const std::vector<Elements>& list_;
  std::vector<Slot> slots_;
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

/// Whether a tensor is an ordinary one of the CPU: strided, neither lazy nor a subclass.
bool is_plain(const at::Tensor& tensor) {
  using c10::DispatchKey;
  constexpr c10::DispatchKeySet ordinary({DispatchKey::CPU, DispatchKey::ADInplaceOrView,
                                          DispatchKey::AutogradCPU, DispatchKey::AutocastCPU});
  return (tensor.key_set() | ordinary) == ordinary;
}

/// Finds the memory of what is not ordinary, or not dense.
void find_memory(Elements& found, const at::Tensor& tensor) {
  check_supported(tensor);
  at::Tensor dense = tensor;
  if (tensor.layout() == c10::kSparse) {
    const at::Tensor coalesced = tensor.is_coalesced() ? tensor : tensor.coalesce();
    dense = coalesced._values();
    found.indices = coalesced._indices();
  }
  const bool lazy = tensor.is_conj() || tensor.is_neg();
  if (lazy || !dense.is_non_overlapping_and_dense()) {
    const std::int64_t numel = dense.numel();
    dense = unexpanded(dense);
    if (dense.numel() > 0) found.times = numel / dense.numel();
    if (lazy || !dense.is_non_overlapping_and_dense()) {
      found.original = dense;
      dense = found.original.resolve_conj().resolve_neg().contiguous();
    }
  }
  found.dense = c10::MaybeOwned<at::Tensor>::owned(std::move(dense));
}

void fetch_storage(const at::Tensor& tensor) {
  if (!tensor.defined()) return;
  const c10::Storage& storage = tensor.unsafeGetTensorImpl()->unsafe_storage();
  const auto* const object = reinterpret_cast<const char*>(storage.unsafeGetStorageImpl());
  if (object == nullptr) return;
  __builtin_prefetch(object);
  __builtin_prefetch(object + sizeof(c10::StorageImpl) - 1);
}

void find(Elements& found, const at::Tensor& tensor) {
  if (!tensor.defined()) return;
  found.present = true;
  // Most are like this, and a reference that is counted costs as much as all else here.
  if (is_plain(tensor) && tensor.is_non_overlapping_and_dense()) {
    found.dense = c10::MaybeOwned<at::Tensor>::borrowed(tensor);
  } else {
    find_memory(found, tensor);
  }
  found.number = number_of(tensor.scalar_type());
  found.size = static_cast<std::int64_t>(tensor.dtype().itemsize());
  found.numel = found.dense->numel();
  if (found.numel > 0) found.data = found.dense->const_data_ptr();
}

}  // namespace

void fetch(const at::Tensor& tensor) {
  const auto* const object = reinterpret_cast<const char*>(tensor.unsafeGetTensorImpl());
  constexpr int kToWrite = 1;  // its count of references
  __builtin_prefetch(object, kToWrite);
  __builtin_prefetch(object + sizeof(c10::TensorImpl) - 1);  // what kind of tensor it is
}

void fetch_gradients(const at::Tensor* const* parameters, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    __builtin_prefetch(parameters[i]->unsafeGetTensorImpl()->autograd_meta());
  }
  for (std::size_t i = 0; i < count; ++i) {
    fetch(parameters[i]->unsafeGetTensorImpl()->grad());
  }
}

const at::Tensor& Gradients::of(const at::Tensor& parameter) {
  const at::Tensor& gradient = parameter.grad();
  if (gradient.defined() && gradient.layout() == c10::kSparse && !gradient.is_coalesced()) {
    const at::NoGradGuard no_grad;
    at::Tensor& once = coalesced_[gradient.unsafeGetTensorImpl()];
    if (!once.defined()) once = gradient.coalesce();
    held_.push_back(gradient);  // so that no other tensor comes to lie where it was
    parameter.mutable_grad() = once;
  }
  return gradient;
}

bool is_wide(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble || tensor.scalar_type() == at::kComplexDouble;
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

std::vector<Elements> elements_of(at::TensorList tensors, const double* measured) {
  const at::NoGradGuard no_grad;
  std::vector<Elements> list(tensors.size());
  Memories memories(list, measured ? 0 : tensors.size());
  const auto repeated = [&](std::size_t i) {
    return measured ? measured[i] == 0.0 : memories.add(static_cast<std::uint32_t>(i));
  };
  constexpr std::size_t kAhead = 16;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (i + 2 * kAhead < list.size()) fetch(tensors[i + 2 * kAhead]);
    if (i + kAhead < list.size()) fetch_storage(tensors[i + kAhead]);
    find(list[i], tensors[i]);
    if (list[i].numel > 0 && repeated(i)) list[i].numel = 0;
  }
  return list;
}

void finish_write(const Elements& elements) {
  if (elements.original.defined()) {
    const at::NoGradGuard no_grad;
    elements.original.copy_(*elements.dense);  // moves the version itself
  } else if (!elements.dense->is_inference()) {
    elements.dense->unsafeGetTensorImpl()->bump_version();
  }
}

}  // namespace gradcore
