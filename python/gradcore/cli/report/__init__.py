"""Show the log of a run, from the sink 'jsonl' or History.save, as a page or a picture.

Loss, norms, clipping, what was not finite and every parameter's norm; the page, one file of HTML,
also lists what health checks found, and can be zoomed and filtered.  The log of a run that was
killed will do.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from gradcore.cli.report.reading import read_run
from gradcore.errors import LogError
from gradcore.page import write_page
from gradcore.plots import plot_run
from gradcore.printable import printable

FAILED: Final = 1
PAGE: Final = ".html"
PICTURES: Final = (".png", ".svg", ".pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the log, and where to write to."""
    parser.add_argument("path", type=Path, help="the log, such as run.jsonl")
    parser.add_argument(
        "-o",
        "--output",
        type=_output,
        metavar="OUT",
        help=f"where to write: {', '.join((PAGE, *PICTURES))} (default: a page beside the log)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write it and say where; returns 1 if the log cannot be read or nothing can be written."""
    output = arguments.output or arguments.path.with_suffix(PAGE)
    try:
        if output.resolve() == arguments.path.resolve():
            raise LogError(f"{output} is the log itself; name another file with -o.")  # noqa: TRY301
        if not arguments.path.exists():
            raise LogError(  # noqa: TRY301
                f"{arguments.path} is not there. The sink 'jsonl' and History.save() write logs."
            )
        show = write_page if output.suffix.lower() == PAGE else plot_run
        show(read_run(arguments.path), output, title=arguments.path.name)
    except (LogError, OSError, ImportError) as error:
        sys.stderr.write(f"gradcore report: {printable(str(error))}\n")
        return FAILED
    sys.stdout.write(f"{output}\n")
    return 0


def _output(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in (PAGE, *PICTURES):
        raise argparse.ArgumentTypeError(
            f"{text!r} must end with one of {', '.join((PAGE, *PICTURES))}"
        )
    return path
