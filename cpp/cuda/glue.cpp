// Where the device meets libtorch: the operators `measure` and `apply_` for CUDA tensors.
// Everything is queued on the current stream, and nothing waits for it; scratch memory comes from
// torch's allocator.

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <limits>
#include <optional>
#include <vector>

#include "cuda/batches.hpp"
#include "cuda/dispatch.hpp"
#include "cuda/launch.hpp"
#include "kernels/table.hpp"
#include "tensors/gradients.hpp"

namespace gradcore {
namespace {

using Values = std::optional<at::ArrayRef<double>>;
using Skip = const std::optional<at::Tensor>&;

/// Stand-ins for NaN, +Inf and -Inf, as `number` can hold them.
void put_replacement(double (&to)[3], Values values, cuda::Number number) {
  TORCH_CHECK_VALUE(!values || values->size() == 3,
                    "replacement must be three numbers, for NaN, +Inf and -Inf; got ",
                    values->size(), ".");
  for (std::size_t i = 0; i < 3; ++i) {
    to[i] = values ? cuda::held(number, (*values)[i]) : 0.0;
  }
}

int multiprocessors(c10::Device device) {
  int count = 0;
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device.index()));
  return count;
}

cuda::Mode mode_of(std::int64_t needs) {
  if (needs & kNeedLp) return cuda::Mode::kLp;
  return needs ? cuda::Mode::kAll : cuda::Mode::kNorm;
}

at::Tensor measure_cuda(at::TensorList gradients, std::int64_t needs, double norm_type,
                        double overflow, Values replacement) {
  const c10::Device device = device_of(gradients);
  const c10::cuda::CUDAGuard guard(device);
  const auto stream = c10::cuda::getCurrentCUDAStream(device.index());
  const cuda::Mode mode = mode_of(needs);
  const int blocks = multiprocessors(device) * cuda::resident(mode);
  const Batches batches(elements_of(gradients));

  const auto n = static_cast<std::int64_t>(gradients.size());
  std::int64_t slots = 0;
  for (const cuda::Batch& batch : batches) slots += cuda::most_slots(batch.count, blocks);
  const auto options = at::TensorOptions().device(device);
  const at::Tensor scratch =
      at::empty({slots * std::int64_t{sizeof(cuda::Sums)} + n * std::int64_t{sizeof(cuda::Span)}},
                options.dtype(at::kByte));
  at::Tensor table = at::empty({kRows, n + 1}, options.dtype(at::kDouble));

  auto* const record = static_cast<cuda::Sums*>(scratch.mutable_data_ptr());
  auto* const span = reinterpret_cast<cuda::Span*>(record + slots);
  std::uint32_t used = 0;
  for (const cuda::Batch& batch : batches) {
    cuda::Reading reading{
        cuda::ceiling_of(batch.number, overflow), {}, replacement.has_value(), norm_type};
    put_replacement(reading.replacement, replacement, batch.number);
    used = cuda::measure(batch, mode, reading, blocks, used, record, span, stream);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  }
  const cuda::Finish from{record,   used, span, n, batches.numel(), static_cast<int>(needs),
                          norm_type};
  cuda::finish(from, mode, table.mutable_data_ptr<double>(), stream);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return table;
}

/// `tensor` if it is a float64 tensor of `device`, of one of the given shapes.
void check(const char* name, const at::Tensor& tensor, bool shape, c10::Device device) {
  TORCH_CHECK_VALUE(shape && tensor.scalar_type() == at::kDouble && tensor.device() == device,
                    "apply_() takes ", name, " in float64 on ", device, "; got ",
                    tensor.scalar_type(), " ", tensor.sizes(), " on ", tensor.device(), ".");
}

void apply_cuda_(at::TensorList gradients, const at::Tensor& table, const at::Tensor& factors,
                 Skip skip, std::int64_t repair, Values replacement, double overflow,
                 double limit) {
  const c10::Device device = device_of(gradients);
  const auto n = static_cast<std::int64_t>(gradients.size());
  check("the table [rows, gradients + 1] that measure() gave for the same list,", table,
        table.dim() == 2 && table.size(0) == kRows && table.size(1) == n + 1, device);
  // A factor on the host travels with the launch.
  const bool on_host = factors.dim() == 0 && factors.device().is_cpu();
  check("factors, one for all (0-d) or one for each gradient,", factors,
        factors.dim() == 0 || (factors.dim() == 1 && factors.size(0) == n),
        on_host ? factors.device() : device);
  const bool known = !skip || skip->device().is_cpu();
  TORCH_CHECK_VALUE(!skip || (skip->numel() == 1 && skip->scalar_type() == at::kBool &&
                              (known || skip->device() == device)),
                    "apply_() takes skip as a 0-d bool tensor on ", device, "; got ",
                    skip->scalar_type(), " ", skip->sizes(), " on ", skip->device(), ".");
  if (skip && known && *skip->const_data_ptr<bool>()) return;

  const c10::cuda::CUDAGuard guard(device);
  const auto stream = c10::cuda::getCurrentCUDAStream(device.index());
  const int blocks = multiprocessors(device) * cuda::kResident;
  const at::Tensor rows = table.contiguous(), each = factors.contiguous();
  const double* const factor = each.const_data_ptr<double>();
  const cuda::Decision decision{
      rows.const_data_ptr<double>(), n,
      on_host ? nullptr : factor,    factors.dim() == 1,
      on_host ? *factor : 1.0,       skip && !known ? skip->const_data_ptr<bool>() : nullptr};
  if (on_host && *factor == 1.0 && repair == kPropagate &&
      !(limit < std::numeric_limits<double>::infinity()))
    return;

  const Batches batches(elements_of(gradients));
  for (auto batch = batches.rbegin(); batch != batches.rend(); ++batch) {
    cuda::Rewriting rewriting{
        cuda::ceiling_of(batch->number, overflow), {}, limit, static_cast<int>(repair)};
    put_replacement(rewriting.replacement, replacement, batch->number);
    cuda::apply(*batch, rewriting, decision, blocks, stream);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  }
  batches.finish_writes();
}

TORCH_LIBRARY_IMPL(gradcore, CUDA, m) {
  m.impl("measure", TORCH_FN(measure_cuda));
  m.impl("apply_", TORCH_FN(apply_cuda_));
}

}  // namespace
}  // namespace gradcore
