#pragma once
// From raw bytes to a call of a kernel: options first, the rest are elements.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "oracle.hpp"

namespace gradcore::fuzz {

/// Takes bytes from the front; past the end there are zeros.
class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  std::uint8_t byte() {
    std::uint8_t value = 0;
    take(&value, 1);
    return value;
  }

  double number() {
    double value = 0;
    take(&value, sizeof value);
    return value;
  }

  /// A double that may be anything but NaN and infinite.
  double finite() {
    const double value = number();
    return std::isfinite(value) ? value : 0.0;
  }

  /// A magnitude above 0, infinite more often than not.
  double threshold() {
    const double value = byte() % 4 ? kInf : std::fabs(number());
    return value > 0 ? value : kInf;
  }

  const std::uint8_t* rest() const { return data_; }
  std::size_t left() const { return size_; }

 private:
  void take(void* to, std::size_t count) {
    count = std::min(count, size_);
    if (count) std::memcpy(to, data_, count);
    data_ += count;
    size_ -= count;
  }

  const std::uint8_t* data_;
  std::size_t size_;
};

/// Elements in memory of their own, so that a sanitizer sees every byte beyond them, that begin at
/// an address aligned to no more than their parts.
class Elements {
 public:
  Elements(const std::uint8_t* bytes, std::size_t size, const Format& form, int shift)
      : count(static_cast<std::int64_t>(size / static_cast<std::size_t>(form.element_bytes()))),
        bytes(static_cast<std::size_t>(count * form.element_bytes())),
        before_(static_cast<std::size_t>(shift % 16 * form.bytes)),
        memory_(static_cast<std::uint8_t*>(std::malloc(before_ + this->bytes + 1))) {
    if (this->bytes) std::memcpy(data(), bytes, this->bytes);
    memory_.get()[before_ + this->bytes] = kFence;
  }

  std::uint8_t* data() const { return memory_.get() + before_; }
  bool fence_stands() const { return data()[bytes] == kFence; }

  const std::int64_t count;
  const std::size_t bytes;

 private:
  static constexpr std::uint8_t kFence = 0xa5;
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };

  std::size_t before_;
  std::unique_ptr<std::uint8_t, Free> memory_;
};

inline Number number_of(std::uint8_t byte) { return static_cast<Number>(byte % 7); }

inline Replacement replacement_of(Bytes& bytes) {
  Replacement by;
  by.nan = bytes.finite();
  by.posinf = bytes.finite();
  by.neginf = bytes.finite();
  return by;
}

inline Request request_of(Bytes& bytes) {
  Request request;
  const std::uint8_t flags = bytes.byte();
  request.needs = flags & 31;
  request.replace = flags & 32;
  request.p = 0.5 + bytes.byte() / 16.0;
  request.overflow = bytes.threshold();
  if (request.replace) request.replacement = replacement_of(bytes);
  return request;
}

/// A factor as clipping and the scale of a loss make them: in [0, 2^64], or NaN.
inline double factor_of(Bytes& bytes) {
  const std::uint8_t choice = bytes.byte();
  if (choice % 4 == 0) return 1.0;
  if (choice % 4 == 1) return choice / 256.0;
  const double factor = std::fabs(bytes.number());
  return factor > 0x1p64 ? 1.0 : factor;
}

inline Change change_of(Bytes& bytes) {
  Change change;
  change.repair = static_cast<Repair>(bytes.byte() % 4);
  change.overflow = bytes.threshold();
  change.limit = bytes.threshold();
  change.factor = factor_of(bytes);
  if (change.repair == kReplace) change.replacement = replacement_of(bytes);
  return change;
}

}  // namespace gradcore::fuzz
