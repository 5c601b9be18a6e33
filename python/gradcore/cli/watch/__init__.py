"""Follow a run in the terminal, from the log that the sink 'jsonl' writes.

Shows norms and losses (their logarithms, where all are above zero), how often steps were clipped,
skipped and not finite, the last events, what health checks found, and the layers with the most
trouble.  Waits for a log that is not there yet; goes on when it is rotated or emptied; Ctrl-C ends
it.  Into a pipe it prints the present state once.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import NoReturn

from rich.console import Console
from rich.live import Live

from gradcore.cli.watch.following import Follower
from gradcore.cli.watch.progress import Progress
from gradcore.cli.watch.show import shown
from gradcore.errors import LogError
from gradcore.printable import printable
from gradcore.validation import require_positive

FAILED = 1
PAGE = 100
"""Characters a line where there is no terminal to ask."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the log, and how to look at it."""
    parser.add_argument("path", help="the log, such as run.jsonl")
    parser.add_argument("--once", action="store_true", help="print the present state and exit")
    parser.add_argument(
        "--interval",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="look for new steps so often (default: 1)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Show the log until Ctrl-C, or once; returns 1 if it cannot be read."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(width=None if known else PAGE, highlight=False)
    progress = Progress()
    try:
        with Follower(arguments.path) as follower:
            progress.take(follower)
            if not arguments.once and console.is_terminal:
                _follow(console, follower, progress, arguments.interval)
            if not follower.found:
                return _fail(f"{arguments.path} is not there. Without --once it is waited for.")
            console.print(shown(progress, follower, console))
    except (LogError, OSError) as error:
        return _fail(str(error))
    return 0


def _fail(why: str) -> int:
    sys.stderr.write(f"gradcore watch: {printable(why)}\n")
    return FAILED


def _follow(console: Console, follower: Follower, progress: Progress, interval: float) -> NoReturn:
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            live.update(shown(progress, follower, console), refresh=True)
            time.sleep(interval)
            progress.take(follower)


def _seconds(text: str) -> float:
    try:
        return require_positive("interval", float(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
