"""What memory allows: the bytes that each call reads and writes, and how near it comes.

``python benchmarks/limits.py`` prints, for the shapes of ResNet-50, what torch and gradcore move,
at what rate, and how many times faster than torch anything could be that moves no more than must
be: the gradients once to measure them, once more in and out to change them.  The ceilings are the
fastest passes known: `gradcore.floor.read_once` for reading; for reading and writing the faster of
torch's change of every bit and gradcore's scaling, both of the same memory, 8 bytes at a time.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

import gradcore
from gradcore.cli.bench.cases import CASES, calls_of
from gradcore.cli.bench.timing import compare
from gradcore.cli.bench.workloads import WORKLOADS, gradients_of, parameters_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

HEADINGS: Final = (
    "dtype", "threads", "work", "torch, GB/s", "gradcore, GB/s", "ceilings", "reached", "at most",
)  # fmt: skip

DTYPES: Final = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Passes:
    """How often a piece of work goes over the gradients."""

    reads: int
    rewrites: int
    """Passes that read and write."""

    @property
    def moved(self) -> int:
        """Times that all bytes travel, in either direction."""
        return self.reads + 2 * self.rewrites


WORK: Final = {  # torch scales whether it has to or not, and repairs before it measures
    "clip, within bounds": (Passes(1, 1), Passes(1, 0)),
    "clip": (Passes(1, 1), Passes(1, 1)),
    "repair one and clip": (Passes(1, 2), Passes(1, 1)),
}
"""What torch does for it, and what gradcore does, which is the least."""


def rewrites_of(gradients: list[Tensor]) -> dict[str, Callable[[], object]]:
    """Calls that read and write all memory of gradients, and compute next to nothing."""
    bytes_of = (gradient.view(-1).view(torch.uint8) for gradient in gradients)
    words = [each[: each.numel() // 8 * 8].view(torch.int64) for each in bytes_of]
    holders = [torch.nn.Parameter(word.view(torch.float64)) for word in words]
    for holder in holders:
        holder.grad = holder.data
    half, norm = 0.5, torch.tensor(1.0, dtype=torch.float64)
    return {
        "flip": lambda: [word.bitwise_not_() for word in words],
        "halve": lambda: gradcore.clip_grads_with_norm_(holders, half, norm),
    }


def line(work: str, parameters: list[Tensor], rounds: int) -> str:
    """One line of the table."""
    case = next(case for case in CASES if case.name == work)
    gradients = gradients_of(parameters)
    calls, before = calls_of(case, parameters)
    rewrites = rewrites_of(gradients)
    times = compare({**calls, **rewrites}, before=before, rounds=rounds, budget=8.0)
    before()
    seconds = {name: timing.minimum for name, timing in times.items()}
    size = sum(gradient.nbytes for gradient in gradients)
    theirs, ours = WORK[work]
    rewrite = min(seconds[name] for name in rewrites)
    least = ours.reads * seconds["floor"] + ours.rewrites * rewrite

    def moved(passes: Passes, name: str) -> str:
        return (
            f"{passes.moved} x {size / 1e6:.0f} MB, {passes.moved * size / seconds[name] / 1e9:.0f}"
        )

    reached, most = (seconds["torch"] / taken for taken in (seconds["gradcore"], least))
    cells = (
        str(gradients[0].dtype).removeprefix("torch."),
        str(torch.get_num_threads()),
        work,
        moved(theirs, "torch"),
        moved(ours, "gradcore"),
        f"{size / seconds['floor'] / 1e9:.0f}, {2 * size / rewrite / 1e9:.0f}",
        f"{reached:.2f} x",
        f"{most:.2f} x",
    )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--dtypes", nargs="+", default=DTYPES)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    print("GB/s count bytes in both directions; ceilings are of reading, and of both.\n")
    print("| " + " | ".join(HEADINGS) + " |")
    print("|---" * len(HEADINGS) + "|")
    for name in arguments.dtypes:
        parameters = parameters_of(WORKLOADS["resnet50"](), getattr(torch, name))
        for work in WORK:
            for threads in arguments.threads:
                torch.set_num_threads(threads)
                print(line(work, parameters, arguments.rounds), flush=True)


if __name__ == "__main__":
    main()
