"""What the demo puts on the screen: bars while it works, then a table and a few sentences."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gradcore.cli.demo.claim import found
from gradcore.cli.demo.faults import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gradcore.cli.demo.claim import Verdict
    from gradcore.cli.demo.outcome import Run

LOGGED: Final = 3
"""How many of gradcore's log lines are shown."""


class Screen:
    """Writes to standard output: colours and moving bars on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def say(self, line: str = "", *, style: str = "", indent: int = 0) -> None:
        """Write a line; what is too long for the terminal wraps between words."""
        text = Text(line, style)
        self._console.print(Padding(text, (0, 0, 0, indent), expand=False) if indent else text)

    @contextmanager
    def bars(
        self, names: Sequence[str], steps: int
    ) -> Iterator[Callable[[str], Callable[[float], None]]]:
        """Show a bar for each run.

        Yields:
            A function from the name of the run that begins to one that takes its loss after
            every step.
        """
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        with progress:
            tasks = {
                name: progress.add_task(name, total=steps, loss="", start=False) for name in names
            }

            def begin(name: str) -> Callable[[float], None]:
                progress.start_task(tasks[name])
                return lambda loss: progress.update(
                    tasks[name], advance=1, loss=f"training loss {_loss(loss, 2)}"
                )

            yield begin

    def finished(self, run: Run) -> None:
        """Say that a run is over, where no bar has said so."""
        if not self._console.is_terminal:
            self.say(f"{run.name}: {len(run.losses)} steps in {run.seconds:.0f} s")

    def table(self, runs: Sequence[Run]) -> None:
        """Lay runs side by side."""
        grid = Table("", box=SIMPLE_HEAD, pad_edge=False)
        for run in runs:
            grid.add_column(run.name, justify="right")
        for title, cell in ROWS:
            grid.add_row(title, *map(cell, runs))
        self._console.print(grid)

    def logged(self, lines: Sequence[str]) -> None:
        """Quote the first of the warnings that gradcore logged."""
        if not lines:
            return
        first = f", the first {LOGGED} of them" if len(lines) > LOGGED else ""
        self.say(f"gradcore logged {len(lines)} warning{'s' * (len(lines) > 1)}{first}:")
        for line in lines[:LOGGED]:
            self.say(line, style="yellow", indent=2)
        self.say()

    def verdict(self, verdict: Verdict) -> None:
        """Say how it went."""
        self.say(verdict.torch)
        self.say(verdict.gradcore, style="bold green" if verdict.holds else "bold red")


def _planted(run: Run, *kinds: Kind) -> str:
    counts = Counter(fault.kind for fault in run.planted)
    return str(sum(counts[kind] for kind in kinds))


def _seen(run: Run, count: int) -> str:
    """Return a count of gradcore's, or a dash for a run that nobody watched."""
    return str(count) if run.reports else "-"


def _loss(loss: float, digits: int = 3) -> str:
    return f"{loss:.{digits}f}" if math.isfinite(loss) else "[red]NaN[/]"


ROWS: Final[tuple[tuple[str, Callable[[Run], str]], ...]] = (
    ("steps", lambda run: str(len(run.losses))),
    ("faults planted", lambda run: _planted(run, *Kind)),
    ("  an element NaN", lambda run: _planted(run, Kind.NAN)),
    ("  an element Inf or -Inf", lambda run: _planted(run, Kind.INF)),
    ("  an element 1e25 or -1e25", lambda run: _planted(run, Kind.SPIKE)),
    ("  a whole tensor NaN", lambda run: _planted(run, Kind.TENSOR)),
    ("faults found, in the right tensor", lambda run: _seen(run, len(found(run)))),
    ("steps skipped", lambda run: _seen(run, run.skipped)),
    ("gradient elements repaired", lambda run: _seen(run, run.repaired)),
    ("steps with a finite loss", lambda run: str(sum(map(math.isfinite, run.losses)))),
    ("held-out loss before, nats/character", lambda run: _loss(run.before)),
    ("held-out loss after, nats/character", lambda run: _loss(run.after)),
    ("model finite", lambda run: "[red]no[/]" if run.nonfinite_parameters else "[green]yes[/]"),
)
