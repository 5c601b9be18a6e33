// A device in software, for machines without another one: torch's PrivateUse1. Its memory is the
// host's, its kernels are the CPU's, and yet it is a device: its tensors are not the CPU's, copies
// to the host that do not block arrive late, and whatever makes the host wait is written down.

#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/native/Resize.h>
#include <torch/library.h>

#include <cstring>

#include "device.hpp"
#include "tensors.hpp"

namespace software_device {

REGISTER_ALLOCATOR(kType, &memory)
C10_REGISTER_GUARD_IMPL(PrivateUse1, GuardImpl)

namespace {

Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
             std::optional<at::Device> device, std::optional<bool>,
             std::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard guard(device_of(device));
  return at::detail::empty_generic(size, &memory,
                                   c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}

Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride,
                     std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                     std::optional<at::Device> device, std::optional<bool>) {
  const c10::DeviceGuard guard(device_of(device));
  return at::detail::empty_strided_generic(size, stride, &memory,
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(dtype));
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool non_blocking) {
  if (to.is_cpu() || from.is_cpu()) graphs().refuse("a copy from or to the host");
  if (graphs().capturing()) {
    graphs().push([from, to] { on_host(to).copy_(on_host(from)); });
    return to;
  }
  if (to.is_cpu() && non_blocking) {
    const Tensor snapshot = on_host(from).clone();
    std::memset(to.data_ptr(), 0xff, to.nbytes());  // whoever looks before it has arrived sees NaN
    queue().push([snapshot, to] { to.copy_(snapshot); });
    return to;
  }
  if (to.is_cpu()) queue().wait("a copy to the host", queue().size());
  if (from.is_cpu() && !non_blocking) queue().wait("a copy from the host", queue().size());
  on_host(to).copy_(on_host(from));
  return to;
}

at::Scalar local_scalar_dense(const Tensor& tensor) {
  queue().wait("an element", queue().size());
  return at::_local_scalar_dense(on_host(tensor));
}

const Tensor& resize_(const Tensor& tensor, at::IntArrayRef size, std::optional<at::MemoryFormat>) {
  graphs().refuse("resizing");
  const Tensor fresh = at::empty(size, tensor.options());
  const_cast<Tensor&>(tensor).set_(fresh.storage(), 0, size, fresh.strides());
  return tensor;
}

Tensor& set_storage(Tensor& tensor, at::Storage storage, std::int64_t offset, at::IntArrayRef size,
                    at::IntArrayRef stride) {
  tensor.unsafeGetTensorImpl()->set_storage_keep_dtype(std::move(storage));
  tensor.unsafeGetTensorImpl()->set_storage_offset(offset);
  at::native::resize_impl_cpu_(tensor.unsafeGetTensorImpl(), size, stride);
  return tensor;
}

Tensor& set_whole_storage(Tensor& tensor, at::Storage storage) {
  const auto numel = std::int64_t(storage.nbytes() / tensor.dtype().itemsize());
  return set_storage(tensor, std::move(storage), 0, {numel}, {1});
}

/// What the CPU's kernel is given: the same memory, or copies of what it would write to.
struct Given {
  torch::jit::Stack stack;
  c10::Device device;
  std::vector<std::pair<Tensor, Tensor>> to_grow;  ///< what the CPU gives its size

  Given(const c10::FunctionSchema& schema, const torch::jit::Stack& arguments, bool copies)
      : device(kType, current) {
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const auto* alias = schema.arguments()[i].alias_info();
      const auto host = [&](const Tensor& tensor) {
        if (tensor.defined() && tensor.device().type() == kType) device = tensor.device();
        const Tensor same = on_host(tensor);
        return copies && alias != nullptr && same.defined() ? same.clone() : same;
      };
      c10::IValue argument = arguments[i];
      if (argument.isTensor()) {
        const Tensor tensor = argument.toTensor();
        argument = host(tensor);
        if (alias != nullptr && alias->isWrite() && tensor.defined() && tensor.numel() == 0) {
          const Tensor empty = at::empty(tensor.sizes(), tensor.options().device(c10::kCPU));
          to_grow.emplace_back(tensor, empty);
          argument = empty;
        }
      } else if (argument.isTensorList()) {
        std::vector<Tensor> list = argument.toTensorVector();
        for (Tensor& tensor : list) tensor = host(tensor);
        argument = c10::IValue(std::move(list));
      } else if (argument.isOptionalTensorList()) {
        c10::List<std::optional<Tensor>> list;
        for (const std::optional<Tensor>& tensor : argument.toOptionalTensorVector())
          list.push_back(tensor ? std::optional<Tensor>(host(*tensor)) : tensor);
        argument = list;
      } else if (argument.isDevice() && argument.toDevice().type() == kType) {
        device = device_of(argument.toDevice());
        argument = c10::Device(c10::kCPU);
      }
      stack.push_back(std::move(argument));
    }
  }
};

