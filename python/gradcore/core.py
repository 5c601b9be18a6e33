"""The two native verbs.  The only module that touches the native core."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from gradcore.capturing import refuse_in_a_graph
from gradcore.loading import native
from gradcore.needs import bits_of, needed, require_options
from gradcore.plan import (
    Clamp,
    Propagate,
    Replace,
    Scale,
    ScaleUnits,
    ZeroElements,
    ZeroParameters,
)
from gradcore.statistics import ALWAYS, ROWS, Statistics
from gradcore.totals import Totals
from gradcore.units import Units, counts_of

if TYPE_CHECKING:
    from gradcore.plan import Bound, Repair

REPAIRS: Final[dict[type, int]] = {Propagate: 0, ZeroElements: 1, Replace: 2, ZeroParameters: 3}
"""Numbers of `Repair` in ``cpp/kernels/table.hpp``."""

WIDE: Final = frozenset({torch.float64, torch.complex128})

CPU: Final = torch.device("cpu")

ONE: Final = torch.ones((), dtype=torch.float64, device=CPU)


def measure(
    parameters: Tensor | Iterable[Tensor],
    needs: Iterable[str] | str = (),
    *,
    overflow: float = math.inf,
    replacement: Replace | None = None,
    norm_type: float = 2.0,
    unit_axis: int = 0,
) -> Statistics:
    """Read the gradient of every parameter once and say what is in it.

    Nothing overflows or underflows on the way.  The relative error of a norm is at most 1e-12
    against exact arithmetic for float32 and wider dtypes, 1e-6 for 16-bit ones; results are the
    same bits whatever the number of threads.  Memory that is listed twice counts once.

    Args:
        parameters: A tensor, or n of them, whose ``.grad`` is looked at; None means no gradient.
            A gradient may be float16, bfloat16, float32, float64, complex32, complex64 or
            complex128, of any shape and strides, or sparse COO, which is coalesced first (in the
            parameter, once).
        needs: Names of statistics beyond those always there: ``"l1"``, ``"max_abs"``, ``"sum"``,
            ``"zeros"``, ``"lp"``, ``"parameter_l2"``, ``"unit_l2"``, ``"parameter_unit_l2"``, or
            ``"all"``: every one, which reads the parameters too and takes 8 bytes a unit.
        overflow: Elements of which a part is larger than this count as infinite; > 0.
        replacement: Values that stand in for non-finite elements in everything but their counts.
        norm_type: The p of ``lp``: > 0, and finite.
        unit_axis: The axis whose indices are the units of a parameter, if it has more than one; may
            count from the end.

    Returns:
        `Statistics` of n rows on the device of the first gradient, in float64.

    Raises:
        TypeError: A gradient is sparse CSR, quantised, integer, on the meta device, or of a
            subclass that dispatches by itself, like DTensor.
        ValueError: ``needs``, ``overflow`` or ``norm_type`` cannot be, or a parameter of two
            dimensions or more has no ``unit_axis``.

    Source:
        J. L. Blue, "A Portable Fortran Program to Find the Euclidean Norm of a Vector", ACM TOMS
        4(1), 1978, for the scaling.  A complex element counts as ``|z|^2 = re^2 + im^2``.

    Example:
        >>> weight = torch.zeros(2, requires_grad=True)
        >>> weight.grad = torch.tensor([3e20, 4e20])
        >>> measure([weight]).norm
        tensor(5.0000e+20, dtype=torch.float64)
    """
    wanted = needed(needs)
    require_options(wanted, overflow, norm_type)
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return measure_checked(
        tensors, wanted, overflow, replacement, norm_type=norm_type, unit_axis=unit_axis
    )


def measure_checked(
    tensors: list[Tensor],
    wanted: frozenset[str],
    overflow: float,
    replacement: Replace | None,
    *,
    norm_type: float,
    unit_axis: int,
) -> Statistics:
    """`measure` for callers that have looked at the options once, with names as of `needed`."""
    options = overflow, replacement, norm_type
    of_parameters = norms = norms_of_parameters = counts = None
    if "unit_l2" in wanted:
        table, norms, counts = measure_units(tensors, wanted, *options, unit_axis=unit_axis)
    else:
        table = measure_table(tensors, wanted, *options)
    if "parameter_unit_l2" in wanted:
        of_parameters, norms_of_parameters, counts = measure_units(
            tensors, (), unit_axis=unit_axis, gradients=False
        )
    elif "parameter_l2" in wanted:
        of_parameters = measure_table(tensors, (), gradients=False)
    known = totals(table, "l2")
    statistics = Statistics(
        table,
        known.finite,
        ALWAYS | wanted if wanted else ALWAYS,
        norm_type,
        of_parameters if "parameter_l2" in wanted else None,
        per_unit=None if counts is None else Units(counts, norms, norms_of_parameters),
    )
    statistics.know(known)
    return statistics


def measure_table(
    tensors: list[Tensor],
    needs: Iterable[str],
    overflow: float = math.inf,
    replacement: Replace | None = None,
    norm_type: float = 2.0,
    *,
    gradients: bool = True,
) -> Tensor:
    """The table of `Statistics`: of the tensors' gradients, or of the tensors themselves."""
    options = (bits_of(needs), norm_type, overflow, _values(replacement))
    if torch.compiler.is_compiling():
        traced = _gradients(tensors) if gradients else tensors
        table: Tensor = torch.ops.gradcore.measure(traced, *options)
        return table
    return native.measure(tensors, gradients, *options)


