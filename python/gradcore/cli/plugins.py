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
    """Print the table; returns 1 if there is a problem in it."""
    records = Registry().records()
    problems = any(record.problem for record in records)
    Console(width=None if sys.stdout.isatty() else PAGE).print(_table(records, problems=problems))
    return 1 if problems else 0


def _table(records: list[Record], *, problems: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("kind", "name", "distribution", "version"):
        table.add_column(heading, overflow="fold")
    table.add_column("description", overflow="fold", ratio=1)
    if problems:
        table.add_column("problem", overflow="fold", ratio=2)
    for record in records:
        cells = [
            record.kind or "-",
            record.name,
            record.distribution,
            record.version,
            record.summary.replace("`", ""),
            *([record.problem] if problems else []),
        ]
        # As text, not as markup: a message may have brackets.
        table.add_row(*map(Text, cells), style="red" if record.problem else None)
    return table
