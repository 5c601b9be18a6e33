#pragma once
// Cutting a list of gradients into blocks and sharing them out among threads.

#include <functional>
#include <vector>

#include "tensors/gradients.hpp"

namespace gradcore {

/// A stretch of one gradient that one thread deals with at once.
struct Block {
  std::size_t gradient;  ///< index into the list
  std::int64_t begin;    ///< first element
  std::int64_t count;
};

/// Cuts those elements of `list` for which `chosen` is true into blocks of at most 128 KB, in
/// order. An empty `chosen` means all.
std::vector<Block> cut(const std::vector<Elements>& list, const std::vector<bool>& chosen = {});

/// Bytes of a block that is not the last of its gradient.
constexpr std::int64_t kBlockBytes = 128 * 1024;

/// Blocks in a row that are dealt with in one go, the same for any number of threads: one of
/// several of a gradient, or whole gradients of at most 128 KB together.
struct Run {
  std::size_t begin, end;  ///< places in the list of blocks
  bool whole;              ///< every block is a whole gradient
};

/// All blocks as runs, in order.
std::vector<Run> runs_of(const std::vector<Elements>& list, const std::vector<Block>& blocks);

/// Calls visit(i) for every run, as `for_each_block` does for every block.
void for_each_run(const std::vector<Elements>& list, const std::vector<Block>& blocks,
                  const std::vector<Run>& runs, const std::function<void(std::size_t)>& visit);

/// Calls visit(i) for every block, from several threads if there is enough to do for them. A thread
/// gets a contiguous range of about as many bytes as the others.
void for_each_block(const std::vector<Elements>& list, const std::vector<Block>& blocks,
                    const std::function<void(std::size_t)>& visit);

/// The same for pieces of work of any kind: `ends` holds the bytes up to and with each.
void share_out(const std::vector<std::int64_t>& ends,
               const std::function<void(std::size_t)>& visit);

}  // namespace gradcore
