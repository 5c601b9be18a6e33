#pragma once
// Lists of arrays for the tests of the device code: random, misaligned, with faults where they
// hurt.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "cuda/launch.hpp"
#include "oracle.hpp"

namespace lists {

using gradcore::cuda::Number;

inline constexpr Number kNumbers[] = {Number::kFloat16,   Number::kBfloat16,  Number::kFloat32,
                                      Number::kFloat64,   Number::kComplex32, Number::kComplex64,
                                      Number::kComplex128};

struct Kind {
  oracle::Format format;
  int parts;
};

inline Kind kind_of(Number number) {
  switch (number) {
    case Number::kFloat16:
      return {oracle::kFormats[0], 1};
    case Number::kBfloat16:
      return {oracle::kFormats[1], 1};
    case Number::kFloat32:
      return {oracle::kFormats[2], 1};
    case Number::kFloat64:
      return {oracle::kFormats[3], 1};
    case Number::kComplex32:
      return {oracle::kFormats[0], 2};
    case Number::kComplex64:
      return {oracle::kFormats[2], 2};
    default:
      return {oracle::kFormats[3], 2};
  }
}

inline bool narrow(Number number) { return kind_of(number).format.bytes() == 2; }

/// An array in memory of exactly its size behind `offset` elements of NaN.
class Memory {
 public:
  Memory(const oracle::Array& array, int offset) : array_(array) {
    const std::size_t size = std::size_t(array.format.bytes());
    before_ = std::size_t(offset * array.parts) * size;
    bytes_.reset(static_cast<char*>(
        std::malloc(before_ + array.bits.size() * size + (array.bits.empty() ? 1 : 0))));
    std::memset(bytes_.get(), 0xff, before_);
    for (std::size_t i = 0; i < array.bits.size(); ++i) {
      std::memcpy(bytes_.get() + before_ + i * size, &array.bits[i],
                  size);  // little-endian, like the device
    }
  }

  void* data() const { return bytes_.get() + before_; }

  /// What lies there now.
  oracle::Array now() const {
    oracle::Array array = array_;
    const std::size_t size = std::size_t(array.format.bytes());
    for (std::size_t i = 0; i < array.bits.size(); ++i) {
      array.bits[i] = 0;
      std::memcpy(&array.bits[i], bytes_.get() + before_ + i * size, size);
    }
    return array;
  }

 private:
  struct Free {
    void operator()(char* bytes) const { std::free(bytes); }
  };
  oracle::Array array_;
  std::size_t before_;
  std::unique_ptr<char, Free> bytes_;
};

/// A list of one kind, in memory and as the oracle sees it.
struct List {
  Number number;
  std::vector<oracle::Array> arrays;
  std::vector<Memory> memories;
  std::vector<gradcore::cuda::Tensor> tensors;

  void add(oracle::Array array, int offset) {
    memories.emplace_back(array, offset);
    tensors.push_back({memories.back().data(), array.numel(), std::int32_t(tensors.size())});
    arrays.push_back(std::move(array));
  }
  gradcore::cuda::Batch batch() const { return {number, tensors.data(), int(tensors.size())}; }
  std::vector<const oracle::Array*> all() const {
    std::vector<const oracle::Array*> pointers;
    for (const oracle::Array& array : arrays) pointers.push_back(&array);
    return pointers;
  }
};

/// How wild the values of an array are.
enum class Values { kOrdinary, kWithFaults, kHuge, kTiny, kAnyBits };

inline oracle::Array array_of(Number number, std::int64_t numel, Values values,
                              std::mt19937_64& random) {
  const Kind kind = kind_of(number);
  oracle::Array array{kind.format, kind.parts, {}};
  std::normal_distribution<double> normal;
  const auto any = [&] { return random() & (2 * kind.format.sign() - 1); };
  for (std::int64_t i = 0; i < numel * kind.parts; ++i) {
    long double value = random() % 16 == 0 ? 0.0 : normal(random);
    std::uint64_t bits = kind.format.encode(value);
    if (values == Values::kAnyBits) bits = any();
    if (values == Values::kHuge) bits = kind.format.infinity() - 1 - random() % 64;
    if (values == Values::kTiny) bits = random() % 8;
    if (values == Values::kWithFaults && random() % 40 == 0) {
      const std::uint64_t faults[] = {kind.format.infinity(),
                                      kind.format.infinity() | kind.format.sign(),
                                      kind.format.infinity() + 1,
                                      kind.format.infinity() - 1,
                                      1,
                                      any()};
      bits = faults[random() % 6];
    }
    array.bits.push_back(bits);
  }
  return array;
}

inline List list_of(Number number, int count, std::int64_t most, std::mt19937_64& random) {
  List list{number, {}, {}, {}};
  for (int i = 0; i < count; ++i) {
    const auto numel = std::int64_t(random() % std::uint64_t(most + 1)) >> (random() % 8);
    const auto values = Values(random() % 10 < 5 ? 0 : random() % 5);
    list.add(array_of(number, numel, values, random), int(random() % 9));
  }
  return list;
}

}  // namespace lists
