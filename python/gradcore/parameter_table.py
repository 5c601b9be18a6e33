"""What a report says of each parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from gradcore.statistics import ROWS

if TYPE_CHECKING:
    from torch import Tensor

Table = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ParameterReport:
    """One parameter's row of a `Report`; None where nothing was measured."""

    name: str
    numel: int | None
    """Elements of the gradient; None if there was no gradient."""
    norm: float | None
    """Euclidean norm of the finite elements, before clipping."""
    max_abs: float | None
    """Largest finite magnitude."""
    mean: float | None
    """Of the finite elements; of a complex gradient the modulus of the mean."""
    std: float | None
    """Standard deviation of the finite elements as a population, sqrt(E|x|^2 - |E x|^2)."""
    nan: int
    """Elements that are NaN."""
    posinf: int
    """Elements that are +Inf."""
    neginf: int
    """Elements that are -Inf."""
    scale: float
    """The factor that clipping applied to it; the smallest where each unit has its own."""
    parameter_norm: float | None = None
    """Euclidean norm of the finite elements of the parameter itself."""
    lr: float | None = None
    """Learning rate of its group, where the optimizer is known and has one."""


class ParameterTable(Sequence[ParameterReport]):
    """One `ParameterReport` a parameter, in the order of the model, made when it is asked for.

    ``parameter_norms`` and ``rates`` are float64 ``[n]``, NaN where nothing is known; ``table`` may
    be a tensor of the CPU, which becomes an array when it is looked at or copied.
    """

    __slots__ = (
        "_factors",
        "_measured",
        "_names",
        "_parameter_norms",
        "_rates",
        "_replaced",
        "_table",
    )

    def __init__(
        self,
        names: Sequence[str],
        table: Table | Tensor,
        factors: Table,
        measured: frozenset[str],
        *,
        replaced: bool = False,
        parameter_norms: Table | None = None,
        rates: Table | None = None,
    ) -> None:
        self._names = names
        self._table = table
        self._factors = factors
        self._measured = measured
        self._replaced = replaced
        self._parameter_norms = parameter_norms
        self._rates = rates

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> ParameterReport: ...
    @overload
    def __getitem__(self, index: slice) -> list[ParameterReport]: ...
    def __getitem__(self, index: int | slice) -> ParameterReport | list[ParameterReport]:
        if isinstance(index, slice):
            return [self._row(i) for i in range(*index.indices(len(self)))]
        return self._row(range(len(self))[index])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(self._names)

    def column(self, name: str) -> Table:
        """One number of each row without making the rows; see `column`."""
        if name in {"parameter_norm", "lr"}:
            known = self._parameter_norms if name == "parameter_norm" else self._rates
            return np.full(len(self), math.nan) if known is None else known
        if name == "scale":
            return np.broadcast_to(self._factors, len(self))
        numbers = self._rows[ROWS.index("l2" if name == "norm" else name), :-1]
        if name in {"nan", "posinf", "neginf"}:
            return numbers
        return np.where(self._rows[ROWS.index("present"), :-1] > 0, numbers, math.nan)

    @property
    def _rows(self) -> Table:
        if not isinstance(self._table, np.ndarray):
            self._table = self._table.numpy()
        return self._table

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        return None, {name: getattr(self, name) for name in self.__slots__} | {"_table": self._rows}

    def _row(self, i: int) -> ParameterReport:
        values = dict(zip(ROWS, self._rows[:, i].tolist(), strict=True))
        present = values["present"] > 0
        bad = int(values["nan"] + values["posinf"] + values["neginf"])
        # Values that were put in place of non-finite elements are elements like any other.
        finite = int(values["numel"]) - (0 if self._replaced else bad)
        mean = std = None
        if present and "sum" in self._measured and finite > 0:
            mean = (
                math.hypot(values["sum"], values["sum_imag"])
                if values["sum_imag"]
                else values["sum"]
            )
            mean /= finite
            # The mean square may be beyond float64 where the norm is not: divide before squaring.
            root = values["l2"] / math.sqrt(finite)
            ratio = abs(mean) / root if root > 0 else 0.0
            std = root * math.sqrt(max(0.0, 1.0 - ratio * ratio))
        return ParameterReport(
            name=self._names[i],
            numel=int(values["numel"]) if present else None,
            norm=values["l2"] if present else None,
            max_abs=values["max_abs"] if present and "max_abs" in self._measured else None,
            mean=mean,
            std=std,
            nan=int(values["nan"]),
            posinf=int(values["posinf"]),
            neginf=int(values["neginf"]),
            scale=float(self._factors[i] if self._factors.ndim else self._factors),
            parameter_norm=_known(self._parameter_norms, i),
            lr=_known(self._rates, i),
        )


def _known(numbers: Table | None, i: int) -> float | None:
    number = math.nan if numbers is None else float(numbers[i])
    return None if math.isnan(number) else number


def names_of(rows: Sequence[ParameterReport]) -> tuple[str, ...]:
    """Names of the parameters of a report, in its order."""
    return rows.names if isinstance(rows, ParameterTable) else tuple(row.name for row in rows)


def column(rows: Sequence[ParameterReport], name: str) -> Table:
    """One number of each row, fast for many rows: float64 ``[n]``, NaN where a row has None.

    Args:
        rows: ``Report.parameters``.
        name: ``numel``, ``norm``, ``max_abs``, ``nan``, ``posinf``, ``neginf``, ``scale``,
            ``parameter_norm`` or ``lr``.
    """
    if isinstance(rows, ParameterTable):
        return rows.column(name)
    numbers = [getattr(row, name) for row in rows]
    return np.array([math.nan if number is None else number for number in numbers], np.float64)
