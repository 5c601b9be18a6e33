#pragma once
// From a list of gradients to the launches that deal with it. Knows libtorch, not Python.

#include <ATen/core/Tensor.h>

#include <vector>

#include "cuda/launch.hpp"
#include "tensors/gradients.hpp"

namespace gradcore {

/// The one device of `gradients`. Throws c10::ValueError if there is none, or more than one.
c10::Device device_of(at::TensorList gradients);

/// Gradients in the order of their columns, cut into batches of one kind that fit a launch.
///
/// Kinds come in the order in which they first appear; expanded gradients, which count several
/// times, make batches of their own.
class Batches {
 public:
  explicit Batches(std::vector<Elements> elements);

  auto begin() const { return batches_.begin(); }
  auto end() const { return batches_.end(); }
  auto rbegin() const { return batches_.rbegin(); }
  auto rend() const { return batches_.rend(); }

  /// Elements of all gradients, repeated ones included.
  double numel() const;

  /// Copies back what was not dense, and tells autograd.
  void finish_writes() const;

 private:
  std::vector<Elements> elements_;
  std::vector<cuda::Tensor> tensors_;  ///< sorted by batch
  std::vector<cuda::Batch> batches_;
};

}  // namespace gradcore
