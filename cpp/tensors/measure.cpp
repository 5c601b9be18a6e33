#include "tensors/measure.hpp"

#include <ATen/ops/full.h>

#include <limits>

#include "kernels/table.hpp"

namespace gradcore {
namespace {

void write_column(double* column, std::int64_t stride, const Partial& found,
                  const Request& request) {
  const auto put = [&](Row row, double value) { column[row * stride] = value; };
  put(kNan, static_cast<double>(found.nan));
  put(kPosinf, static_cast<double>(found.posinf));
  put(kNeginf, static_cast<double>(found.neginf));
  put(kL2, found.squares.norm());
  if (request.needs & kNeedL1) put(kL1, found.l1);
  if (request.needs & kNeedMaxAbs) put(kMaxAbs, found.max_abs);
  if (request.needs & kNeedSum) {
    put(kSum, static_cast<double>(found.sum));
    put(kSumImag, static_cast<double>(found.sum_imag));
  }
  if (request.needs & kNeedZeros) put(kZeros, static_cast<double>(found.zeros));
  if (request.needs & kNeedLp) {
    const double p = request.p;
    put(kLp, p == 2.0 ? found.squares.norm() : p == 1.0 ? found.l1 : found.powers.norm(p));
  }
}

}  // namespace

Request request_of(const MeasureOptions& options) {
  Request request;
  request.needs = static_cast<int>(options.needs);
  request.p = options.norm_type;
  request.overflow = options.overflow;
  if (options.replacement) {
    const auto values = *options.replacement;
    request.replace = true;
    request.replacement = {values[0], values[1], values[2]};
  }
  return request;
}

at::Tensor measure_cpu(at::TensorList gradients, const MeasureOptions& options) {
  const Request request = request_of(options);
  const std::vector<Elements> list = elements_of(gradients);
  const std::vector<Block> blocks = cut(list);
  std::vector<Partial> partials(blocks.size());
  for_each_block(list, blocks, [&](std::size_t i) {
    const Block& block = blocks[i];
    const Elements& elements = list[block.gradient];
    const auto* data = static_cast<const char*>(elements.data);
    const auto offset = block.begin * static_cast<std::int64_t>(elements.dense.element_size());
    partials[i] = measure(elements.number, data + offset, block.count, request);
  });
  return table_of(list, blocks, partials, request);
}

at::Tensor table_of(const std::vector<Elements>& list, const std::vector<Block>& blocks,
                    const std::vector<Partial>& partials, const Request& request) {
  const auto n = static_cast<std::int64_t>(list.size());
  const std::int64_t stride = n + 1;
  at::Tensor table =
      at::full({kRows, stride}, std::numeric_limits<double>::quiet_NaN(), at::kDouble);
  double* const to = table.mutable_data_ptr<double>();
  Partial all;
  double present = 0.0, numel = 0.0;
  std::size_t next = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const Elements& elements = list[static_cast<std::size_t>(i)];
    Partial found;
    for (; next < blocks.size() && blocks[next].gradient == static_cast<std::size_t>(i); ++next) {
      found.join(partials[next], request.p);
    }
    if (elements.times != 1) found.repeat(elements.times);
    write_column(to + i, stride, found, request);
    to[kPresent * stride + i] = elements.present;
    to[kNumel * stride + i] = static_cast<double>(elements.numel * elements.times);
    present += elements.present;
    numel += static_cast<double>(elements.numel * elements.times);
    all.join(found, request.p);
  }
  write_column(to + n, stride, all, request);
  to[kPresent * stride + n] = present;
  to[kNumel * stride + n] = numel;
  return table;
}

}  // namespace gradcore
