// The whole native/Python seam. Conversions only: no arithmetic, no policy, no defaults.

#include <ATen/Parallel.h>
#include <ATen/ops/tensor.h>
#include <pybind11/stl.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/utils/pybind.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "tensors/capabilities.hpp"
#include "tensors/floor.hpp"
#include "tensors/gradients.hpp"
#include "tensors/operators.hpp"

namespace py = pybind11;

namespace {

using Replacement = std::optional<std::vector<double>>;

/// Tensors of a list that are looked at together, one after the other step by step: in a long list
/// every object lies elsewhere, and each is waited for if memory was not asked for it in time.
constexpr std::size_t kTogether = 64;

const at::Tensor& tensor_of(py::handle item) {
  TORCH_CHECK_TYPE(THPVariable_Check(item.ptr()), "gradcore takes tensors; got ",
                   Py_TYPE(item.ptr())->tp_name, ".");
  return THPVariable_Unpack(item.ptr());
}

/// The tensors of a list, or their gradients, without going through Python for each. What is
/// returned owns them: a parameter may be given another gradient while they are worked on.
std::vector<at::Tensor> unpack(const py::list& tensors, bool gradients) {
  std::vector<at::Tensor> unpacked;
  unpacked.reserve(tensors.size());
  gradcore::Gradients found;
  const at::Tensor* given[kTogether];
  for (std::size_t begin = 0; begin < tensors.size(); begin += kTogether) {
    const std::size_t count = std::min(kTogether, tensors.size() - begin);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t ahead = std::min(begin + i + kTogether, tensors.size() - 1);
      __builtin_prefetch(PyList_GET_ITEM(tensors.ptr(), static_cast<Py_ssize_t>(ahead)));
      given[i] = &tensor_of(PyList_GET_ITEM(tensors.ptr(), static_cast<Py_ssize_t>(begin + i)));
      gradcore::fetch(*given[i]);
    }
    if (gradients) gradcore::fetch_gradients(given, count);
    for (std::size_t i = 0; i < count; ++i) {
      unpacked.push_back(gradients ? found.of(*given[i]) : *given[i]);
    }
  }
  return unpacked;
}

gradcore::Values view(const Replacement& values) {
  if (!values) return std::nullopt;
  return *values;
}

at::Tensor measure(const py::list& tensors, bool gradients, std::int64_t needs, double norm_type,
                   double overflow, const Replacement& replacement) {
  const auto list = unpack(tensors, gradients);
  const py::gil_scoped_release release;
  return gradcore::measure(list, {needs, norm_type, overflow, view(replacement)});
}

void apply_(const py::list& tensors, bool gradients, const at::Tensor& table,
            const at::Tensor& factors, const std::optional<at::Tensor>& skip, std::int64_t repair,
            const Replacement& replacement, double overflow, double limit) {
  const gradcore::ApplyOptions options{repair, view(replacement), overflow, limit};
  if (gradcore::changes_nothing(table, factors, options)) return;
  const auto list = unpack(tensors, gradients);
  const py::gil_scoped_release release;
  gradcore::apply_(list, table, factors, skip, options);
}

/// The table, the norms of units, and how many units each tensor has.
std::tuple<at::Tensor, at::Tensor, at::Tensor> measure_units(const py::list& tensors,
                                                             bool gradients, std::int64_t axis,
                                                             std::int64_t needs, double norm_type,
                                                             double overflow,
                                                             const Replacement& replacement) {
  const auto list = unpack(tensors, gradients);
  const auto counts = gradcore::units_of(unpack(tensors, false), axis);
  const py::gil_scoped_release release;
  const auto [table, norms] = gradcore::measure_units(
      list, {counts, axis}, {needs, norm_type, overflow, view(replacement)});
  return {table, norms, at::tensor(counts)};
}

void apply_units_(const py::list& tensors, bool gradients, std::int64_t axis,
                  const at::Tensor& table, const at::Tensor& factors,
                  const std::optional<at::Tensor>& skip, std::int64_t repair,
                  const Replacement& replacement, double overflow) {
  const auto list = unpack(tensors, gradients);
  const auto counts = gradcore::units_of(unpack(tensors, false), axis);
  const py::gil_scoped_release release;
  gradcore::apply_units_(list, table, factors, skip, {counts, axis},
                         {repair, view(replacement), overflow, INFINITY});
}

/// Whether a tensor, or one that has a gradient, is wide.
bool any_wide(const py::list& tensors, bool gradients) {
  return std::any_of(tensors.begin(), tensors.end(), [=](py::handle item) {
    const at::Tensor& tensor = tensor_of(item);
    return gradcore::is_wide(tensor) && (!gradients || tensor.grad().defined());
  });
}

std::uint64_t read_once(const py::list& tensors) {
  const auto list = unpack(tensors, false);
  const py::gil_scoped_release release;
  return gradcore::read_once(list);
}

}  // namespace

PYBIND11_MODULE(_native, m, py::mod_gil_not_used()) {
  m.doc() = "Native core of gradcore. Private: import gradcore instead.";
  m.def("measure", torch::wrap_pybind_function(measure), py::arg("tensors"), py::arg("gradients"),
        py::arg("needs"), py::arg("norm_type"), py::arg("overflow"), py::arg("replacement"),
        py::pos_only());
  m.def("apply_", torch::wrap_pybind_function(apply_), py::arg("tensors"), py::arg("gradients"),
        py::arg("table"), py::arg("factors"), py::arg("skip"), py::arg("repair"),
        py::arg("replacement"), py::arg("overflow"), py::arg("limit"), py::pos_only());
  m.def("measure_units", torch::wrap_pybind_function(measure_units), py::arg("tensors"),
        py::arg("gradients"), py::arg("unit_axis"), py::arg("needs"), py::arg("norm_type"),
        py::arg("overflow"), py::arg("replacement"), py::pos_only());
  m.def("apply_units_", torch::wrap_pybind_function(apply_units_), py::arg("tensors"),
        py::arg("gradients"), py::arg("unit_axis"), py::arg("table"), py::arg("factors"),
        py::arg("skip"), py::arg("repair"), py::arg("replacement"), py::arg("overflow"),
        py::pos_only());
  m.def("any_wide", torch::wrap_pybind_function(any_wide), py::arg("tensors"), py::arg("gradients"),
        py::pos_only());
  m.def("check_supported", torch::wrap_pybind_function(gradcore::check_supported),
        py::arg("tensor"), py::pos_only());
  m.def("read_once", torch::wrap_pybind_function(read_once), py::arg("tensors"), py::pos_only());
  m.attr("cpu") = py::tuple(py::cast(gradcore::compiled_capabilities()));
  m.attr("cpu_supported") = py::tuple(py::cast(gradcore::supported_capabilities()));
  m.attr("cpu_in_use") = gradcore::capability_in_use();
  m.attr("version") = GRADCORE_VERSION;
  m.attr("torch") = GRADCORE_BUILD_TORCH;
  m.attr("cuda") = GRADCORE_BUILD_CUDA;
#ifdef _OPENMP
  m.attr("openmp") = true;
#else
  m.attr("openmp") = false;
#endif
}
