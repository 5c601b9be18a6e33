"""Non-finite elements of gradients, or of parameters, repaired in place."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor, nn

from gradcore import core
from gradcore.parameters import listed
from gradcore.plan import Keep, Replace, ZeroElements
from gradcore.report import Counts

LARGEST = 1.7976931348623157e308
"""What `torch.nan_to_num` gives an infinite float64; narrower dtypes saturate to their own."""


def repair_(
    parameters: Tensor | Iterable[Tensor],
    *,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Counts:
    """Repair the gradients of ``parameters`` in place.

    Without values every non-finite element becomes zero, a complex one as a whole.  With any value
    each part of a complex element is treated by itself, as in `torch.nan_to_num`; a value not given
    is 0 for NaN and the largest finite number of the dtype for infinities.

    Args:
        parameters: Tensors whose ``.grad`` is repaired, of any dtype and layout `measure` takes.
        nan: Stands in for NaN; finite.
        posinf: Stands in for +Inf; finite, saturated to the gradient's dtype.
        neginf: Stands in for -Inf; finite, saturated to the gradient's dtype.

    Returns:
        How many elements were NaN, +Inf and -Inf before.  Gradients without any are not written.

    Raises:
        TypeError: A gradient is of a kind that `measure` does not take.
        ValueError: A value is not finite.
    """
    return _repair(listed(parameters), True, nan, posinf, neginf)


def repair_parameters_(
    parameters: nn.Module | Tensor | Iterable[Tensor],
    *,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Counts:
    """Repair the parameters themselves in place, of a module or given one by one, as `repair_`."""
    tensors = parameters.parameters() if isinstance(parameters, nn.Module) else parameters
    return _repair(listed(tensors), False, nan, posinf, neginf)


def _repair(
    tensors: list[Tensor],
    gradients: bool,
    nan: float | None,
    posinf: float | None,
    neginf: float | None,
) -> Counts:
    verb: ZeroElements | Replace = ZeroElements()
    if not (nan is None and posinf is None and neginf is None):
        verb = Replace(
            nan=_finite("nan", nan, 0.0),
            posinf=_finite("posinf", posinf, LARGEST),
            neginf=_finite("neginf", neginf, -LARGEST),
        )
    table = core.measure_table(tensors, (), gradients=gradients)
    core.apply_(tensors, table, Keep(), verb, gradients=gradients)
    return Counts(*(int(count) for count in table[2:5, -1].tolist()))


def _finite(name: str, value: float | None, default: float) -> float:
    if value is None:
        return default
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite; got {value}.")
    return float(value)
