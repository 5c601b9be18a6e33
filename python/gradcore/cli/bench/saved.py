"""What was measured, kept in a folder: a run of a part of it replaces that part alone."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from gradcore.cli.bench.cases import CASES
from gradcore.cli.bench.goals import Row

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "cpu.json"

CASE_NAMES: Final = tuple(case.name for case in CASES)


@dataclass(slots=True)
class Findings:
    """Rows of the table, sentences about whole steps, and the machine they are of."""

    machine: str
    rows: list[Row] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    def joined(self, newer: Findings) -> Findings:
        """What is newer, and of these what it does not replace; all of it, on another machine."""
        if newer.machine != self.machine:
            return newer
        rows = {_place(row): row for row in (*self.rows, *newer.rows)}
        return Findings(newer.machine, list(rows.values()), newer.sentences or self.sentences)

    def in_order(self, lists: tuple[tuple[str, str], ...]) -> list[Row]:
        """The rows as the table has them: by list, work, and threads."""

        def place(row: Row) -> tuple[int, int, int]:
            return (
                lists.index((row.workload, row.dtype)),
                CASE_NAMES.index(row.case),
                row.threads,
            )

        return sorted(self.rows, key=place)

    def save(self, folder: Path) -> None:
        """Write them where `load` finds them."""
        text = json.dumps(asdict(self), indent=1, allow_nan=False)
        (folder / NAME).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Findings | None:
        """What an earlier run left there, if there was one."""
        try:
            found = json.loads((folder / NAME).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return cls(found["machine"], [Row(**row) for row in found["rows"]], found["sentences"])


def _place(row: Row) -> tuple[str, str, int, str]:
    return row.workload, row.dtype, row.threads, row.case
