"""What one read of the gradients yields: a few small tensors, one row a parameter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from torch import Tensor

    from gradcore.totals import Totals
    from gradcore.units import Units

ROWS: Final = (
    "present",
    "numel",
    "nan",
    "posinf",
    "neginf",
    "l2",
    "l1",
    "max_abs",
    "sum",
    "sum_imag",
    "zeros",
    "lp",
)
"""Rows of the native table, in order: ``cpp/kernels/table.hpp`` says the same."""

ALWAYS: Final = frozenset(ROWS[:6])

NEEDS: Final = {"l1": 1, "max_abs": 2, "sum": 4, "zeros": 8, "lp": 16}
"""What can be asked for in ``needs`` and the native bit of each."""

OF_UNITS: Final = ("unit_l2", "parameter_unit_l2")
"""What is asked for likewise and measured of each unit rather than each parameter."""

OPTIONAL: Final = (*NEEDS, "parameter_l2", *OF_UNITS)

COMPANIONS: Final = {"sum_imag": "sum", "units": "unit_l2"}
"""What cannot be asked for by itself, and what it comes with."""


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """Facts about the gradients of n parameters, on the device of the first gradient.

    Every number describes the finite elements alone, so none is ever NaN; how many were not finite
    stands beside it.  Where a policy replaces non-finite elements by values, the replacements count
    as elements.  A parameter without a gradient has a row of zeros.
    """

    table: Tensor
    """float64 ``[len(ROWS), n + 1]``; the last column is of all gradients taken as one vector."""

    trusted: Tensor
    """0-d bool: gradients, loss and, if looked at, parameters are finite: memory may learn."""

    measured: frozenset[str] = ALWAYS
    """Names of the rows that were measured and of what is in none, and ``"parameter_nonfinite"`` if
    the parameters themselves are looked at."""

    norm_type: float = 2.0
    """The p of ``lp``."""

    parameters_table: Tensor | None = None
    """The same table of the parameters themselves, if ``parameter_l2`` was asked for."""

    loss: Tensor | None = None
    """The loss: float64, 0-d, perhaps not finite; None where none was given."""

    per_unit: Units | None = None
    """Norms of units, if ``unit_l2`` or ``parameter_unit_l2`` was asked for."""

    _known: Totals | None = field(default=None, init=False, repr=False)
    """What `know` was told; what `dataclasses.replace` makes of these works it out again."""

    def know(self, totals: Totals) -> None:
        """Be told, by who has just measured, what would take an operation of torch each."""
        object.__setattr__(self, "_known", totals)

    @property
    def untrusted(self) -> Tensor:
        """0-d bool: something is not finite, or the step is going to be skipped: not `trusted`."""
        return ~self.trusted if self._known is None else self._known.nonfinite

    def totals(self) -> list[float]:
        """The last column of the table as plain numbers; waits for a device."""
        known = None if self._known is None else self._known.numbers
        return self.table[:, -1].tolist() if known is None else known

    @property
    def learnable(self) -> Tensor:
        """0-d bool: trusted, and there is a norm, neither 0 nor infinite, to be remembered.

        Nothing follows from a step without gradients, and memory of zeros would bound all to zero.
        """
        return self.trusted & (self.norm > 0) & self.norm.isfinite()

    def row(self, name: str) -> Tensor:
        """One row of the table without its total: float64 ``[n]``.

        Raises:
            AttributeError: It was not measured.
        """
        self._require(name)
        return self.table[ROWS.index(name), :-1]

    def total(self, name: str) -> Tensor:
        """One statistic of all gradients taken as one vector: float64, 0-d.

        Raises:
            AttributeError: It was not measured.
        """
        self._require(name)
        return self.norm if name == "l2" else self.table[ROWS.index(name), -1]

    @property
    def present(self) -> Tensor:
        """Bool ``[n]``: the parameter has a gradient."""
        return self.row("present") > 0

    @property
    def numel(self) -> Tensor:
        """Elements of each gradient, a complex one counts once; float64 ``[n]``, whole numbers."""
        return self.row("numel")

    @property
    def nan(self) -> Tensor:
        """Elements that are NaN (complex: either part); float64 ``[n]``, whole numbers."""
        return self.row("nan")

    @property
    def posinf(self) -> Tensor:
        """Elements that are +Inf (complex: no part NaN, a part +Inf); float64 ``[n]``."""
        return self.row("posinf")

    @property
    def neginf(self) -> Tensor:
        """Elements that are -Inf (complex: no part NaN or +Inf, a part -Inf); float64 ``[n]``."""
        return self.row("neginf")

    @property
    def nonfinite(self) -> Tensor:
        """Elements that are NaN or infinite; float64 ``[n]``, whole numbers."""
        return self.nan + self.posinf + self.neginf

    @property
    def parameter_nonfinite(self) -> Tensor:
        """Elements of each parameter itself that are NaN or infinite; float64 ``[n]``.

        Raises:
            AttributeError: The guard was not told to look at parameters.
        """
        if "parameter_nonfinite" not in self.measured or self.parameters_table is None:
            raise AttributeError(
                "parameter_nonfinite was not measured: make the guard with check_parameters=True."
            )
        return self.parameters_table[2:5, :-1].sum(0)

    @property
    def nonfinite_share(self) -> Tensor:
        """Elements that are not finite, of all: 0-d float64 in [0, 1].

        Of the gradients, or of the parameters where those were looked at and more is lost.
        """
        share = self.table[2:5, -1].sum() / self.table[1, -1].clamp(min=1.0)
        if "parameter_nonfinite" in self.measured and self.parameters_table is not None:
            numel = self.parameters_table[1, -1].clamp(min=1.0)
            share = share.maximum(self.parameters_table[2:5, -1].sum() / numel)
        return share

    @property
    def l2(self) -> Tensor:
        """Euclidean norm of each gradient's finite elements; float64 ``[n]``."""
        return self.row("l2")

    @property
    def norm(self) -> Tensor:
        """Euclidean norm of all finite elements together; float64, 0-d."""
        return self.table[5, -1] if self._known is None else self._known.total

    @property
    def l1(self) -> Tensor:
        """Sum of magnitudes; float64 ``[n]``."""
        return self.row("l1")

    @property
    def max_abs(self) -> Tensor:
        """Largest magnitude; float64 ``[n]``, 0 for no elements."""
        return self.row("max_abs")

    @property
    def sum(self) -> Tensor:
        """Sum of the elements, of a complex gradient of the real parts; float64 ``[n]``."""
        return self.row("sum")

    @property
    def sum_imag(self) -> Tensor:
        """Sum of the imaginary parts, 0 if real; float64 ``[n]``.  Comes with ``sum``."""
        return self.row("sum_imag")

    @property
    def zeros(self) -> Tensor:
        """Elements that are exactly zero (complex: both parts); float64 ``[n]``, whole numbers."""
        return self.row("zeros")

    @property
    def lp(self) -> Tensor:
        """Norm of order ``norm_type`` of each gradient; float64 ``[n]``."""
        return self.row("lp")

    @property
    def parameter_l2(self) -> Tensor:
        """Euclidean norm of each parameter itself; float64 ``[n]``."""
        if self.parameters_table is None:
            self._require("parameter_l2")
        return cast("Tensor", self.parameters_table)[5, :-1]

    @property
    def units(self) -> Tensor:
        """Units of each parameter; int64 ``[n]``.  Comes with ``unit_l2`` and its twin."""
        if self.per_unit is None:
            self._require("units")
        return cast("Units", self.per_unit).counts

    @property
    def unit_l2(self) -> Tensor:
        """Euclidean norm of each unit of each gradient, one gradient after the other.

        float64 ``[U]``; of a parameter without a gradient the units have norm 0.
        """
        self._require("unit_l2")
        return cast("Tensor", cast("Units", self.per_unit).l2)

    @property
    def parameter_unit_l2(self) -> Tensor:
        """Euclidean norm of each unit of each parameter itself; float64 ``[U]``."""
        self._require("parameter_unit_l2")
        return cast("Tensor", cast("Units", self.per_unit).parameter_l2)

    def _require(self, name: str) -> None:
        if name not in self.measured:
            known = ", ".join(sorted(ALWAYS)) + ", " + ", ".join(OPTIONAL)
            if name not in {*ROWS, *OPTIONAL, *COMPANIONS}:
                raise AttributeError(f"There is no statistic {name!r}. Known: {known}.")
            asked = COMPANIONS.get(name, name)
            raise AttributeError(f"{name} was not measured: add {asked!r} to `needs`.")
