"""The rows of parameters as columns: one list a field, or one value where all are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final, TypeAlias, overload

import numpy as np

from gradcore.logfile.values import FROM_JSON, number, number_to_json, whole
from gradcore.parameter_table import ParameterReport

Column: TypeAlias = list[Any] | float | str | None
Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

KINDS: Final = {field.name: str(field.type) for field in fields(ParameterReport)}
FLOATS: Final = frozenset(name for name, kind in KINDS.items() if kind.startswith("float"))
_values = attrgetter(*KINDS)


class LoggedTable(Sequence[ParameterReport]):
    """One `ParameterReport` a parameter, made from columns when it is asked for.

    Args:
        names: Of the parameters, in the order of the model.
        columns: A list of n values, or one for all, for every other field of `ParameterReport`.
    """

    __slots__ = ("_columns", "names")

    def __init__(self, names: Sequence[str], columns: Mapping[str, Column]) -> None:
        self.names: Sequence[str] = names
        self._columns = columns

    def column(self, name: str) -> list[Any]:
        """The values of one field, a parameter each."""
        values = self._columns[name]
        return list(values) if isinstance(values, list) else [values] * len(self)

    def numbers(self, name: str) -> Numbers:
        """The same as float64 ``[n]``, NaN for None; one value of all is not spread out."""
        values = np.array(self._columns[name], np.float64)
        return values if values.ndim else np.broadcast_to(values, len(self))

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> ParameterReport: ...
    @overload
    def __getitem__(self, index: slice) -> list[ParameterReport]: ...
    def __getitem__(self, index: int | slice) -> ParameterReport | list[ParameterReport]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        values: dict[str, Any] = {
            name: values[i] if isinstance(values, list) else values
            for name, values in self._columns.items()
        }
        return ParameterReport(name=self.names[i], **values)


def columns_of(rows: Sequence[ParameterReport]) -> dict[str, list[Any]]:
    """A list of n values for every field, the names included."""
    if not rows:
        return {name: [] for name in KINDS}
    columns = zip(*(_values(row) for row in rows), strict=True)
    return dict(zip(KINDS, map(list, columns), strict=True))


def column_to_json(name: str, values: list[Any], digits: int | None) -> Column:
    """The column of one field: a list, or the one value of all.

    Args:
        name: Of the field.
        values: A parameter each; at least one.
        digits: Numbers are rounded to so many significant ones; None for no rounding.
    """
    if values.count(values[0]) == len(values) and not _are_zeros_of_both_signs(name, values):
        values = values[:1]
    if name in FLOATS:
        values = [None if v is None else number_to_json(_rounded(v, digits)) for v in values]
    return values if len(values) > 1 else values[0]


def _are_zeros_of_both_signs(name: str, values: list[Any]) -> bool:
    return name in FLOATS and values[0] == 0.0 and len({str(value) for value in values}) > 1


def _rounded(value: float, digits: int | None) -> float:
    return float(value) if digits is None else float(f"{value:.{digits}g}")


def column_from_json(name: str, column: Any, length: int) -> Column:
    """The column of one field of n parameters.

    Raises:
        ValueError: It is of another length, or holds what it must not.
    """
    try:
        if not isinstance(column, list):
            return FROM_JSON[KINDS[name]](column)  # type: ignore[no-any-return]
        read = number if name in FLOATS else whole
        if KINDS[name].endswith("| None"):
            values = [None if value is None else read(value) for value in column]
        else:
            values = [read(value) for value in column]
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name}: {error}") from None
    if len(values) != length:
        raise ValueError(f"{name}: expected {length} values; got {len(values)}")
    return values