/// Does it again, with the same memory.
std::function<void()> repeated(const c10::OperatorHandle& op, const torch::jit::Stack& given,
                               const torch::jit::Stack& results) {
  return [op, given, results] {
    Given now(op.schema(), given, false);
    op.callBoxed(&now.stack);
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (op.schema().returns()[i].alias_info() != nullptr) continue;
      if (results[i].isTensor()) {
        on_host(results[i].toTensor()).copy_(now.stack[i].toTensor());
      } else if (results[i].isTensorList()) {
        const auto to = results[i].toTensorVector(), from = now.stack[i].toTensorVector();
        for (std::size_t k = 0; k < to.size(); ++k) on_host(to[k]).copy_(from[k]);
      }
    }
  };
}

/// The CPU's kernel on the same memory.
void on_the_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const std::size_t count = schema.arguments().size(), first = stack->size() - count;
  const torch::jit::Stack given(stack->begin() + std::ptrdiff_t(first), stack->end());
  if (looks_at_values(op, given)) queue().wait(schema.name(), queue().size());
  const bool capturing = graphs().capturing();
  Given here(schema, given, capturing);
  const c10::Device device = here.device;
  stack->resize(first);
  stack->insert(stack->end(), here.stack.begin(), here.stack.end());
  here.stack.clear();
  op.callBoxed(stack);
  for (const auto& [tensor, host] : here.to_grow) {
    if (tensor.sizes() == host.sizes()) continue;
    const Tensor grown = on_device(host, tensor.device());
    const_cast<Tensor&>(tensor).set_(grown.storage(), 0, grown.sizes(), grown.strides());
  }
  const std::size_t results = schema.returns().size(), begin = stack->size() - results;
  for (std::size_t i = 0; i < results; ++i) {
    c10::IValue& result = (*stack)[begin + i];
    const auto* alias = schema.returns()[i].alias_info();
    if (alias != nullptr) {  // written in place: what was given is returned
      for (std::size_t k = 0; k < count; ++k) {
        const auto* of = schema.arguments()[k].alias_info();
        if (of != nullptr && of->beforeSets() == alias->beforeSets()) result = given[k];
      }
    } else if (result.isTensor()) {
      result = on_device(result.toTensor(), device);
    } else if (result.isTensorList()) {
      std::vector<Tensor> list = result.toTensorVector();
      for (Tensor& tensor : list) tensor = on_device(tensor, device);
      result = c10::IValue(std::move(list));
    }
  }
  if (capturing)
    graphs().push(repeated(op, given, {stack->begin() + std::ptrdiff_t(begin), stack->end()}));
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_the_cpu>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_local_scalar_dense", local_scalar_dense);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", at::native::view);
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("view_as_real", at::native::view_as_real);
  m.impl("view_as_complex", at::native::view_as_complex);
  m.impl("unfold", at::native::unfold);
  m.impl("resize_", resize_);
  m.impl("set_.source_Storage", set_whole_storage);
  m.impl("set_.source_Storage_storage_offset", set_storage);
}

// A copy resolves both lazily, as copy_() does. torch's fallbacks would first clone the source,
// which is a copy of it, without end.
TORCH_LIBRARY_IMPL(aten, Conjugate, m) {
  m.impl("_copy_from", torch::CppFunction::makeFallthrough());
}
TORCH_LIBRARY_IMPL(aten, Negative, m) {
  m.impl("_copy_from", torch::CppFunction::makeFallthrough());
}

void install() {
  static Hooks hooks;
  at::RegisterPrivateUse1HooksInterface(&hooks);
}

TORCH_LIBRARY(software_device, m) {
  m.def("install", [] { install(); });
  m.def("waits", [] { return queue().waits(); });
  m.def("advance", [] { queue().run(queue().size()); });
  m.def("begin_capture", [] { graphs().begin(); });
  m.def("end_capture", [] { return graphs().end(); });
  m.def("capturing", [] { return graphs().capturing(); });
  m.def("replay", [](std::int64_t graph) { graphs().replay(graph); });
  m.def("current", [] { return std::int64_t(current); });
  m.def("choose", [](std::int64_t index) { current = c10::DeviceIndex(index); });
}

}  // namespace
}  // namespace software_device
