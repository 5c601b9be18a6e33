"""What was measured, for people: in the terminal and as Markdown."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final

import torch
from rich import box
from rich.table import Table
from rich.text import Text

import gradcore
from gradcore.cli.bench.goals import Row, goals_of

if TYPE_CHECKING:
    from gradcore.cli.bench.steps import Fact

HEADINGS: Final = (
    "gradients", "dtype", "threads", "work", "gradcore", "torch", "faster", "noise", "goal", "",
)  # fmt: skip

LEGEND: Final = (
    "gradcore, torch and faster: time of a call in times that reading every byte of the gradients "
    "once takes, and what torch takes in times of gradcore. Minima of rounds in which all calls "
    "take turns, medians in brackets; goals are about minima. noise: how far the median of a call "
    "lies above its minimum, at most; a quiet machine has less than 10 %. Times against torch hold "
    "on other machines; a list that fits in a cache has no floor."
)

CACHED: Final = frozenset({"tiny", "many-small"})


def cells(row: Row) -> tuple[str, ...]:
    """One line of the table."""
    goals = goals_of(row)
    verdict = "" if not goals else "met" if all(g.met_by(row) for g in goals) else "missed"
    floor = row.workload not in CACHED
    return (
        row.workload,
        row.dtype,
        str(row.threads),
        row.case,
        f"{row.reads:.2f} ({row.median:.2f})" if floor else "",
        f"{row.torch_reads:.2f} ({row.torch_median:.2f})" if floor else "",
        f"{row.speedup:.2f} x ({row.torch_median / row.median:.2f})",
        f"{100 * row.noise:.0f} %",
        ", ".join(map(str, goals)),
        verdict,
    )


def rich_table() -> Table:
    """An empty table with its headings."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in HEADINGS:
        numbers = heading in {"threads", "gradcore", "torch", "faster", "noise"}
        table.add_column(heading, justify="right" if numbers else "left", no_wrap=heading != "goal")
    return table


def styled(values: tuple[str, ...]) -> list[Text]:
    """Cells of one line, missed goals in red."""
    style = {"met": "green", "missed": "red"}.get(values[-1], "")
    return [*map(Text, values[:-1]), Text(values[-1], style=style)]


def sentence(fact: Fact) -> str:
    """One number about whole steps."""
    verdict = "met" if fact.met else "missed"
    noise = " ~" if fact.noisy else ""
    goal = f"at most {fact.at_most:g}: {verdict}"
    return f"{fact.what}: {fact.value:.3g} {fact.unit}{noise} ({goal})"


def machine() -> str:
    """What it was measured on."""
    info = gradcore.build_info()
    return (
        f"gradcore {info['version']}, torch {torch.__version__}, kernels {info['cpu_in_use']}, "
        f"Python {platform.python_version()}, {processor()}"
    )


def processor() -> str:
    """Name of the processor, where Linux tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - no file of ours
            return next(
                line.partition(":")[2].strip() for line in lines if line.startswith("model name")
            )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def verdict(rows: list[Row]) -> str:
    """How many rows of those that have goals meet them."""
    judged = [row for row in rows if goals_of(row)]
    met = sum(all(goal.met_by(row) for goal in goals_of(row)) for row in judged)
    return f"goals of the table: {met} of {len(judged)} lines met"


def markdown(rows: list[Row], sentences: list[str], on: str, command: str) -> str:
    """The whole as a page."""
    lines = [
        "# On the CPU",
        "",
        on + ".",
        "",
        LEGEND,
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|---|---|---:|---|---:|---:|---:|---:|---|---|",
        *("| " + " | ".join(cells(row)) + " |" for row in rows),
        "",
        *(f"- {text}" for text in [verdict(rows), *sentences]),
        "",
        f"Made by `{command}`.",
        "",
    ]
    return "\n".join(lines)
