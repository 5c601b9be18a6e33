"""Measure speed against torch on this machine, as ratios, and say which goals are met.

Every ratio is between calls that took turns in one process.  The exit status is 0 whatever is
found: this is a measurement, not a test.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from rich.console import Console

from gradcore.cli.bench.accuracy import errors
from gradcore.cli.bench.cases import CASES, calls_of
from gradcore.cli.bench.goals import Row
from gradcore.cli.bench.growth import by_bytes, by_tensors, draw
from gradcore.cli.bench.steps import Fact, adamw, added_to_a_small_step, share_of_training
from gradcore.cli.bench.table import LEGEND, cells, machine, markdown, rich_table, sentence, styled
from gradcore.cli.bench.timing import compare
from gradcore.cli.bench.workloads import WORKLOADS, parameters_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = 160
"""Characters a line where there is no terminal to ask."""

FULL: Final = (
    ("tiny", torch.float32),
    ("many-small", torch.float32),
    ("resnet50", torch.float32),
    ("resnet50", torch.bfloat16),
    ("resnet50", torch.float16),
    ("resnet50", torch.complex64),
    ("resnet50", torch.float64),
    ("gpt2", torch.float32),
    ("gpt2", torch.bfloat16),
    ("one-big", torch.float32),
)

QUICK: Final = FULL[:4]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to look."""

    rounds: int
    budget: float
    """Seconds for one line of the table."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``gradcore bench``."""
    parser.add_argument("--quick", action="store_true", help="a minute instead of ten")
    parser.add_argument(
        "--threads",
        type=_threads,
        default=None,
        metavar="N,N",
        help="numbers of threads (default: 1 and 2, as far as there are processors)",
    )
    parser.add_argument(
        "--save", type=Path, metavar="FOLDER", help="write cpu.md and cpu.png (matplotlib) there"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; returns 0."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = arguments.threads or tuple(range(1, min(cpus, 2) + 1))
    quick = arguments.quick
    effort = Effort(5, 1.5) if quick else Effort(15, 8.0)
    before = torch.get_num_threads()
    console = Console(width=None if Console().is_terminal else PAGE, soft_wrap=False)
    console.print(machine(), highlight=False)
    rows: list[Row] = []
    sentences: list[str] = []
    try:
        for workload, dtype in QUICK if quick else FULL:
            rows += measured(workload, dtype, threads, effort)
            console.print(f"  measured {workload}, {_name(dtype)}", style="dim", highlight=False)
        torch.set_num_threads(max(threads))
        sentences += [sentence(fact) for fact in _facts(effort, quick=quick)]
        sentences.append(_accuracy("resnet50" if quick else "one-big"))
        if arguments.save is not None:
            arguments.save.mkdir(parents=True, exist_ok=True)
            draw(by_bytes(effort.rounds), by_tensors(effort.rounds), arguments.save / "cpu.png")
    finally:
        torch.set_num_threads(before)
    table = rich_table()
    for row in rows:
        table.add_row(*styled(cells(row)))
    console.print(table)
    console.print(*sentences, LEGEND, sep="\n", highlight=False)
    if arguments.save is not None:
        command = "gradcore bench" + (" --quick" if quick else "") + " --save FOLDER"
        (arguments.save / "cpu.md").write_text(markdown(rows, sentences, command), encoding="utf-8")
    return 0


def measured(
    workload: str, dtype: torch.dtype, threads: tuple[int, ...], effort: Effort
) -> Iterator[Row]:
    """Rows of one list of gradients."""
    shapes = WORKLOADS[workload]()
    for case in CASES:
        if (dtype.is_complex and not case.complexes) or (
            workload in {"tiny", "many-small"} and not case.smallest
        ):
            continue
        calls, before = calls_of(case, parameters_of(shapes, dtype))
        for number in threads:
            torch.set_num_threads(number)
            times = compare(calls, before=before, rounds=effort.rounds, budget=effort.budget)
            floor = times["floor"].minimum
            yield Row(
                workload=workload,
                dtype=_name(dtype),
                threads=number,
                case=case.name,
                reads=times["gradcore"].minimum / floor,
                torch_reads=times["torch"].minimum / floor,
                noisy=any(timing.noisy for timing in times.values()),
            )


def _facts(effort: Effort, *, quick: bool) -> Iterator[Fact]:
    yield added_to_a_small_step(effort.rounds)
    yield adamw("resnet50" if quick else "gpt2", effort.rounds)
    yield from share_of_training(effort.rounds)


def _accuracy(workload: str) -> str:
    parameters = parameters_of(WORKLOADS[workload](), torch.float32)
    ours, theirs = errors(parameters)
    verdict = "met" if ours <= 1e-12 else "missed"  # noqa: PLR2004 - the goal
    return (
        f"relative error of the norm, {workload}, float32: {ours:.1e}, torch {theirs:.1e} "
        f"(at most 1e-12: {verdict})"
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _threads(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"numbers of threads like 1,2 are wanted; got {text!r}")
    return numbers
