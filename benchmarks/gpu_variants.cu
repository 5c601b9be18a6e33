// Times the kernels by themselves, without torch: what gpu_variants.py compiles with several
// numbers. Each source is included, so that one command with one set of -D builds everything.

#include "cuda/apply.cu"
#include "cuda/measure.cu"

#include <algorithm>
#include <cstdio>
#include <vector>

using namespace gradcore;
using namespace gradcore::cuda;

#define CHECK(call)                                              \
  do {                                                           \
    const cudaError_t error = (call);                            \
    if (error != cudaSuccess) {                                  \
      std::printf("%s: %s\n", #call, cudaGetErrorString(error)); \
      return 1;                                                  \
    }                                                            \
  } while (false)

/// Numbers in (-1, 1), in the upper halves of floats.
__global__ void fill_kernel(std::uint16_t* to, std::int64_t count) {
  for (std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x; i < count;
       i += std::int64_t(gridDim.x) * blockDim.x) {
    std::uint64_t x = std::uint64_t(i) * 0x9e3779b97f4a7c15u;
    x ^= x >> 31;
    to[i] = std::uint16_t(0x3c00u + (x & 0x837fu));
  }
}

template <class Work>
float median_us(int repeats, Work work) {
  std::vector<float> times;
  cudaEvent_t start, end;
  cudaEventCreate(&start);
  cudaEventCreate(&end);
  for (int i = 0; i < repeats + 2; ++i) {
    cudaEventRecord(start);
    work();
    cudaEventRecord(end);
    cudaEventSynchronize(end);
    float ms = 0;
    cudaEventElapsedTime(&ms, start, end);
    if (i >= 2) times.push_back(ms * 1e3f);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

struct Shapes {
  const char* name;
  std::vector<std::int64_t> numel;
};

Shapes repeated(const char* name, std::vector<std::int64_t> first, std::vector<std::int64_t> block,
                int times) {
  for (int i = 0; i < times; ++i) first.insert(first.end(), block.begin(), block.end());
  return {name, first};
}

int main() {
  const std::int64_t w = 768, v = 4096, h = 11008;
  const Shapes lists[] = {
      repeated("GPT-2", {50257 * w, 1024 * w, w, w},
               {w, w, 3 * w * w, 3 * w, w * w, w, w, w, 4 * w * w, 4 * w, 4 * w * w, w}, 12),
      repeated("7B", {32000 * v, 32000 * v, v},
               {v * v, v * v, v * v, v * v, h * v, h * v, h * v, v, v}, 32),
      repeated("1,300 small", {}, {1000}, 1300),
  };
  int multiprocessors = 0;
  CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
  const std::int64_t room = std::int64_t(7) << 30;  // elements
  std::uint16_t* memory = nullptr;
  double *table = nullptr, *factor = nullptr;
  Sums* records = nullptr;
  Span* spans = nullptr;
  CHECK(cudaMalloc(&memory, room * 2));
  CHECK(cudaMalloc(&table, kRows * 2000 * sizeof(double)));
  CHECK(cudaMalloc(&factor, sizeof(double)));
  CHECK(cudaMalloc(&records, 8000 * sizeof(Sums)));
  CHECK(cudaMalloc(&spans, 2000 * sizeof(Span)));
  fill_kernel<<<2048, 256>>>(memory, room);
  CHECK(cudaDeviceSynchronize());
  for (const Shapes& shapes : lists) {
    std::int64_t bytes = 0;
    for (std::int64_t numel : shapes.numel) bytes += numel * 2;
    std::int64_t offset = 0;  // moves on between calls, so that no list is still in the cache
    std::vector<Tensor> tensors(shapes.numel.size());
    const auto next_batch = [&] {
      if (offset + bytes / 2 + 64 * std::int64_t(tensors.size()) > room) offset = 0;
      for (std::size_t i = 0; i < tensors.size(); ++i) {
        tensors[i] = {memory + offset, shapes.numel[i], std::int32_t(i)};
        offset += (shapes.numel[i] + 63) / 64 * 64;
      }
      return Batch{Number::kBfloat16, tensors.data(), int(tensors.size())};
    };
    const auto columns = std::int64_t(tensors.size());
    const auto run = [&](Mode mode) {
      const Reading reading{ceiling_of(Number::kBfloat16, INFINITY), {}, false, 2.0};
      const int blocks = multiprocessors * resident(mode);
      const auto slots = measure(next_batch(), mode, reading, blocks, 0, records, spans, nullptr);
      const int needs = mode == Mode::kAll ? 15 : 0;
      finish({records, slots, spans, columns, 1.0, needs, 2.0}, mode, table, nullptr);
    };
    const int repeats = bytes > (std::int64_t(1) << 30) ? 7 : 31;
    const float norm = median_us(repeats, [&] { run(Mode::kNorm); });
    const float all = median_us(repeats, [&] { run(Mode::kAll); });
    const Rewriting rewriting{ceiling_of(Number::kBfloat16, INFINITY), {}, INFINITY, kZeroElements};
    const auto rewrite = [&](double by) {
      const Decision decision{table, columns, nullptr, false, by, nullptr};
      apply(next_batch(), rewriting, decision, multiprocessors * kResident, nullptr);
    };
    run(Mode::kNorm);
    const float scale = median_us(repeats, [&] { rewrite(0.999); });
    const float leave = median_us(31, [&] { rewrite(1.0); });
    CHECK(cudaDeviceSynchronize());
    std::printf(
        "  %-12s measure %8.1f us %5.2f TB/s | all %8.1f us | scale %8.1f us %5.2f TB/s | leave "
        "%5.1f us\n",
        shapes.name, norm, double(bytes) / norm / 1e6, all, scale, 2 * double(bytes) / scale / 1e6,
        leave);
  }
  return 0;
}
