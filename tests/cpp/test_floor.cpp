// The pass that only reads: it misses no byte.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/capability.hpp"
#include "kernels/floor.hpp"

namespace gradcore {
namespace {

std::uint64_t word_by_word(const std::vector<unsigned char>& bytes) {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    all ^= std::uint64_t{bytes[i]}
           << (8 * (i % 8));  // little-endian, as every machine we build for
  }
  return all;
}

TEST(ReadOnce, IsTheExclusiveOrOfAllWordsWhateverTheLength) {
  std::vector<unsigned char> bytes;
  for (int length = 0; length < 2100; ++length) {
    for (const Capability* each = capabilities(); each->name != nullptr; ++each) {
      if (!each->supported) continue;
      ASSERT_EQ(each->read_once(bytes.data(), length), word_by_word(bytes))
          << each->name << ", " << length << " bytes";
    }
    bytes.push_back(static_cast<unsigned char>(37 * length + 11));
  }
}

}  // namespace
}  // namespace gradcore
