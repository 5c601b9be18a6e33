"""The scalars of a report as one row of float64, so that many steps take little memory.

Columns follow from the fields of `Report`: one that is added there is kept here.
"""

from __future__ import annotations

import math
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from gradcore.report import Counts, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

Rows: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

PLAIN: Final[dict[str, type[float]]] = {"int": int, "float": float, "bool": bool}
KINDS: Final = {
    field.name: str(field.type)
    for field in fields(Report)
    if field.name not in {"parameters", "findings"}
}
"""The annotation of each field that is kept."""


def _values(name: str) -> tuple[str, ...]:
    if KINDS[name] == "Counts":
        return tuple(f"{name}.{part.name}" for part in fields(Counts))
    return (name, name) if KINDS[name] == "float | None" else (name,)


VALUES: Final = attrgetter(*(value for name in KINDS for value in _values(name)))
"""What a report holds for each column; for a flag, what it is about."""


def _columns(name: str) -> tuple[str, ...]:
    if KINDS[name] == "Counts":
        prefix = "" if name == "nonfinite" else f"{name}_"
        return tuple(prefix + part.name for part in fields(Counts))
    return (name, f"has_{name}") if KINDS[name] == "float | None" else (name,)


GROUPS: Final = {name: _columns(name) for name in KINDS}
COLUMNS: Final = tuple(column for group in GROUPS.values() for column in group)
COLUMN: Final = {name: i for i, name in enumerate(COLUMNS)}
NAMES: Final = tuple(name for name, kind in KINDS.items() if kind == "str | None")
"""Columns that hold the number of a parameter's name, -1 for None."""

NAMED: Final = tuple(COLUMN[name] for name in NAMES)
OPTIONAL: Final = tuple(COLUMN[name] for name, kind in KINDS.items() if kind == "float | None")
"""Where those are, and numbers that may be None, each before the flag that says so."""

FIELDS: Final = tuple(name for name in COLUMNS if name not in NAMES and not name.startswith("has_"))
"""Columns that are numbers or flags; None is NaN there."""

MEASURED: Final = tuple(name for name, kind in KINDS.items() if kind.startswith("float"))
"""Columns that may hold NaN or infinity."""


def row_of(report: Report, number: Callable[[str], int]) -> list[float]:
    """One row; ``number`` gives the number of a parameter's name."""
    row = list(VALUES(report))
    for i in NAMED:
        row[i] = -1 if row[i] is None else number(row[i])
    for i in OPTIONAL:
        given = row[i] is not None
        row[i + 1] = given
        if not given:
            row[i] = math.nan
    return row


def report_of(row: Sequence[float], names: Sequence[str]) -> Report:
    """The report of a row, without its table and its findings."""
    values: dict[str, Any] = {}
    for name, kind in KINDS.items():
        numbers = [row[COLUMN[column]] for column in GROUPS[name]]
        if kind == "Counts":
            values[name] = Counts(*map(int, numbers))
        elif kind == "float | None":
            values[name] = numbers[0] if numbers[1] else None
        elif kind == "str | None":
            values[name] = None if numbers[0] < 0 else names[int(numbers[0])]
        else:
            values[name] = PLAIN[kind](numbers[0])
    return Report(**values)


def are_rows(rows: Rows, names: Sequence[str]) -> bool:
    """Whether rows that somebody saved hold what they must."""
    whole = np.delete(rows, [COLUMN[name] for name in MEASURED], axis=1)
    numbers = rows[:, [COLUMN[name] for name in NAMES]]
    return bool(np.isfinite(whole).all() and ((numbers >= -1) & (numbers < len(names))).all())


def finite(rows: Rows) -> npt.NDArray[np.bool_]:
    """Which steps had nothing non-finite in gradients and loss: bool ``[len(rows)]``."""
    counts = rows[:, [COLUMN[name] for name in GROUPS["nonfinite"]]].sum(1)
    given = rows[:, COLUMN["has_loss"]] > 0
    clean: npt.NDArray[np.bool_] = (counts == 0) & (~given | np.isfinite(rows[:, COLUMN["loss"]]))
    return clean
