"""Break the device code in ways that are easy to miss, and see that the emulator's tests notice.

    python tests/cpp/cuda/mutations.py [NAME ...]

Works on a copy.  Needs g++ and GoogleTest, no GPU; a minute on two cores.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FLAGS = ("-std=c++20", "-O0", "-ffp-contract=off", "-Icpp", "-Itests/cpp/cuda")
LIBRARIES = ("-lgtest_main", "-lgtest", "-lpthread")


@dataclass(frozen=True)
class Mutation:
    """A text of a header, what becomes of it, and the test program that must fail then."""

    header: str
    before: str
    after: str
    program: str


MUTATIONS = {
    "nothing, for which the tests must pass": Mutation("sums.hpp", "", "", "measure"),
    "dropped head loop": Mutation(
        "reading.hpp",
        "for (std::int64_t i = thread; i < layout.head + layout.tail;",
        "for (std::int64_t i = thread + layout.head; i < layout.head + layout.tail;",
        "measure",
    ),
    "lost NaN": Mutation("sums.hpp", "nan |= is_nan;", "above |= is_nan;", "measure"),
    "NaN that a maximum drops": Mutation(
        "sums.hpp", "if (size > reading.ceiling) {", "if (size == Format::kInfinity) {", "measure"
    ),
    "missing upper guard": Mutation("reading.hpp", "&& largest <= high)", ")", "measure"),
    "missing lower guard": Mutation(
        "reading.hpp", "(largest >= Format::kLow && largest <= high)", "largest <= high", "measure"
    ),
    "padding counted as zeros": Mutation(
        "reading.hpp", "std::uint64_t(kBatch - loaded) * kPerVector", "0u", "measure"
    ),
    "record of a corner left unwritten": Mutation(
        "partition.hpp", "share.begin == first && share.block > 0", "false", "measure"
    ),
    "tail of a list in nobody's share": Mutation(
        "partition.hpp", "* block / blocks);", "/ blocks * block);", "partition"
    ),
    "product rounded twice": Mutation("elements.hpp", "    bits |= 1u;\n", "", "elements"),
    "tail of a tensor not rewritten": Mutation(
        "rewriting.hpp", "i < layout.head + layout.tail;", "i < layout.head;", "apply"
    ),
    "imaginary part not repaired": Mutation(
        "rewriting.hpp",
        "if (broken && change.repair",
        "if (k == 0 && broken && change.repair",
        "apply",
    ),
    "head of a tensor scaled twice": Mutation(
        "rewriting.hpp",
        "elements[i < layout.head ? i : i + layout.vectors * kPerVector];",
        "elements[i < layout.head ? 0 : i + layout.vectors * kPerVector];",
        "apply",
    ),
    "rewritten although nothing is to be done": Mutation(
        "rewriting.hpp",
        "{ordinary ? int(kPropagate) : asked.repair, factor,",
        "{asked.repair, factor,",
        "apply",
    ),
    "limit of magnitudes that were not measured": Mutation(
        "rewriting.hpp",
        "ordinary && column[kMaxAbs * stride] * fabs(factor) <= asked.limit",
        "!(column[kMaxAbs * stride] * fabs(factor) > asked.limit)",
        "apply",
    ),
    "overflow that is one number too high": Mutation(
        "dispatch.hpp", "Format::value(bits) > overflow ? bits - 1u : bits", "bits", "measure"
    ),
    "replacement that rounds to infinity": Mutation(
        "dispatch.hpp",
        "const double within = value > largest ? largest : value < -largest ? -largest : value;",
        "const double within = value;",
        "apply",
    ),
    "huge squares added to ordinary ones": Mutation(
        "sums.hpp", "if (size > 0x1p400) {", "if (size > 0x1p1023) {", "measure"
    ),
    "tiny squares forgotten": Mutation(
        "sums.hpp", "if (size < 0x1p-400) {", "if (size < 0) {", "measure"
    ),
    "counts of an expanded tensor taken once": Mutation(
        "sums.hpp", "sums.nan *= times;", "", "measure"
    ),
    "last tensor of a share left out on the way back": Mutation(
        "partition.hpp", "list.tensor_of(share.end - 1);", "list.tensor_of(share.begin);", "apply"
    ),
    "column of another tensor": Mutation(
        "dispatch.hpp", "list.column[i] = tensor.column;", "list.column[i] = i;", "measure"
    ),
    "vectors that begin at any address": Mutation(
        "partition.hpp",
        "std::int64_t head = past == 0 ? 0 : (16 - past) / kSize;",
        "std::int64_t head = 0;",
        "partition",
    ),
}


def tests_pass(mutation: Mutation, folder: Path) -> bool:
    """Copy the sources, mutate them, build the test program and run it."""
    for part in ("cpp/cuda", "cpp/kernels", "tests/cpp/cuda"):
        shutil.copytree(ROOT / part, folder / part)
    header = folder / "cpp/cuda" / mutation.header
    text = header.read_text()
    if mutation.before and mutation.before not in text:
        sys.exit(f"{mutation.header} has no {mutation.before!r}: bring this script up to date.")
    header.write_text(text.replace(mutation.before, mutation.after) if mutation.before else text)
    source, program = f"tests/cpp/cuda/test_{mutation.program}.cpp", folder / "program"
    subprocess.run(
        ["g++", *FLAGS, source, "-o", program, *LIBRARIES],  # noqa: S607
        cwd=folder,
        check=True,
    )
    done = subprocess.run(
        [program, "--gtest_fail_fast"], capture_output=True, check=False, timeout=300
    )
    return done.returncode == 0


def noticed(name: str) -> bool:
    """Whether it was noticed; says so."""
    with tempfile.TemporaryDirectory() as folder:
        passed = tests_pass(MUTATIONS[name], Path(folder))
    print(f"{name}: {'tests pass' if passed else 'noticed'}", flush=True)
    return not passed


def main() -> None:
    """Try every mutation, or those that are named."""
    names = sys.argv[1:] or list(MUTATIONS)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(names, pool.map(noticed, names), strict=True))
    wrong = [name for name, was in found.items() if was == name.startswith("nothing")]
    if wrong:
        sys.exit(f"Not as it should be: {', '.join(wrong)}.")


if __name__ == "__main__":
    main()
