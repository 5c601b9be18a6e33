"""Faults of the kernels, which the C++ tests and the corpus of the fuzzer have to notice."""

from __future__ import annotations

from fault import Fault

K = "cpp/kernels"

NATIVE = (
    Fault(
        "an infinite element counts as NaN",
        f"{K}/element.hpp",
        "if (std::isnan(value.real) || std::isnan(value.imag)) return Kind::kNan;",
        "if (!std::isfinite(value.real) || !std::isfinite(value.imag)) return Kind::kNan;",
    ),
    Fault(
        "the sign of an infinite element is swapped",
        f"{K}/tally.hpp",
        "posinf -= up;\n      neginf -= down;",
        "posinf -= down;\n      neginf -= up;",
    ),
    Fault(
        "the imaginary part is not repaired",
        f"{K}/changes.hpp",
        "element[i].imag = narrow<Part>((kept ? imag : 0.0) * change.factor);",
        "element[i].imag = narrow<Part>(imag * change.factor);",
    ),
    Fault(
        "a complex element is kept if its real part is finite",
        f"{K}/changes.hpp",
        "(std::fabs(real) <= bound) & (std::fabs(imag) <= bound)",
        "std::fabs(real) <= bound",
    ),
    Fault(
        "the last number of a tail is not rewritten",
        f"{K}/changes.hpp",
        "std::memcpy(part + i, last, static_cast<std::size_t>(count - i) * sizeof(Part));",
        "std::memcpy(part + i, last, static_cast<std::size_t>(count - i - 1) * sizeof(Part));",
    ),
    Fault(
        "a stream of the sum of squares is forgotten",
        f"{K}/squares.hpp",
        "stream < kStreams",
        "stream < kStreams - 1",
    ),
    Fault(
        "zeros that fill up a vector are counted",
        f"{K}/tally.hpp",
        "if (kEverything && rest > 0) found.zeros -= kTallyLanes - rest;",
        "",
    ),
    Fault(
        "a block that may have overflowed is not read again",
        f"{K}/measure.cpp",
        "return good ? found : measure_carefully(element, count, request);",
        "return found;",
    ),
    Fault(
        "joined scales of squares are off by one power of two",
        f"{K}/partial.hpp",
        "2 * (other.exponent - exponent)",
        "(other.exponent - exponent)",
    ),
    Fault(
        "replacements are not saturated",
        f"{K}/element.hpp",
        "std::clamp(value, -kLargest<Part>, kLargest<Part>)",
        "value",
    ),
    Fault(
        "a 16-bit number is cut off instead of rounded",
        f"{K}/vectors.hpp",
        "return bits + 0x7fffu + ((bits >> 16) & 1u);",
        "return bits;",
    ),
    Fault(
        "the units of a stretch begin with the first unit",
        f"{K}/units.hpp",
        "std::int64_t unit = layout.unit_of(stretch.begin);",
        "std::int64_t unit = 0;",
    ),
)
