// What a fuzzer calls with raw bytes: the first say which kernel, which kind of number and how far
// from an aligned address; then come options and elements. A difference to the oracle aborts.

#include <cstddef>
#include <cstdint>

#include "applying.hpp"
#include "measuring.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gradcore::fuzz;
  Bytes bytes(data, size);
  const std::uint8_t kernel = bytes.byte();
  const gradcore::Number number = number_of(bytes.byte());
  const int shift = bytes.byte();
  switch (kernel % 5) {
    case 0:
      fuzz_measure(bytes, number, shift);
      break;
    case 1:
      fuzz_apply(bytes, number, shift);
      break;
    case 2:
      fuzz_measure_units(bytes, number, shift);
      break;
    case 3:
      fuzz_apply_units(bytes, number, shift);
      break;
    default:
      fuzz_read_once(bytes, shift);
  }
  return 0;
}
