"""A history as tensors and plain values, which load with ``weights_only=True``."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, Final

import numpy as np
import torch

from gradcore.report import Counts, Report
from gradcore.scalars import COLUMNS, GROUPS, Rows, are_rows, row_of
from gradcore.tally import Tally

NEEDED: Final = frozenset(
    column
    for field in fields(Report)
    if field.name in GROUPS and field.default is MISSING
    for column in GROUPS[field.name]
)
"""Columns that every saved history has; any other may be from a later version than it."""


def state_of(rows: Rows, names: list[str], seen: Tally) -> dict[str, Any]:
    """What is saved of a history."""
    return {
        "columns": list(COLUMNS),
        "rows": torch.from_numpy(rows),
        "names": list(names),
        "seen": seen.to_dict(),
    }


def state_from(state: Any) -> tuple[Rows, list[str], Tally]:
    """Rows, names and counts of a saved history.

    Raises:
        ValueError: It is none.
    """
    if isinstance(state, dict):
        columns, rows, names = _names(state, "columns"), state.get("rows"), _names(state, "names")
        if columns is not None and names is not None and isinstance(rows, torch.Tensor):
            fits = rows.is_floating_point() and rows.shape[1:] == (len(columns),)
            if fits and set(columns) >= NEEDED and len(set(columns)) == len(columns):
                table = _arranged(rows.detach().cpu().double().numpy(), columns)
                seen = Tally.from_dict(state.get("seen"))
                if are_rows(table, names) and seen.steps >= len(table):
                    return table, names, seen
    raise ValueError(
        "A history is `rows`, a tensor [steps, columns] of counts and norms, the names of its "
        f"`columns` ({', '.join(sorted(NEEDED))} at least), the `names` of the parameters they "
        "refer to, and `seen`, counts over all steps; this is none."
    )


def _names(state: dict[str, Any], key: str) -> list[str] | None:
    """A copy of a list of strings, if that is what is there."""
    value = state.get(key)
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return list(value)
    return None


def _arranged(rows: Rows, columns: list[str]) -> Rows:
    """The columns of this version; those that are missing hold the defaults of `Report`."""
    empty = Report(
        step=0, norm=0.0, clipped_norm=0.0, scale=1.0, clipped=False, nonfinite=Counts(),
        repaired=0, skipped=False,
    )  # fmt: skip
    table = np.tile(np.array(row_of(empty, lambda _: -1), dtype=np.float64), (len(rows), 1))
    for index, column in enumerate(COLUMNS):
        if column in columns:
            table[:, index] = rows[:, columns.index(column)]
    return table
