"""Drop-in functions for those of `torch.nn.utils`, right where they are wrong."""

from __future__ import annotations

import math
import warnings
from collections.abc import Generator, Iterable
from typing import Final, Literal

import torch
from torch import Tensor

from gradcore import core
from gradcore.distributed.sharding import is_sharded
from gradcore.errors import NonfiniteGradientError
from gradcore.joint_norm import any_sharded, measured
from gradcore.parameters import listed
from gradcore.plan import Clamp, Keep, Propagate, Scale, ZeroElements
from gradcore.statistics import ROWS

Nonfinite = Literal["propagate", "zero", "raise", "skip"]

POLICIES: Final = ("propagate", "zero", "raise", "skip")
EPSILON: Final = 1e-6
"""torch divides by the norm plus this, and so do the drop-in functions."""

LARGEST: Final = torch.finfo(torch.float64).max


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
    *,
    nonfinite: Nonfinite = "propagate",
) -> Tensor:
    """Scale gradients in place so that their joint norm is at most ``max_norm``.

    Like `torch.nn.utils.clip_grad_norm_`, with the differences that the norm neither overflows nor
    underflows nor loses precision on the way, that gradients within the bound keep every bit, and
    that memory listed twice is counted and scaled once.  The factor is
    ``max_norm / (norm + 1e-6)``, as in torch, in float64.  The norm of 16-bit gradients is returned
    in float32; orders not above 0 and a negative ``max_norm``, which have no use, are errors.

    Args:
        parameters: Tensors whose gradients are clipped: one, several, or a generator.
        max_norm: Largest norm allowed, >= 0; infinity measures and changes nothing.
        norm_type: Order p of the norm: > 0, infinity too.
        error_if_nonfinite: Raise if there is a NaN or infinite element.
        foreach: Accepted for compatibility; there is one implementation.
        nonfinite: What to do about NaN and infinite elements: ``"propagate"`` as torch does (one
            NaN makes everything NaN, an Inf makes the finite elements zero), ``"zero"`` them and
            clip the rest, ``"raise"``, or ``"skip"``: leave the gradients as they are.

    DTensors are taken as a whole, on all ranks of their mesh at once, by one all-reduce.

    Returns:
        The norm before clipping, 0-d and no DTensor, on the device of the first gradient: float64
        if a gradient is, else float32, where a norm beyond its range is ``inf`` although clipping
        is right.  With ``"zero"`` it is of the finite elements, else NaN or infinite if one is.

    Raises:
        RuntimeError: There are non-finite elements and ``error_if_nonfinite``.
        NonfiniteGradientError: There are and ``nonfinite="raise"``.
        DistributedError: Ranks cannot measure together; the same on all of them.
        TypeError: A gradient is of a kind that `measure` does not take.
        ValueError: ``max_norm`` is negative or NaN, or another option cannot be.
    """
    del foreach
    bound = _bound("max_norm", max_norm)
    if nonfinite not in POLICIES:
        raise ValueError(f"nonfinite must be one of {', '.join(POLICIES)}; got {nonfinite!r}.")
    tensors = _listed(parameters)
    if not tensors:
        return torch.tensor(0.0)
    arguments = {"max_norm": bound, "norm_type": norm_type, "nonfinite": nonfinite}
    joint = measured(tensors, norm_type, arguments, gradients=True)
    seen = joint.norm if nonfinite == "zero" else joint.tainted(joint.norm)
    if error_if_nonfinite or nonfinite == "raise":
        _raise_if_nonfinite(joint.table, norm_type, error_if_nonfinite=error_if_nonfinite)
    # The norm of finite elements may be beyond float64: then they are not to become zero.
    divisor = joint.norm.clamp(max=LARGEST)
    if nonfinite != "zero":
        divisor = joint.tainted(divisor)
    core.apply_(
        joint.pieces,
        joint.own,
        Scale(_factor(bound, divisor)) if bound < math.inf else Keep(),
        ZeroElements() if nonfinite == "zero" else Propagate(),
        skip=joint.totals.nonfinite if nonfinite == "skip" else None,
    )
    return seen.to(_result_type(tensors, gradients=True))


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Bring every element of the gradients into [-clip_value, clip_value], in place.

    Like `torch.nn.utils.clip_grad_value_`; a complex element, which torch refuses, keeps its phase.
    NaN stays NaN, infinities become the bound.  Gradients within it are not written.  Of a DTensor
    every rank brings what it holds.

    Raises:
        TypeError: A gradient is of a kind that `measure` does not take.
        ValueError: ``clip_value`` is negative or NaN.
    """
    del foreach
    limit = _bound("clip_value", clip_value)
    tensors = listed(parameters)
    if any_sharded(tensors):
        from gradcore.distributed.together import summed_pieces_of  # noqa: PLC0415 - see `measured`

        tensors = summed_pieces_of(tensors)
    table = core.measure_table(tensors, ("max_abs",))
    core.apply_(tensors, table, Clamp(limit), Propagate())


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of ``tensors`` (not of their gradients) as if they were one vector.

    Like `torch.nn.utils.get_total_norm`, exact as `measure` is.

    Returns:
        0-d, on the device of the first tensor, float64 if one is, else float32.

    Raises:
        RuntimeError: There are non-finite elements and ``error_if_nonfinite``.
        TypeError: A tensor is of a kind that `measure` does not take.
        ValueError: ``norm_type`` is not > 0.
    """
    del foreach
    listed_tensors = listed(tensors)
    if not listed_tensors:
        return torch.tensor(0.0)
    arguments = {"norm_type": norm_type}
    joint = measured(listed_tensors, norm_type, arguments, gradients=False)
    if error_if_nonfinite:
        _raise_if_nonfinite(joint.table, norm_type, error_if_nonfinite=True)
    return joint.tainted(joint.norm).to(_result_type(listed_tensors, gradients=False))


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Scale gradients in place by ``max_norm / (total_norm + 1e-6)``, if that is below 1.

    Like `torch.nn.utils.clip_grads_with_norm_`; a factor of 1 changes no bit.

    Args:
        parameters: Tensors whose gradients are scaled.
        max_norm: Largest norm allowed, >= 0.
        total_norm: Their norm, 0-d.  NaN makes everything NaN, infinity makes it zero.
        foreach: Accepted for compatibility.

    Raises:
        TypeError: A gradient is of a kind that `measure` does not take.
        ValueError: ``max_norm`` is negative or NaN.
    """
    del foreach
    bound = _bound("max_norm", max_norm)
    tensors = listed(parameters)
    if any_sharded(tensors):
        from gradcore.distributed.together import shards_of  # noqa: PLC0415 - see `measured`

        shards = shards_of(tensors)
        shards.take_gradients()  # what is still to be summed up scales like its sum
        tensors = shards.tensors
    if is_sharded(total_norm):
        total_norm = total_norm.full_tensor()
    norm = torch.as_tensor(total_norm, dtype=torch.float64).detach()
    # Nothing was measured: no element is known to need repair, none is repaired.
    table = torch.zeros(len(ROWS), len(tensors) + 1, dtype=torch.float64, device=norm.device)
    core.apply_(tensors, table, Scale(_factor(bound, norm)), Propagate())


def _raise_if_nonfinite(table: Tensor, norm_type: float, *, error_if_nonfinite: bool) -> None:
    bad = table[2:5].sum(0)
    total = int(bad[-1])
    if total == 0:
        return
    where = ", ".join(str(i) for i in bad[:-1].nonzero().flatten().tolist()[:5])
    what = f"{total} of {int(table[1, -1])} elements are NaN or infinite, in tensors number {where}"
    if error_if_nonfinite:
        raise RuntimeError(
            f"The total norm of order {norm_type} is non-finite: {what}. Set "
            'error_if_nonfinite=False to go on, or nonfinite="zero" to repair them.'
        )
    raise NonfiniteGradientError(f'{what}. Repair them with nonfinite="zero".')


def _factor(bound: float, norm: Tensor) -> Tensor:
    return torch.full_like(norm, bound).div_(norm + EPSILON).clamp_(max=1.0)


def _bound(name: str, value: float) -> float:
    number = float(value)
    if not number >= 0.0:
        raise ValueError(f"{name} must be at least 0; got {value}.")
    return number


def _listed(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    tensors = listed(parameters)
    if not tensors and isinstance(parameters, Generator):
        warnings.warn(
            "`parameters` is an empty generator: no gradient will be clipped.", stacklevel=3
        )
    return tensors


def _result_type(tensors: list[Tensor], *, gradients: bool) -> torch.dtype:
    return torch.float64 if core.any_wide(tensors, gradients=gradients) else torch.float32
