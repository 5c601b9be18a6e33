#include "tensors/measure.hpp"

#include <ATen/ops/empty.h>

#include <limits>

#include "kernels/table.hpp"

namespace gradcore {
namespace {

/// Small gradients that are asked of memory before they are read: it takes as long as reading some.
constexpr std::size_t kAhead = 4;

/// The table while it is filled, a column at a time.
class Table {
 public:
  Table(std::size_t gradients, const Request& request)
      : request_(request),
        stride_(static_cast<std::int64_t>(gradients) + 1),
        table_(at::empty({kRows, stride_}, at::kDouble)),
        to_(table_.mutable_data_ptr<double>()) {}

  /// Writes a column; different ones may be written from different threads.
  void put(std::size_t place, double present, double numel, const Partial& found) {
    const int needs = request_.needs;
    const double p = request_.p, l2 = found.squares.norm();
    const double lp = p == 2.0 ? l2 : p == 1.0 ? found.l1 : found.powers.norm(p);
    double* const column = to_ + place;
    const auto write = [&](Row row, double value, bool wanted = true) {
      column[row * stride_] = wanted ? value : std::numeric_limits<double>::quiet_NaN();
    };
    write(kPresent, present);
    write(kNumel, numel);
    write(kNan, static_cast<double>(found.nan));
    write(kPosinf, static_cast<double>(found.posinf));
    write(kNeginf, static_cast<double>(found.neginf));
    write(kL2, l2);
    write(kL1, found.l1, needs & kNeedL1);
    write(kMaxAbs, found.max_abs, needs & kNeedMaxAbs);
    write(kSum, static_cast<double>(found.sum), needs & kNeedSum);
    write(kSumImag, static_cast<double>(found.sum_imag), needs & kNeedSum);
    write(kZeros, static_cast<double>(found.zeros), needs & kNeedZeros);
    write(kLp, lp, needs & kNeedLp);
  }

  /// Writes the column of one gradient, of what was found of its memory; returns what is in it.
  Partial put(std::size_t place, const Elements& elements, Partial found) {
    if (elements.times != 1) found.repeat(elements.times);
    put(place, elements.present, static_cast<double>(elements.numel * elements.times), found);
    return found;
  }

  /// Writes the columns of gradients without elements, and that of all.
  at::Tensor finished(const std::vector<Elements>& list, const Partial& all) {
    double present = 0.0, numel = 0.0;
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (list[i].numel == 0) put(i, list[i], {});
      present += list[i].present;
      numel += static_cast<double>(list[i].numel * list[i].times);
    }
    put(list.size(), present, numel, all);
    return table_;
  }

 private:
  const Request& request_;
  std::int64_t stride_;
  at::Tensor table_;
  double* to_;
};

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
  const std::vector<Run> runs = runs_of(list, blocks);
  Table table(list.size(), request);
  std::vector<Partial> partials(runs.size());
  for_each_run(list, blocks, runs, [&](std::size_t place) {
    const Run run = runs[place];
    Partial& all = partials[place];
    for (std::size_t i = run.begin; i < run.end; ++i) {
      if (i + kAhead < run.end) __builtin_prefetch(list[blocks[i + kAhead].gradient].data);
      const Block& block = blocks[i];
      const Elements& elements = list[block.gradient];
      const auto* const data = static_cast<const char*>(elements.data);
      const Partial found =
          measure(elements.number, data + block.begin * elements.size, block.count, request);
      all.join(run.whole ? table.put(block.gradient, elements, found) : found, request.p);
    }
  });

  Partial all;
  for (std::size_t i = 0; i < runs.size();) {
    Partial found = partials[i];
    if (const Run run = runs[i++]; !run.whole) {
      const std::size_t gradient = blocks[run.begin].gradient;
      for (; i < runs.size() && blocks[runs[i].begin].gradient == gradient; ++i) {
        found.join(partials[i], request.p);
      }
      found = table.put(gradient, list[gradient], found);
    }
    all.join(found, request.p);
  }
  return table.finished(list, all);
}

at::Tensor table_of(const std::vector<Elements>& list, const std::vector<Block>& blocks,
                    const std::vector<Partial>& partials, const Request& request) {
  Table table(list.size(), request);
  Partial all;
  for (std::size_t i = 0; i < blocks.size();) {
    const std::size_t gradient = blocks[i].gradient;
    Partial found;
    for (; i < blocks.size() && blocks[i].gradient == gradient; ++i) {
      found.join(partials[i], request.p);
    }
    all.join(table.put(gradient, list[gradient], found), request.p);
  }
  return table.finished(list, all);
}

}  // namespace gradcore
