"""Units of gradients for tests: the same numbers in every layout, and slices for the oracle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

import gradients
import oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _gaps(plain: Tensor) -> Tensor:
    shape = (*plain.shape[:-1], 2 * plain.shape[-1])
    wide = torch.full(shape, math.nan, dtype=torch.float64).to(plain.dtype)
    wide[..., ::2] = plain
    return wide[..., ::2]


def _backwards(plain: Tensor) -> Tensor:
    order = tuple(reversed(range(plain.ndim)))
    return plain.permute(order).contiguous().permute(order)


def _middle_first(plain: Tensor) -> Tensor:
    """Memory in the order of dimensions 1, 0, 2, ...: runs of a unit that come back."""
    return plain.transpose(0, 1).contiguous().transpose(0, 1)


def _sparse(dimensions: int) -> Callable[[Tensor], Tensor]:
    def build(plain: Tensor) -> Tensor:
        if plain.dtype is torch.complex32:
            return plain  # torch cannot coalesce it
        rows = plain.reshape(*plain.shape[:dimensions], -1)
        indices = (rows != 0).any(-1).nonzero().t()
        values = plain[tuple(indices)]
        return torch.sparse_coo_tensor(
            indices, values, plain.shape, is_coalesced=True, check_invariants=True
        )

    return build


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda plain: plain,
    "backwards": _backwards,
    "middle first": _middle_first,
    "channels_last": lambda plain: (
        plain.contiguous(memory_format=torch.channels_last) if plain.ndim == 4 else plain
    ),
    "gaps": _gaps,
    "expanded units": lambda plain: plain[:1].expand_as(plain),
    "expanded within units": lambda plain: plain[:, :1].expand_as(plain),
    "expanded in both": lambda plain: plain[:1, :1].expand_as(plain),
    "conjugated": lambda plain: plain.conj(),
    "sparse rows": _sparse(1),
    "sparse": _sparse(2),
}


def slices(tensor: Tensor, axis: int = 0) -> list[Tensor]:
    """The units of a tensor, as views of its own memory unless it is sparse."""
    if tensor.ndim < 2:
        return [tensor]
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.coalesce().to_dense()
    return list(tensor.unbind(axis))


def norms(
    tensor: Tensor,
    axis: int = 0,
    *,
    overflow: float = math.inf,
    replacement: oracle.Replacement | None = None,
) -> list[float]:
    """The norm of each unit in exact arithmetic, rounded once."""
    form = gradients.FORMATS[tensor.dtype]
    return [
        oracle.facts(gradients.elements(unit), form, overflow=overflow, replacement=replacement).l2
        for unit in slices(tensor, axis)
    ]


def scaled(tensor: Tensor, factors: Sequence[float], axis: int = 0) -> list[list[oracle.Element]]:
    """The elements of each unit times its factor."""
    form = gradients.FORMATS[tensor.dtype]
    return [
        [oracle.scaled(element, factor, form) for element in gradients.elements(unit)]
        for unit, factor in zip(slices(tensor, axis), factors, strict=True)
    ]


def shaped(values: Sequence[complex], shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """These values over and over, until the shape is full."""
    count = math.prod(shape)
    return gradients.make([values[i % len(values)] for i in range(count)], dtype).reshape(shape)
