"""Which rank counts which elements: each element of the job once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from gradcore.distributed.sharding import Piece, piece_of
from gradcore.errors import DistributedError

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

T = TypeVar("T")
Held: TypeAlias = tuple[str, Piece, tuple[int, ...], str]
"""Name, piece, shape of the whole, and dtype of one parameter on one rank."""


@dataclass(frozen=True, slots=True, eq=False)
class Ownership:
    """The N parameters of the job, and the n that this rank holds something of."""

    names: tuple[str, ...]
    """Of all parameters of the job: those of rank 0 first, then what others have besides."""

    columns: Tensor
    """int64 ``[n]``: where each parameter of this rank stands among them."""

    owned: Tensor
    """Bool ``[n]``: this rank counts what it holds; another rank counts the same elements else."""

    copies: Tensor
    """float64 ``[N]``: ranks that hold the same elements of each."""


def held_by(names: Sequence[str], parameters: Sequence[Tensor]) -> list[Held]:
    """What this rank tells the others of its parameters."""
    return [
        (name, piece_of(tensor), tuple(tensor.shape), str(tensor.dtype))
        for name, tensor in zip(names, parameters, strict=True)
    ]


def gathered(value: T, group: ProcessGroup) -> list[T]:
    """What every rank gave, in the order of ranks."""
    everyone: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(everyone, value, group=group)
    return everyone


def resolve(everyone: Sequence[Sequence[Held]], rank: int) -> Ownership:
    """Parameters of one name are one: each of its pieces is counted by the lowest rank that has it.

    Args:
        everyone: What each rank told.
        rank: This one.

    Raises:
        DistributedError: A name stands for parameters of different shape or dtype.
    """
    kinds: dict[str, tuple[int, tuple[int, ...], str]] = {}
    holders: dict[tuple[str, Piece], list[int]] = {}
    for number, held in enumerate(everyone):
        for name, piece, shape, dtype in held:
            first, *kind = kinds.setdefault(name, (number, shape, dtype))
            if [shape, dtype] != kind:
                raise DistributedError(
                    f"{name!r} is {kind[1]} of shape {list(kinds[name][1])} on rank {first} and "
                    f"{dtype} of shape {list(shape)} on rank {number}. Give different parameters "
                    "different names: Guard(model), or (name, parameter) pairs."
                )
            holders.setdefault((name, piece), []).append(number)
    names = tuple(kinds)
    place = {name: i for i, name in enumerate(names)}
    copies = torch.ones(len(names), dtype=torch.float64)
    for (name, _), ranks in holders.items():
        copies[place[name]] = max(float(copies[place[name]]), len(ranks))
    mine = everyone[rank]
    return Ownership(
        names,
        torch.tensor([place[name] for name, *_ in mine], dtype=torch.int64),
        torch.tensor([holders[n, piece][0] == rank for n, piece, *_ in mine], dtype=torch.bool),
        copies,
    )
