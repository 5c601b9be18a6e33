// The emulator as a shared library, for the tests that compare a device with it bit for bit:
//
//   g++ -std=c++20 -O2 -ffp-contract=off -shared -fPIC -Icpp tests/cpp/cuda/emulator.cpp -o
//   emulator.so

#include "emulator.hpp"

using namespace gradcore;
using namespace gradcore::cuda;

/// The table of `count` tensors of one kind, [kRows, count + 1], as a card with `multiprocessors`
/// sums it.
extern "C" void gradcore_emulate_measure(int number, int count, void* const* data,
                                         const std::int64_t* numel, int multiprocessors, int needs,
                                         double norm_type, double overflow,
                                         const double* replacement, double* table) {
  std::vector<Tensor> tensors;
  for (int i = 0; i < count; ++i) tensors.push_back({data[i], numel[i], i});
  std::vector<Batch> batches;
  for (int done = 0; done < count; done += kMostTensors) {
    batches.push_back(
        {Number(number), tensors.data() + done, std::min(count - done, kMostTensors)});
  }
  const Mode mode = needs & kNeedLp ? Mode::kLp : needs ? Mode::kAll : Mode::kNorm;
  const auto found = emulator::measure(batches, count, mode, needs, overflow, replacement,
                                       norm_type, multiprocessors * resident(mode), 0);
  std::copy(found.begin(), found.end(), table);
}
