"""The rows of parameters of one report as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gradcore.logfile import LoggedTable
from gradcore.logfile.table import columns_of

if TYPE_CHECKING:
    from gradcore.parameter_table import ParameterReport

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Read: TypeAlias = Callable[[str], Numbers]


def names_and_columns(rows: Sequence[ParameterReport]) -> tuple[Sequence[str], Read]:
    """Names of the parameters, and a function that gives one field of all of them.

    Returns:
        The names, the same object where a log tells them once, and a function from the name of a
        field to float64 ``[n]``, NaN for None.
    """
    if isinstance(rows, LoggedTable):
        return rows.names, rows.numbers
    lists = columns_of(rows)
    return tuple(lists["name"]), lambda name: np.array(lists[name], np.float64)
