#include "tensors/operators.hpp"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "kernels/table.hpp"
#include "tensors/composite.hpp"
#include "tensors/gradients.hpp"

namespace gradcore {
namespace {

using at::Tensor;
using at::TensorList;
using Skip = const std::optional<Tensor>&;

constexpr const char* kMeasureSchema =
    "(Tensor[] gradients, int needs, float norm_type, float overflow, float[]? replacement) -> "
    "Tensor";
constexpr const char* kApplySchema =
    "(Tensor(a!)[] gradients, Tensor table, Tensor factors, Tensor? skip, int repair, float[]? "
    "replacement, "
    "float overflow, float limit) -> ()";

// One adapter for each verb: from the operator's flat arguments to options.
template <Tensor (*run)(TensorList, const MeasureOptions&)>
Tensor measure_operator(TensorList gradients, std::int64_t needs, double norm_type, double overflow,
                        Values replacement) {
  return run(gradients, {needs, norm_type, overflow, checked(replacement)});
}

template <void (*run)(TensorList, const Tensor&, const Tensor&, Skip, const ApplyOptions&)>
void apply_operator_(TensorList gradients, const Tensor& table, const Tensor& factors, Skip skip,
                     std::int64_t repair, Values replacement, double overflow, double limit) {
  run(gradients, table, factors, skip, {repair, checked(replacement), overflow, limit});
}

// What the results look like, for tracing.
Tensor measure_shape(TensorList gradients, std::int64_t, double, double, Values) {
  const auto device = gradients.empty() ? c10::Device(c10::kCPU) : gradients[0].device();
  const auto columns = static_cast<std::int64_t>(gradients.size()) + 1;
  return at::empty({kRows, columns}, at::TensorOptions().dtype(at::kDouble).device(device));
}
void apply_shape_(TensorList, const Tensor&, const Tensor&, Skip, std::int64_t, Values, double,
                  double) {}

// Undefined tensors, and those of other devices, stand as empty ones in what an operator gets.
std::vector<Tensor> those_on(c10::Device device, TensorList gradients, const Tensor& first) {
  const Tensor empty =
      at::empty({0}, at::TensorOptions().dtype(first.scalar_type()).device(device));
  std::vector<Tensor> list;
  list.reserve(gradients.size());
  for (const Tensor& gradient : gradients) {
    list.push_back(gradient.defined() && gradient.device() == device ? gradient : empty);
  }
  return list;
}

std::vector<Tensor> first_of_each_device(TensorList gradients) {
  std::vector<Tensor> firsts;
  for (const Tensor& gradient : gradients) {
    if (!gradient.defined()) continue;
    const auto same = [&](const Tensor& first) { return first.device() == gradient.device(); };
    if (std::none_of(firsts.begin(), firsts.end(), same)) firsts.push_back(gradient);
  }
  return firsts;
}

template <class Function>
auto operator_named(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Function>();
}

/// Sparse gradients by their values, memory that is listed twice once.
std::vector<Tensor> plain(TensorList gradients) {
  std::vector<Tensor> list;
  list.reserve(gradients.size());
  std::vector<Elements> elements = elements_of(gradients);
  for (std::size_t i = 0; i < elements.size(); ++i) {
    const bool repeated = elements[i].present && elements[i].numel == 0;
    const Tensor& tensor = gradients[i];
    const Tensor values =
        elements[i].present && tensor.layout() == c10::kSparse ? *elements[i].dense : tensor;
    list.push_back(repeated && values.numel() > 0 ? values.new_empty({0}) : values);
  }
  return list;
}

}  // namespace

Values checked(Values replacement) {
  TORCH_CHECK_VALUE(!replacement || replacement->size() == 3,
                    "replacement must be three numbers, for NaN, +Inf and -Inf; got ",
                    replacement->size(), ".");
  return replacement;
}

bool on_cpu(TensorList gradients) {
  return std::all_of(gradients.begin(), gradients.end(), [](const Tensor& gradient) {
    return !gradient.defined() || gradient.device().is_cpu();
  });
}

Tensor measure(TensorList given, const MeasureOptions& options) {
  if (on_cpu(given)) return measure_cpu(given, options);
  static const auto run =
      operator_named<Tensor(TensorList, std::int64_t, double, double, Values)>("gradcore::measure");
  const std::vector<Tensor> gradients = plain(given);
  const std::vector<Tensor> firsts = first_of_each_device(gradients);
  const auto n = static_cast<std::int64_t>(gradients.size());
  Tensor columns;
  for (const Tensor& first : firsts) {
    const std::vector<Tensor> list = those_on(first.device(), gradients, first);
    const Tensor table =
        run.call(list, options.needs, options.norm_type, options.overflow, options.replacement);
    if (firsts.size() == 1 &&
        std::all_of(given.begin(), given.end(), [](const Tensor& t) { return t.defined(); })) {
      return table;
    }
    // Absent columns are those of empty tensors: zero but for `present`, which is filled and not
    // copied, since a graph could not hold memory of the host that is gone.
    Tensor part = table.narrow(1, 0, n);
    for (std::int64_t i = 0; i < n;) {
      const auto absent = [&](std::int64_t k) {
        const Tensor& gradient = gradients[static_cast<std::size_t>(k)];
        return !gradient.defined() || gradient.device() != first.device();
      };
      std::int64_t end = i;
      while (end < n && absent(end)) ++end;
      if (end > i) part[kPresent].narrow(0, i, end - i).zero_();
      i = end + 1;
    }
    columns = columns.defined() ? columns + part.to(columns.device()) : part;
  }
  return at::cat({columns, totals_of(columns, options.norm_type)}, 1);
}

void apply_(TensorList given, const Tensor& table, const Tensor& factors, Skip skip,
            const ApplyOptions& options) {
  if (on_cpu(given)) {
    const auto host = [](const Tensor& tensor) { return tensor.cpu(); };
    const std::optional<Tensor> skip_here =
        skip ? std::optional<Tensor>(host(*skip)) : std::nullopt;
    return apply_cpu_(given, host(table), host(factors), skip_here, options);
  }
  static const auto run =
      operator_named<void(TensorList, const Tensor&, const Tensor&, Skip, std::int64_t, Values,
                          double, double)>("gradcore::apply_");
  const std::vector<Tensor> gradients = plain(given);
  for (const Tensor& first : first_of_each_device(gradients)) {
    const auto device = first.device();
    // One number on the host travels with the launch.
    const auto here = [&](const Tensor& tensor) {
      const bool number = tensor.dim() == 0 && tensor.is_cpu();
      return number ? tensor : tensor.to(device, /*non_blocking=*/true);
    };
    const std::optional<Tensor> skip_here =
        skip ? std::optional<Tensor>(here(*skip)) : std::nullopt;
    const std::vector<Tensor> list = those_on(device, gradients, first);
    run.call(list, here(table), here(factors), skip_here, options.repair, options.replacement,
             options.overflow, options.limit);
  }
}

TORCH_LIBRARY(gradcore, m) {
  for (const char* name : {"measure", "measure_composite"})
    m.def((std::string(name) + kMeasureSchema).c_str());
  for (const char* name : {"apply_", "apply_composite_"})
    m.def((std::string(name) + kApplySchema).c_str());
}

TORCH_LIBRARY_IMPL(gradcore, CPU, m) {
  m.impl("measure", TORCH_FN(measure_operator<measure_cpu>));
  m.impl("apply_", TORCH_FN(apply_operator_<apply_cpu_>));
}

TORCH_LIBRARY_IMPL(gradcore, Meta, m) {
  for (const char* name : {"measure", "measure_composite"}) m.impl(name, TORCH_FN(measure_shape));
  for (const char* name : {"apply_", "apply_composite_"}) m.impl(name, TORCH_FN(apply_shape_));
}

// Lazy conjugates and negatives are read and written where they lie, as on the CPU. torch's own way
// with them is to copy, and to refuse lists that are written to.
TORCH_LIBRARY_IMPL(gradcore, Conjugate, m) {
  for (const char* name : {"measure", "apply_", "measure_composite", "apply_composite_"})
    m.impl(name, torch::CppFunction::makeFallthrough());
}
TORCH_LIBRARY_IMPL(gradcore, Negative, m) {
  for (const char* name : {"measure", "apply_", "measure_composite", "apply_composite_"})
    m.impl(name, torch::CppFunction::makeFallthrough());
}

// Any device for which nothing better is registered.
TORCH_LIBRARY_IMPL(gradcore, CompositeExplicitAutograd, m) {
  m.impl("measure", TORCH_FN(measure_operator<measure_composite>));
  m.impl("apply_", TORCH_FN(apply_operator_<apply_composite_>));
  m.impl("measure_composite", TORCH_FN(measure_operator<measure_composite>));
  m.impl("apply_composite_", TORCH_FN(apply_operator_<apply_composite_>));
}

}  // namespace gradcore
