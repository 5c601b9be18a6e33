#pragma once
// What the verbs in ordinary ATen operators share: the elements of a tensor as real numbers.

#include <ATen/core/Tensor.h>

#include "tensors/measure.hpp"

namespace gradcore {

/// The parts of every element in float64 where the device has it: [elements, 1] or [elements, 2].
at::Tensor parts_of(const at::Tensor& dense);

/// What is not finite, or has a part beyond `overflow`.
struct Marks {
  at::Tensor nan, posinf, neginf;                               ///< of parts
  at::Tensor element_nan, element_posinf, element_neginf, bad;  ///< of elements

  Marks(const at::Tensor& parts, double overflow);
};

/// `parts` with values in place of what is marked, as `type` can hold them; zeros if there are
/// none.
at::Tensor replaced(const at::Tensor& parts, const Marks& marks, const Values& by,
                    c10::ScalarType type);

/// `scale`, or 1 where it is 0: to divide by.
at::Tensor safe(const at::Tensor& scale);

/// The strided memory of a gradient without lazy conjugation: the values, if it is sparse.
at::Tensor dense_of(const at::Tensor& gradient);

}  // namespace gradcore
