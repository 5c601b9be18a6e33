"""Faults that are easy to make and hard to see, each as an exact change of one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """What is changed, and the tests that have to notice."""

    what: str
    path: str
    before: str
    """Stands there exactly once."""
    after: str
    tests: tuple[str, ...] = ()
    """Files of the suite; none for the C++ tests."""


G = "python/gradcore"
MACHINE = "tests/hostile/test_guard_machine.py"

PYTHON = (
    Fault(
        "a skip steps all the same",
        f"{G}/guard.py",
        "if pending(report) or not report.skipped:",
        "if True:",
        ("tests/test_skip.py",),
    ),
    Fault(
        "a skip before the caller's step leaves the gradients",
        f"{G}/guard.py",
        "if not pending(report) and report.skipped:",
        "if False:",
        ("tests/test_guard.py", MACHINE),
    ),
    Fault(
        "a non-finite loss is trusted",
        f"{G}/measuring.py",
        "trusted=statistics.trusted & value.isfinite(), loss=value",
        "loss=value",
        ("tests/test_guard.py", MACHINE),
    ),
    Fault(
        "memory learns from steps that are skipped by the policy",
        f"{G}/decision.py",
        "trusted=statistics.trusted & ~ends",
        "trusted=statistics.trusted | ends",
        ("tests/test_decision.py", MACHINE),
    ),
    Fault(
        "memory learns from steps with an event",
        f"{G}/statistics.py",
        "return self.trusted & (self.norm > 0) & self.norm.isfinite()",
        "return (self.norm > 0) & self.norm.isfinite()",
        ("tests/strategies/test_ema.py", MACHINE),
    ),
    Fault(
        "a norm of zero is remembered",
        f"{G}/statistics.py",
        "return self.trusted & (self.norm > 0) & self.norm.isfinite()",
        "return self.trusted & self.norm.isfinite()",
        ("tests/test_statistics.py", "tests/strategies", MACHINE),
    ),
    Fault(
        "the strategy sees gradients that the policy has zeroed",
        f"{G}/after_policy.py",
        "stays = (statistics.nonfinite == 0).to(statistics.table)",
        "stays = (statistics.nonfinite >= 0).to(statistics.table)",
        ("tests/test_after_policy.py", MACHINE),
    ),
    Fault(
        "the streak is never broken",
        f"{G}/streak.py",
        "            self.length = 0\n            return self._see_skip",
        "            return self._see_skip",
        ("tests/test_guard.py", MACHINE),
    ),
    Fault(
        "one non-finite step too many before the error",
        f"{G}/streak.py",
        "self.length >= self.limit",
        "self.length > self.limit",
        ("tests/test_guard.py", MACHINE),
    ),
    Fault(
        "a snapshot is taken while a gradient is not finite",
        f"{G}/rollback.py",
        "changed or (trusted and self._age >= self.every)",
        "changed or self._age >= self.every",
        ("tests/test_rollback.py", MACHINE),
    ),
    Fault(
        "frozen parameters are held in the snapshot",
        f"{G}/rollback.py",
        "trained = [t for t in parameters.tensors if t.requires_grad or t.grad is not None]",
        "trained = list(parameters.tensors)",
        ("tests/test_rollback.py", MACHINE),
    ),
    Fault(
        "a state keeps the memory that the next step writes to",
        f"{G}/checkpoint.py",
        "copy.deepcopy(_memory(part))}",
        "_memory(part)}",
        ("tests/test_guard_state.py",),
    ),
    Fault(
        "the streak is not in the state",
        f"{G}/checkpoint.py",
        'guard.streak.length = state["consecutive"]',
        "guard.streak.length = 0",
        ("tests/test_guard_state.py",),
    ),
    Fault(
        "added parameters are not in the state",
        f"{G}/checkpoint.py",
        "    guard.parameters.renew()\n",
        "",
        ("tests/test_guard_state.py",),
    ),
    Fault(
        "the history hands out the step before the newest",
        f"{G}/ring.py",
        "(self._start + index) % len(self._rows)",
        "(self._start + index - 1) % len(self._rows)",
        ("tests/test_ring.py",),
    ),
    Fault(
        "a full history does not drop its oldest",
        f"{G}/ring.py",
        "self._start = (self._start + 1) % len(self._rows)",
        "self._start = self._start % len(self._rows)",
        ("tests/test_ring.py", "tests/test_history.py"),
    ),
    Fault(
        "the drop-in clip divides by the norm without its epsilon",
        f"{G}/functional.py",
        "div_(norm + EPSILON)",
        "div_(norm)",
        ("tests/test_functional.py",),
    ),
    Fault(
        "the first parameter with a fault in the order of the model is named",
        f"{G}/reporting.py",
        "first = int(np.flatnonzero(bad)[-1])",
        "first = int(np.flatnonzero(bad)[0])",
        ("tests/test_report.py", MACHINE),
    ),
    Fault(
        "minus infinity is logged as infinity",
        f"{G}/logfile/values.py",
        '"Infinity" if value > 0 else "-Infinity"',
        '"Infinity"',
        ("tests/logfile",),
    ),
    Fault(
        "a shared parameter is measured twice",
        f"{G}/parameters.py",
        "seen.setdefault(id(tensor), (name, tensor))",
        "seen.setdefault(len(seen), (name, tensor))",
        (
            "tests/test_guard.py",
            "tests/test_shared_memory.py",
            "tests/test_coverage_of_parameters.py",
        ),
    ),
)

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
        "const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;",
        "const Words rounded = bits >> 16;",
    ),
    Fault(
        "the units of a stretch begin with the first unit",
        f"{K}/units.hpp",
        "std::int64_t unit = layout.unit_of(stretch.begin);",
        "std::int64_t unit = 0;",
    ),
)
