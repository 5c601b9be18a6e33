"""Which rank counts which elements: each element of the job once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from gradcore.distributed.sharding import Piece, piece_of, pieces_of
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

    divided: Tensor
    """float64 ``[N]``: elements of each that lies in pieces on several ranks; 0 for others."""


def held_by(names: Sequence[str], parameters: Sequence[Tensor]) -> list[Held]:
    """What this rank tells the others of its parameters."""
    return [
        (name, piece_of(tensor), tuple(tensor.shape), str(tensor.dtype))
        for name, tensor in zip(names, parameters, strict=True)
    ]


def divided_by(names: Sequence[str], parameters: Sequence[Tensor]) -> dict[str, int]:
    """Into how many pieces each parameter of this rank is divided, which it tells the others."""
    return {name: pieces_of(tensor) for name, tensor in zip(names, parameters, strict=True)}


def require_whole(everyone: Sequence[Sequence[Held]], divided: Sequence[Mapping[str, int]]) -> None:
    """Raise `DistributedError` unless all pieces of each parameter are on some of the ranks."""
    here = {(name, piece) for held in everyone for name, piece, *_ in held}
    found = Counter(name for name, _ in here)
    for told in divided:
        for name, pieces in told.items():
            if found[name] < pieces:
                raise DistributedError(
                    f"Of the {pieces} pieces of {name!r} the ranks that decide together hold "
                    f"{found[name]}. Say which ranks hold all: process_group="
                    "torch.distributed.group.WORLD; and step several guards in the same order on "
                    "every rank."
                )


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
    copies, pieces = [1] * len(names), [0] * len(names)
    for (name, _), ranks in holders.items():
        i = place[name]
        copies[i], pieces[i] = max(copies[i], len(ranks)), pieces[i] + 1
    elements = [
        math.prod(shape) if count > 1 else 0
        for count, (_, shape, _) in zip(pieces, kinds.values(), strict=True)
    ]
    mine = everyone[rank]
    return Ownership(
        names,
        torch.tensor([place[name] for name, *_ in mine], dtype=torch.int64),
        torch.tensor([holders[n, piece][0] == rank for n, piece, *_ in mine], dtype=torch.bool),
        torch.tensor(copies, dtype=torch.float64),
        torch.tensor(elements, dtype=torch.float64),
    )
