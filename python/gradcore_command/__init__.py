"""The command ``gradcore``, which has an answer where gradcore itself cannot be imported.

A package beside gradcore, since to import any module of gradcore is to import all of it.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command; where gradcore cannot be imported, say why; returns the exit status."""
    try:
        from gradcore.cli import main as command  # noqa: PLC0415 - what may fail
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is asked for
        from gradcore_command.broken import explain  # noqa: PLC0415 - for this alone

        return explain(error, sys.argv[1:])
    return command()
