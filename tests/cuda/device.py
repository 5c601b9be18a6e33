"""Gradients on the device, and the two operators as the tests call them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

import gradcore
import gradients

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

PROPAGATE, ZERO_ELEMENTS, REPLACE, ZERO_PARAMETERS = range(4)
NAN, POSINF, NEGINF, L2 = 2, 3, 4, 5
assert gradcore  # importing it registers the operators


def measure(
    tensors: Sequence[Tensor],
    needs: int = 0,
    norm_type: float = 2.0,
    overflow: float = math.inf,
    replacement: Sequence[float] | None = None,
) -> Tensor:
    """The table of ``tensors``, on their device."""
    return torch.ops.gradcore.measure(list(tensors), needs, norm_type, overflow, replacement)


def apply_(
    tensors: Sequence[Tensor],
    table: Tensor,
    factors: float | Sequence[float] | Tensor = 1.0,
    *,
    skip: Tensor | None = None,
    repair: int = PROPAGATE,
    replacement: Sequence[float] | None = None,
    overflow: float = math.inf,
    limit: float = math.inf,
) -> None:
    """Rewrite ``tensors``; factors that are numbers are put on the device of the table."""
    if not isinstance(factors, torch.Tensor):
        factors = torch.tensor(factors, dtype=torch.float64, device=table.device)
    torch.ops.gradcore.apply_(
        list(tensors), table, factors, skip, repair, replacement, overflow, limit
    )


def on_device(tensor: Tensor, offset: int = 0) -> Tensor:
    """A flat copy on the device, ``offset`` elements behind an aligned address, between NaNs."""
    parts = torch.view_as_real(tensor) if tensor.dtype.is_complex else tensor[:, None]
    width = parts.shape[1]
    memory = torch.full(
        (offset + len(tensor) + 8, width), math.nan, dtype=parts.dtype, device="cuda"
    )
    memory[offset : offset + len(tensor)] = parts.cuda()
    if tensor.dtype.is_complex:
        return torch.view_as_complex(memory)[offset : offset + len(tensor)]
    return memory[offset : offset + len(tensor), 0]


def random_gradient(dtype: torch.dtype, numel: int, *, faults: bool = False) -> Tensor:
    """A flat gradient on the CPU, with zeros, huge and tiny values; some NaN and Inf if asked."""
    part = gradients.PART.get(dtype, dtype)
    count = numel * (2 if dtype.is_complex else 1)
    values = torch.randn(count, dtype=torch.float64)
    kind = torch.randint(0, 60, (count,))
    values[kind == 0] = 0.0
    numbers = values.to(part)
    if faults:
        for index, fault in enumerate((math.nan, math.inf, -math.inf), start=1):
            numbers[kind == index] = fault
        numbers[kind == 4] = torch.finfo(part).max
        numbers[kind == 5] = torch.finfo(part).smallest_normal
    return torch.view_as_complex(numbers.reshape(-1, 2)) if dtype.is_complex else numbers


def numbers(tensor: Tensor) -> Tensor:
    """The parts of a tensor in float64 on the CPU, flat."""
    tensor = tensor.detach().cpu().reshape(-1)
    if tensor.dtype.is_complex:
        tensor = torch.view_as_real(tensor).reshape(-1)
    return tensor.to(torch.float64)


def same_numbers(one: Tensor, other: Tensor) -> bool:
    """Equal part by part with the signs of zeros; any NaN equals any other."""
    a, b = numbers(one), numbers(other)
    both_nan = a.isnan() & b.isnan()
    same = (a == b) & (a.signbit() == b.signbit())
    return bool((both_nan | same).all())


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Equal byte for byte."""
    return gradients.bits(one.cpu()) == gradients.bits(other.cpu())


def close(table: Tensor, reference: Tensor, relative: float) -> None:
    """Assert that two tables agree: counts exactly, norms to ``relative``, sums to that of l1."""
    got, want = table.cpu(), reference.cpu()
    for row in (0, 1, NAN, POSINF, NEGINF, 10):
        torch.testing.assert_close(got[row], want[row], rtol=0, atol=0, equal_nan=True)
    for row in (L2, 6, 7, 11):
        torch.testing.assert_close(got[row], want[row], rtol=relative, atol=1e-320, equal_nan=True)
    for row in (8, 9):
        off = (got[row] - want[row]).abs()
        finite = want[6].isfinite() & want[row].isfinite()
        assert (off <= relative * want[6])[finite].all()
        assert (got[row].isnan() == want[row].isnan())[want[6].isfinite()].all()
