#include "kernels/capability.hpp"

#include <cstring>

namespace gradcore {
namespace {

constexpr int kStreams = 4;
constexpr int kLanes = 16;  // words of one step of one stream

inline std::uint64_t word_at(const char* at) noexcept {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

}  // namespace

namespace GRADCORE_CAPABILITY {

// Four streams side by side, as in `sum_of_squares`: prefetchers stop at the end of a page.
std::uint64_t read_once(const void* data, std::int64_t bytes) noexcept {
  constexpr std::int64_t kWord = sizeof(std::uint64_t), kStep = kLanes * kWord;
  const char* const from = static_cast<const char*>(data);
  std::uint64_t lanes[kStreams][kLanes] = {};
  const std::int64_t length = bytes / (kStreams * kStep) * kStep;
  for (std::int64_t i = 0; i < length; i += kStep) {
    for (int stream = 0; stream < kStreams; ++stream) {
      const char* const at = from + stream * length + i;
      for (int lane = 0; lane < kLanes; ++lane) lanes[stream][lane] ^= word_at(at + lane * kWord);
    }
  }
  std::uint64_t found = 0;
  for (const auto& stream : lanes) {
    for (const std::uint64_t lane : stream) found ^= lane;
  }
  std::int64_t i = kStreams * length;
  for (; i + kWord <= bytes; i += kWord) found ^= word_at(from + i);
  std::uint64_t rest = 0;
  if (i < bytes) std::memcpy(&rest, from + i, static_cast<std::size_t>(bytes - i));
  return found ^ rest;
}

}  // namespace GRADCORE_CAPABILITY
}  // namespace gradcore
