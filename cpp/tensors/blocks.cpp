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
    const std::int64_t size = kBlockBytes / list[i].size;
    for (std::int64_t begin = 0; begin < list[i].numel; begin += size) {
      blocks.push_back({i, begin, std::min(size, list[i].numel - begin)});
    }
  }
  return blocks;
}

std::vector<Run> runs_of(const std::vector<Elements>& list, const std::vector<Block>& blocks) {
  std::vector<Run> runs;
  std::int64_t room = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const Elements& elements = list[blocks[i].gradient];
    const bool whole = blocks[i].count == elements.numel;
    room -= blocks[i].count * elements.size;
    if (whole && room >= 0) {
      runs.back().end = i + 1;
    } else {
      runs.push_back({i, i + 1, whole});
      room = whole ? kBlockBytes - blocks[i].count * elements.size : 0;
    }
  }
  return runs;
}

void for_each_run(const std::vector<Elements>& list, const std::vector<Block>& blocks,
                  const std::vector<Run>& runs, const std::function<void(std::size_t)>& visit) {
  std::vector<std::int64_t> ends;
  ends.reserve(runs.size());
  std::int64_t total = 0;
  for (const Run& run : runs) {
    for (std::size_t i = run.begin; i < run.end; ++i) {
      total += blocks[i].count * list[blocks[i].gradient].size;
    }
    ends.push_back(total);
  }
  share_out(ends, visit);
}

void for_each_block(const std::vector<Elements>& list, const std::vector<Block>& blocks,
                    const std::function<void(std::size_t)>& visit) {
  const std::vector<Run> runs = runs_of(list, blocks);
  for_each_run(list, blocks, runs, [&](std::size_t place) {
    for (std::size_t i = runs[place].begin; i < runs[place].end; ++i) visit(i);
  });
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
