"""List the strategies, policies, checks and sinks that are installed, and whose they are.

The exit status is 1 if a plugin has a problem.  Plugins that GRADCORE_PLUGINS_DISABLED names are
listed as off, and not imported.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradcore.registry import Registry

if TYPE_CHECKING:
    from gradcore.catalogue import Record

PAGE: Final = 160
"""Characters a line where there is no terminal to ask: names must come out whole in a pipe."""


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Add nothing: ``gradcore plugins`` has no options."""


def run(_arguments: argparse.Namespace) -> int:
    """Print the table, and the problems below it; returns 1 if there are any."""
    records = Registry().records()
    problems = [record for record in records if record.problem]
    console = Console(width=None if sys.stdout.isatty() else PAGE, highlight=False)
    console.print(_table(records, problems))
    for number, record in enumerate(problems, 1):
        source = f"{record.name} of {record.distribution} {record.version}".rstrip()
        # As text, not as markup: a message may have brackets.
        console.print(Text(f"\nProblem {number}: {source}", style="bold red"))
        console.print(Padding(Text(record.problem), (0, 0, 0, 2), expand=False))
    return 1 if problems else 0


def _table(records: list[Record], problems: list[Record]) -> Table:
    """A line a record, where a problem is a number: a sentence would take all the room."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for heading in ("kind", "name"):
        table.add_column(heading, no_wrap=True)
    for heading in ("distribution", "version"):
        table.add_column(heading, overflow="fold")
    table.add_column("description", overflow="fold")
    for record in records:
        words = record.summary.replace("`", "")
        if record.problem:
            words = f"Problem {problems.index(record) + 1}. {words}".rstrip()
        cells = (record.kind or "-", record.name, record.distribution, record.version, words)
        table.add_row(*map(Text, cells), style="red" if record.problem else None)
    return table