def measure_units(
    tensors: list[Tensor],
    needs: Iterable[str],
    overflow: float = math.inf,
    replacement: Replace | None = None,
    norm_type: float = 2.0,
    *,
    unit_axis: int,
    gradients: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """From the same read the table, the norms of all units, and how many each tensor has."""
    options = (bits_of(needs), norm_type, overflow, _values(replacement))
    if torch.compiler.is_compiling():
        traced = _gradients(tensors) if gradients else tensors
        counts = counts_of(tensors, unit_axis)
        table, norms = torch.ops.gradcore.measure_units(traced, counts, unit_axis, *options)
        return table, norms, torch.tensor(counts, device=norms.device)
    refuse_in_a_graph("Norms of units")  # how many there are is copied to the device
    table, norms, units = native.measure_units(tensors, gradients, unit_axis, *options)
    return table, norms, units.to(norms.device, non_blocking=not norms.is_cpu)


def totals(table: Tensor, row: str) -> Totals:
    """What a table, as `measure_table` gave it, says of everything; one row is of interest."""
    number = ROWS.index(row)
    if table.is_cpu and not torch.compiler.is_compiling():
        numbers: list[float] = table.numpy()[:, -1].tolist()  # fewer operations of torch
        bad = any(numbers[2:5])
        return Totals(
            torch.scalar_tensor(not bad, dtype=torch.bool, device=CPU),
            torch.scalar_tensor(bad, dtype=torch.bool, device=CPU),
            torch.scalar_tensor(numbers[number], dtype=torch.float64, device=CPU),
            numbers,
        )
    count = table[2:5, -1].sum()
    return Totals(count == 0, count > 0, table[number, -1])


def apply_(
    tensors: list[Tensor],
    table: Tensor,
    bound: Bound,
    repair: Repair,
    *,
    gradients: bool = True,
    factors: Tensor | None = None,
    skip: Tensor | None = None,
    overflow: float = math.inf,
    unit_axis: int = 0,
) -> None:
    """Carry out a bound and a repair on the tensors' gradients, or on the tensors themselves.

    ``table`` is what `measure_table` said of the same list with the same ``overflow``.  One pass
    over the gradients that need it, none over the others; nothing at all where ``skip`` is true.
    ``factors`` multiply, before the bound, where that is no `Scale` itself; ``unit_axis`` is that
    of `ScaleUnits`.
    """
    values = _values(repair if isinstance(repair, Replace) else None)
    mode = REPAIRS[type(repair)]
    compiling = torch.compiler.is_compiling()
    traced = _gradients(tensors) if gradients and compiling else tensors
    if isinstance(bound, ScaleUnits):
        each = bound.factors.to(torch.float64)
        rest = (skip, mode, values, overflow)
        if compiling:
            units = counts_of(tensors, unit_axis)
            torch.ops.gradcore.apply_units_(traced, table, each, units, unit_axis, *rest)
        else:
            native.apply_units_(tensors, gradients, unit_axis, table, each, *rest)
        return
    factors = bound.factors if isinstance(bound, Scale) else factors
    factors = ONE if factors is None else factors.to(torch.float64)
    limit = bound.limit if isinstance(bound, Clamp) else math.inf
    if compiling:
        torch.ops.gradcore.apply_(traced, table, factors, skip, mode, values, overflow, limit)
    else:
        native.apply_(tensors, gradients, table, factors, skip, mode, values, overflow, limit)


def any_wide(tensors: list[Tensor], *, gradients: bool) -> bool:
    """Whether a tensor is float64 or complex128, and has a gradient if it is about those."""
    if torch.compiler.is_compiling():
        return any(t.dtype in WIDE and not (gradients and t.grad is None) for t in tensors)
    return native.any_wide(tensors, gradients)


def check_supported(tensor: Tensor) -> None:
    """Raise the `TypeError` that `measure` would, if it would."""
    native.check_supported(tensor)


def _gradients(tensors: list[Tensor]) -> list[Tensor]:
    # An operator takes no None: an empty tensor keeps the place.
    return [t.new_empty(0) if t.grad is None else t.grad for t in tensors]


def _values(replacement: Replace | None) -> list[float] | None:
    if replacement is None:
        return None
    return [replacement.nan, replacement.posinf, replacement.neginf]
