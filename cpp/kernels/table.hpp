#pragma once
// The shape of a measurement: which statistic stands in which row. Knows nothing of torch.
// Plain enough for host and device compilers (C++17).

namespace gradcore {

/// Rows of the table that `measure` fills: float64 [kRows, n + 1], one column a gradient and a last
/// one for all of them taken as one vector. Counts are whole numbers, exact up to 2^53.
///
/// Everything but the counts describes the finite elements alone, and the values that replace the
/// others where a policy replaces them. Rows that nobody needs are filled with NaN.
enum Row : int {
  kPresent,  ///< 1 if the parameter has a gradient, else 0 (and 0 in every other row)
  kNumel,    ///< elements; a complex element counts once in every count
  kNan,      ///< elements with a NaN part
  kPosinf,   ///< elements with no NaN part and a part that is +Inf
  kNeginf,   ///< elements with no NaN and no +Inf part and a part that is -Inf
  kL2,       ///< sqrt(sum |x|^2)
  kL1,       ///< sum |x|
  kMaxAbs,   ///< max |x|, 0 for no elements
  kSum,      ///< sum of real parts
  kSumImag,  ///< sum of imaginary parts
  kZeros,    ///< elements that are zero in every part
  kLp,       ///< (sum |x|^p)^(1/p)
  kRows
};

/// Bits of what may be asked for beyond the rows up to kL2.
enum Need : int {
  kNeedL1 = 1,
  kNeedMaxAbs = 2,
  kNeedSum = 4,  ///< kSum and kSumImag
  kNeedZeros = 8,
  kNeedLp = 16,
};

/// What becomes of non-finite elements.
enum Repair : int {
  kPropagate,       ///< nothing
  kZeroElements,    ///< the whole element becomes zero
  kReplace,         ///< each non-finite part becomes a value, saturated to the dtype's finite range
  kZeroParameters,  ///< the whole gradient becomes zero if any element is non-finite
};

}  // namespace gradcore
