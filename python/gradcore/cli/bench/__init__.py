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
from gradcore.cli.bench.saved import Findings
from gradcore.cli.bench.steps import Fact, adamw, added_to_a_small_step, share_of_training
from gradcore.cli.bench.table import (
    LEGEND,
    cells,
    machine,
    markdown,
    rich_table,
    sentence,
    styled,
    verdict,
)
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

PARTS: Final = (*WORKLOADS, "steps", "growth")
"""The lists of gradients, whole steps and the accuracy of the norm, and the plots of growth."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to look."""

    rounds: int
    budget: float
    """Seconds for one line of the table."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``gradcore bench``."""
    parser.add_argument("--quick", action="store_true", help="a minute instead of five")
    parser.add_argument(
        "--only",
        type=_parts,
        default=None,
        metavar="PART,PART",
        help=f"measure these parts: {', '.join(PARTS)}, or lists of one dtype like gpt2:bfloat16; "
        "with --save, what FOLDER holds of the others stays",
    )
    parser.add_argument(
        "--threads",
        type=_threads,
        default=None,
        metavar="N,N",
        help="numbers of threads (default: 1 and 2, as far as there are processors)",
    )
    parser.add_argument(
        "--save",
        type=Path,
        metavar="FOLDER",
        help="write cpu.md, cpu.json and cpu.png (matplotlib) there",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; returns 0."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = arguments.threads or tuple(range(1, min(cpus, 2) + 1))
    quick, only, folder = arguments.quick, arguments.only, arguments.save
    effort = Effort(5, 1.5) if quick else Effort(11, 4.0)
    before = torch.get_num_threads()
    console = Console(width=None if Console().is_terminal else PAGE, soft_wrap=False)
    found = Findings(machine())
    console.print(found.machine, highlight=False)
    try:
        for workload, dtype in _lists(only, quick=quick):
            found.rows += measured(workload, dtype, threads, effort)
            console.print(f"  measured {workload}, {_name(dtype)}", style="dim", highlight=False)
        torch.set_num_threads(max(threads))
        if only is None or "steps" in only:
            found.sentences += [sentence(fact) for fact in _facts(effort, quick=quick)]
            found.sentences.append(_accuracy("resnet50" if quick else "one-big"))
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            if only is None or "growth" in only:
                draw(by_bytes(effort.rounds), by_tensors(effort.rounds), folder / "cpu.png")
    finally:
        torch.set_num_threads(before)
    if found.rows:
        table = rich_table()
        for row in found.rows:
            table.add_row(*styled(cells(row)))
        console.print(table)
        console.print(verdict(found.rows), LEGEND, sep="\n", highlight=False)
    console.print(*found.sentences, sep="\n", highlight=False)
    if folder is not None:
        _save(found, folder, quick=quick, in_parts=only is not None)
    return 0


def _lists(only: tuple[str, ...] | None, *, quick: bool) -> tuple[tuple[str, torch.dtype], ...]:
    if only is None:
        return QUICK if quick else FULL
    return tuple(
        (workload, dtype)
        for workload, dtype in FULL
        if workload in only or f"{workload}:{_name(dtype)}" in only
    )


def _save(found: Findings, folder: Path, *, quick: bool, in_parts: bool) -> None:
    earlier = Findings.load(folder) if in_parts else None
    if earlier is not None:
        found = earlier.joined(found)
    found.save(folder)
    parts = " --only PART" if in_parts else ""
    command = f"gradcore bench{' --quick' if quick else ''}{parts} --save FOLDER"
    rows = found.in_order(tuple((workload, _name(dtype)) for workload, dtype in FULL))
    page = markdown(rows, found.sentences, found.machine, command)
    (folder / "cpu.md").write_text(page, encoding="utf-8")


def measured(
    workload: str, dtype: torch.dtype, threads: tuple[int, ...], effort: Effort
) -> Iterator[Row]:
    """Rows of one list of gradients."""
    parameters = parameters_of(WORKLOADS[workload](), dtype)
    for case in CASES:  # each strikes what the ones before it struck, and more
        if (dtype.is_complex and not case.complexes) or (
            workload in {"tiny", "many-small"} and not case.smallest
        ):
            continue
        calls, before = calls_of(case, parameters)
        for number in threads:
            torch.set_num_threads(number)
            times = compare(calls, before=before, rounds=effort.rounds, budget=effort.budget)
            floor, ours, theirs = times["floor"], times["gradcore"], times["torch"]
            yield Row(
                workload=workload,
                dtype=_name(dtype),
                threads=number,
                case=case.name,
                reads=ours.minimum / floor.minimum,
                torch_reads=theirs.minimum / floor.minimum,
                median=ours.median / floor.median,
                torch_median=theirs.median / floor.median,
                noise=max(timing.noise for timing in times.values()),
            )
        before()


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


def _parts(text: str) -> tuple[str, ...]:
    known = {*PARTS, *(f"{workload}:{_name(dtype)}" for workload, dtype in FULL)}
    parts = tuple(text.split(","))
    unknown = [part for part in parts if part not in known]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"parts are {', '.join(sorted(known))}; got {unknown[0]!r}"
        )
    return parts
