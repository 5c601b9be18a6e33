"""The state of a run as one page of text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gradcore.cli.watch.sparkline import sparkline
from gradcore.printable import printable

if TYPE_CHECKING:
    from gradcore.cli.watch.following import Follower
    from gradcore.cli.watch.progress import Progress
    from gradcore.report import Report

STYLES: Final = {"info": "dim", "warning": "yellow", "critical": "bold red"}
LEAST: Final = 3
"""Lines that each list may have, however low the terminal is."""

MOST: Final = 8
FIXED: Final = 16
"""Lines that are not of a list."""

NUMBERS: Final = frozenset({"last at step", "times", "at step", "norm", "not finite", "findings"})
"""Columns of numbers, which stand at the right."""

FRAME: Final = 38
"""Characters of the lines with curves that are not the curve."""


def shown(progress: Progress, follower: Follower, console: Console) -> RenderableType:
    """Everything, no higher than the terminal if that can be."""
    head = _head(progress, follower)
    if progress.last is None:
        return head
    lines = MOST
    if console.is_terminal:
        lines = max(LEAST, min(MOST, (console.height - FIXED) // 3))
    parts: list[RenderableType] = [head, _curves(progress, console), _rates(progress)]
    for part in (_findings(progress, lines), _events(progress, lines), _layers(progress, lines)):
        if part is not None:
            parts += [Text(""), part]
    return Group(*parts)


def _head(progress: Progress, follower: Follower) -> Text:
    line = Text(printable(follower.path.name), style="bold")
    if not follower.found:
        return line.append(" is not there yet: waiting for it", style="yellow")
    if progress.last is None:
        return line.append(" has no step yet", style="yellow")
    line.append(f"  step {progress.last.step:,}", style="not bold")
    speed = progress.speed()
    if speed is not None:
        line.append(f"  {speed:.3g} steps/s", style="not bold")
    started = follower.decoder.run.get("started")
    if isinstance(started, str):
        line.append(f"  started {printable(started).replace('T', ' ')[:16]}", style="not bold dim")
    if follower.decoder.runs > 1:
        line.append(f"  run {follower.decoder.runs} of this log", style="not bold dim")
    if follower.damaged:
        line.append(f"  {follower.damaged} damaged lines", style="red")
    return line


def _curves(progress: Progress, console: Console) -> Table:
    arrays = progress.history.to_arrays()
    events = arrays["nan"] + arrays["posinf"] + arrays["neginf"] > 0
    lost = np.isinf(arrays["loss"])
    curves = Table.grid(padding=(0, 1))
    for justify in ("left", "left", "right"):
        curves.add_column(justify=justify, no_wrap=True)
    plain = not console.encoding.lower().startswith("utf")
    for name in ("norm", "loss"):
        numbers, marked = arrays[name], events | lost
        finite = numbers[np.isfinite(numbers)]
        if finite.size:
            curves.add_row(
                name,
                sparkline(numbers, marked, max(8, console.width - FRAME), plain=plain),
                f"{numbers[-1]:.4g}  ({finite.min():.3g} to {finite.max():.3g})",
            )
    return curves


def _rates(progress: Progress) -> Text:
    summary = progress.history.summary()
    line = Text(f"{summary['steps_seen']:,} steps")
    for name, key in (
        ("clipped", "clip_rate"),
        ("skipped", "skip_rate"),
        ("not finite", "nonfinite_rate"),
    ):
        style = "red" if key != "clip_rate" and summary[key] else ""
        line.append("  ").append(f"{name} {_percent(summary[key])}", style=style)
    line.append(f"  unhealthy {summary['unhealthy_steps']:,}")
    if summary["repaired_elements"]:
        line.append(f"  {summary['repaired_elements']:,} elements repaired")
    return line.append(f"  norm p50 {summary['p50_norm']:.3g}, p99 {summary['p99_norm']:.3g}")


def _percent(share: float) -> str:
    return "0 %" if share == 0 else "< 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"  # noqa: PLR2004


def _findings(progress: Progress, most: int) -> Table | None:
    if not progress.found:
        return None
    table = _list("last at step", "times", "check", "what it found, and what to do")
    for found in list(progress.found.values())[: -most - 1 : -1]:
        finding = found.finding
        table.add_row(
            f"{found.step:,}",
            f"{found.times:,}",
            Text(printable(finding.check), style=STYLES[finding.severity]),
            Text(printable(f"{finding.message} {finding.recommendation}")),
        )
    return table


def _events(progress: Progress, most: int) -> Table | None:
    if not progress.events:
        return None
    table = _list("at step", "norm", "events")
    for report in list(progress.events)[: -most - 1 : -1]:
        table.add_row(
            f"{report.step:,}", f"{report.norm:.3g}", Text(printable(_what_happened(report)))
        )
    return table


def _what_happened(report: Report) -> str:
    parts = []
    if report.skipped:
        parts.append("skipped")
    if report.restored:
        parts.append("rolled back")
    if report.repaired:
        parts.append(f"{report.repaired:,} repaired")
    if report.loss is not None and not math.isfinite(report.loss):
        parts.append(f"loss {report.loss}")
    if report.nonfinite.total:
        parts.append(f"{report.nonfinite.total:,} non-finite, first in {report.first_nonfinite}")
    return ", ".join(parts)


def _layers(progress: Progress, most: int) -> Table | None:
    worst = progress.worst(most)
    if not worst:
        return None
    table = _list("worst layers", "norm", "not finite", "findings")
    for trouble in worst:
        norm = trouble.row.norm
        table.add_row(
            Text(printable(trouble.row.name), overflow="ellipsis", no_wrap=True),
            "none" if norm is None else f"{norm:.3g}",
            Text(f"{trouble.nonfinite:,}", style="red" if trouble.nonfinite else ""),
            f"{trouble.findings:,}",
        )
    return table


def _list(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in NUMBERS else "left")
    return table
