#include <ATen/ops/zeros.h>

#include <algorithm>

#include "tensors/units.hpp"

namespace gradcore {
namespace {

/// Blocks in a row that one thread deals with, adding to the same sums: `size` units from number
/// `first` of those in memory, which lie at `offset` among the sums of all stripes.
struct Stripe {
  std::size_t begin, end;
  std::int64_t first, size;
  std::size_t offset;
};

/// A stripe that passes every unit many times reads so many bytes for each that its sums take less
/// than 1 % of them.
constexpr std::int64_t kBytesOfUnit = 100 * sizeof(SumOfSquares);

/// Shares out the blocks of every gradient. Where a unit is one run, a block is a stripe, for it
/// touches few units; elsewhere it is as many blocks as their sums are worth.
std::vector<Stripe> stripes_of(const std::vector<Elements>& list, const std::vector<Block>& blocks,
                               const std::vector<Units>& units) {
  std::vector<Stripe> stripes;
  stripes.reserve(blocks.size());
  std::size_t offset = 0;
  for (std::size_t i = 0; i < blocks.size(); i = stripes.back().end) {
    const Block& block = blocks[i];
    const UnitLayout& layout = units[block.gradient].layout;
    Stripe stripe{i, i + 1, 0, layout.count, offset};
    if (layout.inner > 1 && layout.inner * layout.count == list[block.gradient].numel) {
      stripe.first = layout.unit_of(block.begin);
      stripe.size = layout.unit_of(block.begin + block.count - 1) - stripe.first + 1;
    } else {
      const std::size_t most = i + static_cast<std::size_t>(std::max<std::int64_t>(
                                       1, layout.count * kBytesOfUnit / kBlockBytes));
      while (stripe.end < most && stripe.end < blocks.size() &&
             blocks[stripe.end].gradient == block.gradient)
        ++stripe.end;
    }
    offset += static_cast<std::size_t>(stripe.size);
    stripes.push_back(stripe);
  }
  return stripes;
}

/// The norms of all units, of sums for every stripe in order.
at::Tensor norms_of(const std::vector<Units>& units, const std::vector<Block>& blocks,
                    const std::vector<Stripe>& stripes, const std::vector<SumOfSquares>& sums,
                    std::int64_t total) {
  std::vector<SumOfSquares> all(static_cast<std::size_t>(total));
  std::vector<SumOfSquares> own;
  for (auto stripe = stripes.begin(); stripe != stripes.end();) {
    const std::size_t gradient = blocks[stripe->begin].gradient;
    const Units& each = units[gradient];
    own.assign(static_cast<std::size_t>(each.layout.count), {});
    for (; stripe != stripes.end() && blocks[stripe->begin].gradient == gradient; ++stripe) {
      for (std::int64_t u = 0; u < stripe->size; ++u) {
        own[static_cast<std::size_t>(stripe->first + u)] +=
            sums[stripe->offset + static_cast<std::size_t>(u)];
      }
    }
    for (SumOfSquares& squares : own) squares.sum *= static_cast<double>(each.times);
    each.for_each([&](std::int64_t piece, std::int64_t unit) {
      all[static_cast<std::size_t>(unit)] += own[static_cast<std::size_t>(piece)];
    });
  }
  at::Tensor norms = at::zeros({total}, at::kDouble);
  double* const to = norms.mutable_data_ptr<double>();
  std::transform(all.begin(), all.end(), to, [](const SumOfSquares& s) { return s.norm(); });
  return norms;
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> measure_units_cpu(at::TensorList gradients,
                                                     const UnitCounts& counts,
                                                     const MeasureOptions& options) {
  const Request request = request_of(options);
  const std::vector<Elements> list = elements_of(gradients);
  const std::vector<Units> units = units_of(gradients, list, counts);
  const std::vector<Block> blocks = cut(list);
  const std::vector<Stripe> stripes = stripes_of(list, blocks, units);
  std::vector<std::int64_t> ends;
  ends.reserve(stripes.size());
  std::size_t size = 0;
  std::int64_t bytes = 0;
  for (const Stripe& stripe : stripes) {
    for (std::size_t i = stripe.begin; i < stripe.end; ++i) {
      bytes += blocks[i].count * list[blocks[i].gradient].size;
    }
    ends.push_back(bytes);
    size += static_cast<std::size_t>(stripe.size);
  }

  std::vector<Partial> partials(blocks.size());
  std::vector<SumOfSquares> sums(size);
  share_out(ends, [&](std::size_t place) {
    const Stripe& stripe = stripes[place];
    for (std::size_t i = stripe.begin; i < stripe.end; ++i) {
      const Block& block = blocks[i];
      const Elements& elements = list[block.gradient];
      const auto offset = block.begin * elements.size;
      const void* const data = static_cast<const char*>(elements.data) + offset;
      partials[i] = measure_units({elements.number, block.begin, block.count}, data,
                                  units[block.gradient].layout, request, stripe.first,
                                  sums.data() + stripe.offset);
    }
  });
  return {table_of(list, blocks, partials, request),
          norms_of(units, blocks, stripes, sums, counts.total())};
}

}  // namespace gradcore
