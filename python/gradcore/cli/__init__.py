"""The command ``gradcore``: one module a subcommand, each with `add_arguments` and `run`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final, Protocol, cast

import gradcore
from gradcore.cli import bench, demo, doctor, plugins, report, watch

if TYPE_CHECKING:
    from collections.abc import Sequence


class Command(Protocol):
    """A module that is a subcommand; the first line of its docstring is its help."""

    def add_arguments(self, parser: argparse.ArgumentParser, /) -> None:
        """Add the subcommand's own options."""

    def run(self, arguments: argparse.Namespace, /) -> int:
        """Do it, and return the exit status."""
        ...


COMMANDS: Final = (bench, demo, doctor, plugins, report, watch)

MISUSED: Final = 2
"""What argparse returns for a command line that it does not understand."""

INTERRUPTED: Final = 130
"""What shells expect of a program that Ctrl-C ended: 128 + SIGINT."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status; ``argv`` is the command line by default."""
    parser = argparse.ArgumentParser(
        prog="gradcore", description="Gradient health for PyTorch, from the command line."
    )
    parser.add_argument("--version", action="version", version=f"gradcore {gradcore.__version__}")
    parser.set_defaults(run=None)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in COMMANDS:
        summary = (module.__doc__ or "").partition("\n")[0]
        subparser = subparsers.add_parser(
            module.__name__.rpartition(".")[2], help=summary, description=module.__doc__
        )
        command = cast("Command", module)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    arguments = parser.parse_args(argv)
    if arguments.run is None:
        parser.print_help()
        return MISUSED
    try:
        return cast("int", arguments.run(arguments))
    except KeyboardInterrupt:
        return INTERRUPTED
