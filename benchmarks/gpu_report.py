"""What was measured, as a Markdown table with goals, and where it was measured."""

from __future__ import annotations

import datetime as dt
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import torch

import gradcore

RESULTS = Path(__file__).parent / "results"
LEGEND = """Medians. *Device*: the device's own time of a call. *Loop*: time of a call in a loop
that waits only at its end, so the larger of host and device; ratios are of loops."""
HEAD = ("| list | what | device | loop | rate | against |", "|---|---|---|---|---|---|")


def answer(*command: str) -> str:
    """The first line that a program prints, or "unknown"."""
    program = shutil.which(command[0])
    if program is None:
        return "unknown"
    done = subprocess.run(  # noqa: S603 - nvidia-smi and git
        [program, *command[1:]],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return (done.stdout.strip().splitlines() or ["unknown"])[0]


@dataclass
class Report:
    """Rows of a table and goals; prints as it grows."""

    rows: list[str] = field(default_factory=list)
    goals: list[str] = field(default_factory=list)

    def row(self, *cells: object) -> None:
        """Add a row of the table."""
        self.rows.append("| " + " | ".join(str(cell) for cell in cells) + " |")
        print(self.rows[-1], flush=True)

    def goal(self, text: str, value: float, bound: float, unit: str, *, at_most: bool) -> None:
        """Add a goal and whether it is met."""
        met = value <= bound if at_most else value >= bound
        sign = "at most" if at_most else "at least"
        verdict = "met" if met else "MISSED"
        self.goals.append(f"- {text}: {value:.3g} {unit}, {sign} {bound:g} wanted: **{verdict}**")

    def text(self) -> str:
        """Everything, as Markdown."""
        card = torch.cuda.get_device_name()
        info = gradcore.build_info()
        driver = answer("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        commit = answer("git", "describe", "--always", "--dirty")
        day = dt.datetime.now(tz=dt.timezone.utc).date()
        where = (
            f"Driver {driver}, torch {torch.__version__}, gradcore {info['version']} (CUDA "
            f"{info['cuda']}), Python {platform.python_version()}, commit {commit}, {day}."
        )
        lines = [f"# {card}", "", where, "", LEGEND, "", *HEAD, *self.rows]
        return "\n".join([*lines, "", "## Goals", "", *self.goals, ""])

    def write(self) -> Path:
        """Write it where results of this card lie."""
        name = re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-")
        path = RESULTS / f"gpu-{name}.md"
        RESULTS.mkdir(exist_ok=True)
        path.write_text(self.text())
        return path
