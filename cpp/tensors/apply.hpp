#pragma once
// Carrying out a plan on lists of gradients on the CPU. Knows libtorch, not Python.

#include <ATen/core/Tensor.h>

#include <optional>

#include "kernels/apply.hpp"
#include "tensors/measure.hpp"

namespace gradcore {

/// The options of one application, as the operator `gradcore::apply_` takes them.
struct ApplyOptions {
  std::int64_t repair = 0;  ///< `Repair`
  Values replacement;
  double overflow;
  double limit;  ///< infinity for none
};

/// Repairs, scales and clamps in one pass over those tensors that need it; the others are not
/// touched.
///
/// `table` is what `measure` said of the same list. `factors` is float64, one for all or one each;
/// a factor of exactly 1 changes no bit. Nothing happens where `skip` is given and true.
void apply_cpu_(at::TensorList gradients, const at::Tensor& table, const at::Tensor& factors,
                const std::optional<at::Tensor>& skip, const ApplyOptions& options);

/// Whether that is known, without a look at the gradients, to leave every one of them as it is: a
/// table of the CPU tells that they were measured and of nothing to repair, and the one factor for
/// all is exactly 1.
bool changes_nothing(const at::Tensor& table, const at::Tensor& factors,
                     const ApplyOptions& options);

/// `options` as kernels take them.
Change change_of(const ApplyOptions& options);

/// Throws unless `table` is one that `measure` gave for as many gradients, and sparse ones are
/// coalesced.
void check_measured(at::TensorList gradients, const at::Tensor& table);

/// Whether a column of the table, `stride` numbers a row, tells of nothing that is not finite.
bool all_finite(const double* column, std::int64_t stride);

}  // namespace gradcore
