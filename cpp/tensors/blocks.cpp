#include "tensors/blocks.hpp"

#include <ATen/Parallel.h>

#include <algorithm>

namespace gradcore {
namespace {

// A thread that reads fewer bytes than this has cost more to wake than it saves.
constexpr std::int64_t kWorthAThread = 256 * 1024;

}  // namespace

std::vector<Block> cut(const std::vector<Elements>& list, const std::vector<bool>& chosen) {
  std::vector<Block> blocks;
  blocks.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i].numel == 0 || (!chosen.empty() && !chosen[i])) continue;
    const std::int64_t size = kBlockBytes / static_cast<std::int64_t>(list[i].dense.element_size());
    for (std::int64_t begin = 0; begin < list[i].numel; begin += size) {
      blocks.push_back({i, begin, std::min(size, list[i].numel - begin)});
    }
  }
  return blocks;
}

void for_each_block(const std::vector<Elements>& list, const std::vector<Block>& blocks,
                    const std::function<void(std::size_t)>& visit) {
  std::vector<std::int64_t> ends;
  ends.reserve(blocks.size());
  std::int64_t total = 0;
  for (const Block& block : blocks) {
    total += block.count * static_cast<std::int64_t>(list[block.gradient].dense.element_size());
    ends.push_back(total);
  }
  share_out(ends, visit);
}

void share_out(const std::vector<std::int64_t>& ends,
               const std::function<void(std::size_t)>& visit) {
  const std::int64_t total = ends.empty() ? 0 : ends.back();
  const std::int64_t parts =
      std::clamp<std::int64_t>(total / kWorthAThread, 1, std::max(at::get_num_threads(), 1));
  const auto first_of = [&](std::int64_t part) {
    if (part == 0) return std::size_t{0};
    if (part >= parts) return ends.size();
    const auto found = std::lower_bound(ends.begin(), ends.end(), total / parts * part + 1);
    return static_cast<std::size_t>(found - ends.begin());
  };
  at::parallel_for(0, parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::size_t i = first_of(begin); i < first_of(end); ++i) visit(i);
  });
}

}  // namespace gradcore
