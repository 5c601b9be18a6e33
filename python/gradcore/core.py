"""The two native verbs.  The only module that touches the native core."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from gradcore.loading import native
from gradcore.plan import Clamp, Propagate, Replace, Scale, ZeroElements, ZeroParameters
from gradcore.statistics import ALWAYS, NEEDS, OPTIONAL, Statistics
from gradcore.validation import require_order, require_threshold

if TYPE_CHECKING:
    from gradcore.plan import Bound, Repair

REPAIRS: Final[dict[type, int]] = {Propagate: 0, ZeroElements: 1, Replace: 2, ZeroParameters: 3}
"""Numbers of `Repair` in ``cpp/kernels/table.hpp``."""

ONE: Final = torch.ones((), dtype=torch.float64, device="cpu")


def measure(
    parameters: Tensor | Iterable[Tensor],
    needs: Iterable[str] | str = (),
    *,
    overflow: float = math.inf,
    replacement: Replace | None = None,
    norm_type: float = 2.0,
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
            ``"zeros"``, ``"lp"``, ``"parameter_l2"``, or ``"all"``.
        overflow: Elements of which a part is larger than this count as infinite; > 0.
        replacement: Values that stand in for non-finite elements in everything but their counts.
        norm_type: The p of ``lp``: > 0, and finite.

    Returns:
        `Statistics` of n rows on the device of the first gradient, in float64.

    Raises:
        TypeError: A gradient is sparse CSR, quantised, integer, on the meta device, or of a
            subclass that dispatches by itself, like DTensor.
        ValueError: ``needs``, ``overflow`` or ``norm_type`` cannot be.

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
    require_threshold("overflow", overflow)
    if math.isinf(require_order("norm_type", norm_type)) and "lp" in wanted:
        raise ValueError("norm_type must be finite for 'lp'; got inf. Ask for 'max_abs' instead.")
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    table = measure_table(
        tensors, wanted, overflow=overflow, replacement=replacement, norm_type=norm_type
    )
    bad = table[2:5, -1].sum()
    of_parameters = None
    if "parameter_l2" in wanted:
        of_parameters = measure_table(tensors, (), gradients=False)
    return Statistics(table, bad == 0, ALWAYS | wanted, norm_type, of_parameters)


def needed(needs: Iterable[str] | str) -> frozenset[str]:
    """``needs`` as a set of names that are known, ``"all"`` spelt out."""
    wanted = frozenset({needs} if isinstance(needs, str) else needs)
    if "all" in wanted:
        wanted = (wanted - {"all"}) | (frozenset(OPTIONAL))
    if "sum" in wanted:
        wanted |= {"sum_imag"}
    unknown = sorted(wanted - ALWAYS - frozenset(OPTIONAL) - {"sum_imag", "norm", "nonfinite"})
    if unknown:
        raise ValueError(f"needs must be among {', '.join(OPTIONAL)}, all; got {unknown[0]!r}.")
    return wanted


def measure_table(
    tensors: list[Tensor],
    needs: Iterable[str],
    *,
    gradients: bool = True,
    overflow: float = math.inf,
    replacement: Replace | None = None,
    norm_type: float = 2.0,
) -> Tensor:
    """The table of `Statistics`: of the tensors' gradients, or of the tensors themselves."""
    bits = sum(NEEDS.get(name, 0) for name in needs)
    values = _values(replacement)
    if torch.compiler.is_compiling():
        traced = _gradients(tensors) if gradients else tensors
        table: Tensor = torch.ops.gradcore.measure(traced, bits, norm_type, overflow, values)
        return table
    return native.measure(tensors, gradients, bits, norm_type, overflow, values)


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
) -> None:
    """Carry out a bound and a repair on the tensors' gradients, or on the tensors themselves.

    ``table`` is what `measure_table` said of the same list with the same ``overflow``.  One pass
    over the gradients that need it, none over the others; nothing at all where ``skip`` is true.
    ``factors`` multiply, before the bound, where that is not a `Scale` itself.
    """
    factors = bound.factors if isinstance(bound, Scale) else factors
    factors = ONE if factors is None else factors.to(torch.float64)
    limit = bound.limit if isinstance(bound, Clamp) else math.inf
    values = _values(repair if isinstance(repair, Replace) else None)
    mode = REPAIRS[type(repair)]
    if torch.compiler.is_compiling():
        traced = _gradients(tensors) if gradients else tensors
        torch.ops.gradcore.apply_(traced, table, factors, skip, mode, values, overflow, limit)
    else:
        native.apply_(tensors, gradients, table, factors, skip, mode, values, overflow, limit)


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
