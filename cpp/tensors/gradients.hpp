#pragma once
// Which memory a gradient is. Knows libtorch, not Python.

#include <ATen/core/Tensor.h>
#include <c10/util/MaybeOwned.h>

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "kernels/numbers.hpp"

namespace gradcore {

/// The elements of one gradient as flat memory.
struct Elements {
  bool present = false;  ///< false for an undefined tensor
  Number number = Number::kFloat32;
  const void* data = nullptr;
  std::int64_t numel = 0;  ///< 0 too for a gradient that an earlier one of the list already is
  std::int64_t size = 0;   ///< bytes of an element
  std::int64_t times = 1;  ///< how often an expanded gradient holds each of them
  c10::MaybeOwned<at::Tensor>
      dense;            ///< the memory at `data`; mostly the gradient itself, borrowed
  at::Tensor original;  ///< defined if `dense` is a copy that has to be written back here
  at::Tensor indices;   ///< of a sparse gradient: [sparse dimensions, rows of `dense`]
};

/// Asks memory for a tensor that is about to be looked at.
void fetch(const at::Tensor& tensor);

/// The same for what `Gradients` is about to look at.
void fetch_gradients(const at::Tensor* const* parameters, std::size_t count);

/// Looks up the gradients of parameters, several of which may share one.
class Gradients {
 public:
  /// The gradient of `parameter`, undefined if there is none. A sparse one that is not coalesced is
  /// replaced by its coalesced self in the parameter, once, and read from there after.
  const at::Tensor& of(const at::Tensor& parameter);

 private:
  std::unordered_map<c10::TensorImpl*, at::Tensor> coalesced_;
  std::vector<at::Tensor> held_;
};

/// Whether a tensor holds float64 or complex128.
bool is_wide(const at::Tensor& tensor);

/// Throws c10::TypeError, which says why, unless `tensor` holds real or complex floating point
/// numbers in memory of its own: strided, or sparse COO.
void check_supported(const at::Tensor& tensor);

/// Finds the memory of each. Undefined tensors stay absent; one that shares its memory with an
/// earlier one has no elements, so that nothing is counted or scaled twice.
///
/// What is dense in any order of dimensions is taken as it lies, expanded dimensions are taken
/// once; only tensors with gaps, and lazily conjugated or negated ones, are copied. What is found
/// refers to `tensors`, which have to outlive it.
///
/// Where `measured` is given, it has the number of elements of each as `measure` counted them, and
/// what shares its memory with an earlier one is known by having none.
std::vector<Elements> elements_of(at::TensorList tensors, const double* measured = nullptr);

/// Writes back what is a copy and tells autograd that the tensor was changed.
void finish_write(const Elements& elements);

}  // namespace gradcore
