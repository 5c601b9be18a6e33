#pragma once
// The units of gradients: the slices of each along one axis. Knows libtorch, not Python.

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>
#include <vector>

#include "kernels/units.hpp"
#include "tensors/apply.hpp"
#include "tensors/gradients.hpp"
#include "tensors/measure.hpp"

namespace gradcore {

/// How many units each parameter has, and along which axis; a tensor of less than two dimensions is
/// one unit.
struct UnitCounts {
  at::IntArrayRef counts;
  std::int64_t axis;

  /// Units of all parameters.
  std::int64_t total() const;
};

/// The units of one gradient, and where they lie in its memory.
struct Units {
  std::int64_t begin = 0;  ///< number of the first one among those of all gradients
  std::int64_t count = 0;
  UnitLayout layout;       ///< of the memory
  std::int64_t times = 1;  ///< how often a unit holds each of its elements
  bool shared = false;     ///< the axis is expanded: all of them are the one unit in memory
  at::Tensor where;        ///< if defined, the unit that each of those in memory is a piece of

  /// Calls visit(own, unit) for every unit in memory and every one of all gradients that it is.
  template <class Visit>
  void for_each(Visit&& visit) const {
    const std::int64_t* const to = where.defined() ? where.const_data_ptr<std::int64_t>() : nullptr;
    const std::int64_t pieces = to ? where.numel() : count;
    for (std::int64_t i = 0; i < pieces; ++i) visit(shared ? 0 : i, begin + (to ? to[i] : i));
  }
};

/// How many units each tensor has along `axis`, which may count from the end. Throws a ValueError
/// if one of two dimensions or more has no such axis.
std::vector<std::int64_t> units_of(at::TensorList parameters, std::int64_t axis);

/// The units of gradients of which `list` is the memory. A gradient without elements has the units
/// that `counts` says. Throws a ValueError if another has not.
std::vector<Units> units_of(at::TensorList gradients, const std::vector<Elements>& list,
                            const UnitCounts& counts);

/// `measure_cpu`, which reads every gradient from memory once, and the Euclidean norm of every
/// unit: float64 [units], one parameter after the other. Both have the same bits for any number of
/// threads; a norm in the table may differ in its last bits from that of `measure_cpu`.
std::tuple<at::Tensor, at::Tensor> measure_units_cpu(at::TensorList gradients,
                                                     const UnitCounts& counts,
                                                     const MeasureOptions& options);

/// `apply_cpu_` with one factor for each unit: float64 [units]. There is no limit.
///
/// Units that share their memory, where a gradient is expanded along their axis, are multiplied by
/// the smallest of their factors.
void apply_units_cpu_(at::TensorList gradients, const at::Tensor& table, const at::Tensor& factors,
                      const std::optional<at::Tensor>& skip, const UnitCounts& counts,
                      const ApplyOptions& options);

/// Throws unless `factors` are float64 [units].
void check_factors(const at::Tensor& factors, const UnitCounts& counts);

}  // namespace gradcore
