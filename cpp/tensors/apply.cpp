#include "tensors/apply.hpp"

#include <c10/util/Exception.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/table.hpp"
#include "tensors/blocks.hpp"
#include "tensors/gradients.hpp"

namespace gradcore {
namespace {

/// What of `change` one gradient needs, by what was measured of it.
Change needed(Change change, const double* column, std::int64_t stride, double factor) {
  const auto at = [&](Row row) { return column[row * stride]; };
  const bool ordinary = all_finite(column, stride);
  if (ordinary) change.repair = kPropagate;
  change.factor = factor;
  // Not measured is NaN, and so is not known to be within the limit.
  if (ordinary && at(kMaxAbs) * std::fabs(factor) <= change.limit) {
    change.limit = std::numeric_limits<double>::infinity();
  }
  return change;
}

}  // namespace

Change change_of(const ApplyOptions& options) {
  Change change;
  change.repair = static_cast<Repair>(options.repair);
  change.overflow = options.overflow;
  change.limit = options.limit;
  if (options.replacement) {
    const auto values = *options.replacement;
    change.replacement = {values[0], values[1], values[2]};
  }
  return change;
}

bool changes_nothing(const at::Tensor& table, const at::Tensor& factors,
                     const ApplyOptions& options) {
  const auto of_host = [](const at::Tensor& t) {
    return t.is_cpu() && t.scalar_type() == at::kDouble;
  };
  if (!of_host(factors) || factors.dim() != 0 || *factors.const_data_ptr<double>() != 1.0 ||
      options.limit != std::numeric_limits<double>::infinity() || !of_host(table) ||
      table.dim() != 2 || table.size(0) != kRows || table.size(1) == 0 || !table.is_contiguous())
    return false;
  const std::int64_t columns = table.size(1);
  const double* const all = table.const_data_ptr<double>() + columns - 1;
  // A table of zeros tells of nothing, not even that the gradients are of a kind to be changed.
  return all[kPresent * columns] > 0.0 &&
         (options.repair == kPropagate || all_finite(all, columns));
}

bool all_finite(const double* column, std::int64_t stride) {
  return column[kNan * stride] + column[kPosinf * stride] + column[kNeginf * stride] == 0.0;
}

void check_measured(at::TensorList gradients, const at::Tensor& table) {
  const auto n = static_cast<std::int64_t>(gradients.size());
  TORCH_CHECK_VALUE(table.dim() == 2 && table.size(0) == kRows && table.size(1) == n + 1 &&
                        table.scalar_type() == at::kDouble,
                    "apply_() takes the float64 table [", static_cast<int>(kRows), ", ", n + 1,
                    "] that measure() gave for the same list; got ", table.scalar_type(), " ",
                    table.sizes(), ".");
  for (const at::Tensor& gradient : gradients) {
    TORCH_CHECK_TYPE(
        !gradient.defined() || gradient.layout() != c10::kSparse || gradient.is_coalesced(),
        "apply_() takes coalesced sparse tensors; got one that is not. Call .coalesce() on it.");
  }
}

void apply_cpu_(at::TensorList gradients, const at::Tensor& table, const at::Tensor& factors,
                const std::optional<at::Tensor>& skip, const ApplyOptions& options) {
  check_measured(gradients, table);
  const auto n = static_cast<std::int64_t>(gradients.size());
  TORCH_CHECK_VALUE(factors.scalar_type() == at::kDouble &&
                        (factors.dim() == 0 || (factors.dim() == 1 && factors.size(0) == n)),
                    "apply_() takes float64 factors, one for all (0-d) or one for each of the ", n,
                    " gradients; got ", factors.scalar_type(), " ", factors.sizes(), ".");
  TORCH_CHECK_VALUE(table.is_cpu() && factors.is_cpu(),
                    "apply_() takes the table and the factors on the device of the gradients, cpu; "
                    "got ",
                    table.device(), " and ", factors.device(), ".");
  TORCH_CHECK_VALUE(options.limit >= 0.0, "apply_() takes a limit of at least 0; got ",
                    options.limit, ".");
  if (skip && skip->item<bool>()) return;

  const at::Tensor rows = table.contiguous(), each = factors.contiguous();
  const double* const column = rows.const_data_ptr<double>();
  const double* const factor = each.const_data_ptr<double>();
  const Change change = change_of(options);
  const bool measured = column[kPresent * (n + 1) + n] > 0.0;
  const std::vector<Elements> list =
      elements_of(gradients, measured ? column + kNumel * (n + 1) : nullptr);
  const auto change_for = [&](std::size_t i) {
    return needed(change, column + i, n + 1, factor[each.dim() == 0 ? 0 : i]);
  };
  std::vector<bool> chosen(list.size());
  std::vector<char*> memory(list.size(), nullptr);
  for (std::size_t i = 0; i < list.size(); ++i) {
    chosen[i] = list[i].numel > 0 && !change_for(i).nothing();
    if (chosen[i]) memory[i] = static_cast<char*>(list[i].dense->mutable_data_ptr());
  }
  const std::vector<Block> blocks = cut(list, chosen);
  for_each_block(list, blocks, [&](std::size_t i) {
    const Block& block = blocks[i];
    const Elements& elements = list[block.gradient];
    apply(elements.number, memory[block.gradient] + block.begin * elements.size, block.count,
          change_for(block.gradient));
  });
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (chosen[i]) finish_write(list[i]);
  }
}

}  // namespace gradcore
