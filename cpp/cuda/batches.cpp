#include "cuda/batches.hpp"

#include <c10/util/Exception.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace gradcore {
namespace {

cuda::Number number_of(Number number) {
  switch (number) {
    case Number::kFloat16:
      return cuda::Number::kFloat16;
    case Number::kBfloat16:
      return cuda::Number::kBfloat16;
    case Number::kFloat32:
      return cuda::Number::kFloat32;
    case Number::kComplex32:
      return cuda::Number::kComplex32;
    case Number::kComplex64:
      return cuda::Number::kComplex64;
    case Number::kComplex128:
      return cuda::Number::kComplex128;
    case Number::kFloat64:
      break;
  }
  return cuda::Number::kFloat64;
}

/// What must agree within a batch.
struct Key {
  Number number;
  std::int64_t times;

  bool operator==(const Key&) const = default;
};

}  // namespace

c10::Device device_of(at::TensorList gradients) {
  TORCH_CHECK_VALUE(!gradients.empty(),
                    "gradcore's CUDA operators take at least one tensor; got none.");
  const c10::Device device = gradients[0].device();
  for (const at::Tensor& gradient : gradients) {
    TORCH_CHECK_VALUE(gradient.device() == device,
                      "gradcore's CUDA operators take tensors of one device at a time; got ",
                      device, " and ", gradient.device(), ".");
  }
  return device;
}

Batches::Batches(std::vector<Elements> elements) : elements_(std::move(elements)) {
  std::vector<Key> keys;
  std::vector<std::size_t> key_of, sizes;
  key_of.reserve(elements_.size());
  for (const Elements& element : elements_) {
    const Key key{element.number, element.times};
    TORCH_CHECK_VALUE(
        element.times <= std::numeric_limits<std::uint32_t>::max(),
        "gradcore's CUDA operators take expanded tensors that repeat each element fewer than 2^32 "
        "times; got ",
        element.times, ". Reduce the tensor to what it repeats.");
    const auto found = std::find(keys.begin(), keys.end(), key);
    key_of.push_back(static_cast<std::size_t>(found - keys.begin()));
    if (found == keys.end()) {
      keys.push_back(key);
      sizes.push_back(0);
    }
    ++sizes[key_of.back()];
  }

  std::vector<std::size_t> next(keys.size(), 0);
  for (std::size_t k = 1; k < keys.size(); ++k) next[k] = next[k - 1] + sizes[k - 1];
  const std::vector<std::size_t> first = next;
  tensors_.resize(elements_.size());
  for (std::size_t i = 0; i < elements_.size(); ++i) {
    // The kernels that only read take the same pointers as those that write.
    auto* const data = const_cast<void*>(elements_[i].data);
    tensors_[next[key_of[i]]++] = {data, elements_[i].numel, static_cast<std::int32_t>(i)};
  }
  for (std::size_t k = 0; k < keys.size(); ++k) {
    for (std::size_t done = 0; done < sizes[k]; done += cuda::kMostTensors) {
      const auto count = std::min(sizes[k] - done, std::size_t{cuda::kMostTensors});
      batches_.push_back({number_of(keys[k].number), tensors_.data() + first[k] + done,
                          static_cast<int>(count), static_cast<std::uint32_t>(keys[k].times)});
    }
  }
}

double Batches::numel() const {
  double sum = 0.0;
  for (const Elements& element : elements_)
    sum += static_cast<double>(element.numel * element.times);
  return sum;
}

void Batches::finish_writes() const {
  for (const Elements& element : elements_) {
    if (element.numel > 0) finish_write(element);
  }
}

}  // namespace gradcore
