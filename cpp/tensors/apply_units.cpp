#include <c10/util/Exception.h>

#include <algorithm>
#include <limits>

#include "tensors/units.hpp"

namespace gradcore {
namespace {

/// The factors of the units that lie in the memory of one gradient: the smallest where several do
/// in one place. Empty if all are 1.
std::vector<double> factors_of(const Units& units, const double* factors) {
  std::vector<double> own(static_cast<std::size_t>(units.layout.count), 1.0);
  if (!units.shared && !units.where.defined() && units.count == units.layout.count) {
    std::copy_n(factors + units.begin, own.size(), own.begin());
  } else {
    units.for_each([&](std::int64_t piece, std::int64_t unit) {
      double& factor = own[static_cast<std::size_t>(piece)];
      factor = std::min(factor, factors[unit]);
    });
  }
  if (std::all_of(own.begin(), own.end(), [](double factor) { return factor == 1.0; })) own.clear();
  return own;
}

}  // namespace

void apply_units_cpu_(at::TensorList gradients, const at::Tensor& table, const at::Tensor& factors,
                      const std::optional<at::Tensor>& skip, const UnitCounts& counts,
                      const ApplyOptions& options) {
  check_measured(gradients, table);
  check_factors(factors, counts);
  TORCH_CHECK_VALUE(table.is_cpu() && factors.is_cpu(),
                    "apply_units_() takes the table and the factors on the device of the "
                    "gradients, cpu; got ",
                    table.device(), " and ", factors.device(), ".");
  const std::vector<Elements> list = elements_of(gradients);
  const std::vector<Units> units = units_of(gradients, list, counts);
  if (skip && skip->item<bool>()) return;

  const at::Tensor rows = table.contiguous(), each = factors.contiguous();
  const double* const column = rows.const_data_ptr<double>();
  const double* const factor = each.const_data_ptr<double>();
  const Change change = change_of(options);
  std::vector<Change> changes(list.size(), change);
  std::vector<std::vector<double>> own(list.size());
  std::vector<bool> chosen(list.size());
  std::vector<char*> memory(list.size(), nullptr);
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i].numel == 0) continue;
    if (all_finite(column + i, rows.size(1))) changes[i].repair = kPropagate;
    own[i] = factors_of(units[i], factor);
    chosen[i] = changes[i].repair != kPropagate || !own[i].empty();
    if (chosen[i]) memory[i] = static_cast<char*>(list[i].dense->mutable_data_ptr());
  }

  const std::vector<Block> blocks = cut(list, chosen);
  for_each_block(list, blocks, [&](std::size_t i) {
    const Block& block = blocks[i];
    const Elements& elements = list[block.gradient];
    const auto offset = block.begin * elements.size;
    void* const data = memory[block.gradient] + offset;
    const std::vector<double>& of_units = own[block.gradient];
    if (of_units.empty()) {
      apply(elements.number, data, block.count, changes[block.gradient]);
    } else {
      apply_units({elements.number, block.begin, block.count}, data, units[block.gradient].layout,
                  of_units.data(), changes[block.gradient]);
    }
  });
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (chosen[i]) finish_write(list[i]);
  }
}

}  // namespace gradcore
