"""Gradients that are still to be summed up over a dimension of a mesh.

Such are those of layer norms under sequence parallelism: each rank has seen a part of the sequence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor

from gradcore import core
from gradcore.distributed.sharding import is_sharded, local_of, placing
from gradcore.errors import DistributedError
from gradcore.statistics import ROWS

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

Pending: TypeAlias = tuple[tuple[int, str], ...]
"""Dimensions of the mesh that a gradient is yet to be reduced over, and how."""

Told: TypeAlias = dict[str, tuple[Pending, str]]
"""Of each parameter with a gradient whose placements are not its own: what is pending, dtype."""

OPERATIONS: Final = ("sum", "avg")
NONFINITE = slice(ROWS.index("nan"), ROWS.index("neginf") + 1)


def pending_of(parameter: Tensor) -> Pending | None:
    """What the gradient of a parameter is yet to be reduced over; None if that is no way to it.

    Reduced, it is placed as the parameter is.  Nothing is pending without a gradient.
    """
    gradient = parameter.grad
    if gradient is None or not is_sharded(gradient) or not is_sharded(parameter):
        return ()
    if gradient.placements == parameter.placements:
        return ()
    pending = []
    pairs = zip(gradient.placements, parameter.placements, strict=True)
    for dimension, (placement, wanted) in enumerate(pairs):
        if placement.is_partial() and wanted.is_replicate():
            pending.append((dimension, str(getattr(placement, "reduce_op", placement))))
        elif placement != wanted:
            return None
    return tuple(pending) if all(how in OPERATIONS for _, how in pending) else None


def can_be_summed(tensor: Tensor) -> bool:
    """Whether a tensor itself is still to be reduced, in a way that is known here."""
    if not is_sharded(tensor):
        return False
    partial = [p for p in tensor.placements if p.is_partial()]
    return bool(partial) and all(getattr(p, "reduce_op", None) in OPERATIONS for p in partial)


def as_gradient(tensor: Tensor) -> Tensor:
    """A stand-in whose gradient the tensor is, placed as the tensor is once it is reduced."""
    value = tensor.detach()
    if is_sharded(value) and can_be_summed(value):
        from torch.distributed.tensor import Replicate  # noqa: PLC0415 - no part of every torch

        reduced = [Replicate() if p.is_partial() else p for p in value.placements]
        stands_in = placing(value, reduced)(local_of(value).detach())
    else:
        stands_in = tensor.detach()
    stands_in.grad = value
    return stands_in


def told_of(names: Sequence[str], parameters: Sequence[Tensor]) -> Told:
    """What this rank tells the others, of DTensors that have a gradient."""
    return {
        name: told
        for name, parameter in zip(names, parameters, strict=True)
        if is_sharded(parameter) and (told := _told_of(parameter)) is not None
    }


def _told_of(parameter: Tensor) -> tuple[Pending, str] | None:
    """None where there is no gradient, or no way to it."""
    pending = pending_of(parameter)
    if pending is None or parameter.grad is None:
        return None
    return pending, str(parameter.grad.dtype)


@dataclass(frozen=True, slots=True)
class Batch:
    """Gradients that one collective reduces."""

    group: ProcessGroup
    numbers: tuple[int, ...]
    """Which of the parameters of this rank."""
    dtype: torch.dtype
    mean: bool


@dataclass(frozen=True, slots=True, eq=False)
class Summed:
    """Gradients of one step that were pending, by the numbers of their parameters."""

    values: Mapping[int, Tensor]
    """What this rank holds now: as much as of the parameter."""
    bad: Mapping[int, float]
    """Elements that were not finite in the part of this rank."""

    def place(self, parameters: Sequence[Tensor]) -> None:
        """Make them the gradients of their parameters."""
        for i, value in self.values.items():
            parameter = parameters[i]
            assert is_sharded(parameter)  # noqa: S101 - nothing else has something pending
            parameter.grad = placing(parameter)(value)


class Partials:
    """All gradients of this rank that are pending, as ranks told each other.

    Args:
        names: Of the parameters.
        parameters: Of this rank.
        everyone: What each rank told.

    Raises:
        DistributedError: Ranks differ in what is pending for a gradient.
    """

    def __init__(
        self, names: Sequence[str], parameters: Sequence[Tensor], everyone: Sequence[Told]
    ) -> None:
        known: dict[str, tuple[int, tuple[Pending, str]]] = {}
        for rank, told in enumerate(everyone):
            for name, this in told.items():
                first, other = known.setdefault(name, (rank, this))
                if this != other:
                    raise DistributedError(
                        f"The gradient of {name!r} is {_in_words(*other)} on rank {first} and "
                        f"{_in_words(*this)} on rank {rank}. Redistribute it alike on all ranks."
                    )
        self._parameters = parameters  # that may be others when the next step comes
        self._told: dict[int, tuple[Pending, str]] = {}
        batches: dict[tuple[int, tuple[int, ...], str, str], list[int]] = {}
        groups: dict[tuple[int, ...], ProcessGroup] = {}
        for i in sorted(range(len(names)), key=names.__getitem__):
            _, told_of_it = known.get(names[i], (0, ((), "")))
            pending, dtype = told_of_it
            for dimension, how in pending:
                group = _group_of(parameters[i], dimension)
                ranks = tuple(dist.get_process_group_ranks(group))
                groups[ranks] = group
                batches.setdefault((dimension, ranks, dtype, how), []).append(i)
                self._told[i] = told_of_it
        # Sorted alike on all ranks, so that none waits for a group in which nobody is.
        self._batches = [
            Batch(groups[ranks], tuple(numbers), getattr(torch, dtype.split(".")[1]), how == "avg")
            for (_, ranks, dtype, how), numbers in sorted(batches.items())
        ]

    def missed(self, parameters: Sequence[Tensor]) -> bool:
        """Whether something was told to be pending, and there is another gradient now."""
        return any(_told_of(parameters[i]) not in {None, told} for i, told in self._told.items())

    def reduce(self) -> Summed:
        """Reduce them, one collective a batch, without a change to the gradients themselves.

        A gradient that this rank does not have, or has otherwise, counts as zeros: nobody waits
        for it.
        """
        values = {
            i: local_of(gradient).detach()
            for i, told in self._told.items()
            if _told_of(self._parameters[i]) == told
            and (gradient := self._parameters[i].grad) is not None
            and is_sharded(gradient)
        }
        bad = {}
        if values:
            counts = core.measure_table(list(values.values()), (), gradients=False)[NONFINITE, :-1]
            bad = dict(zip(values, counts.sum(0).tolist(), strict=True))
        for batch in self._batches:
            places = [_local(self._parameters[i]) for i in batch.numbers]
            parts = [
                values[i].reshape(-1)
                if i in values
                else torch.zeros(place.numel(), dtype=batch.dtype, device=place.device)
                for i, place in zip(batch.numbers, places, strict=True)
            ]
            flat = torch.cat(parts)
            if batch.mean:
                flat /= dist.get_world_size(batch.group)  # first, as a sum may overflow
            dist.all_reduce(flat, group=batch.group)
            summed = torch.split(flat, [place.numel() for place in places])
            for i, place, value in zip(batch.numbers, places, summed, strict=True):
                if i in values:
                    values[i] = value.view(place.shape)
        return Summed(values, bad)


def _local(parameter: Tensor) -> Tensor:
    assert is_sharded(parameter)  # noqa: S101 - nothing else has something pending
    return local_of(parameter)


def _group_of(parameter: Tensor, dimension: int) -> ProcessGroup:
    assert is_sharded(parameter)  # noqa: S101 - nothing else has something pending
    return parameter.device_mesh.get_group(dimension)


def _in_words(pending: Pending, dtype: str) -> str:
    over = ", ".join(f"{how} over dimension {dimension}" for dimension, how in pending)
    return f"{dtype}, to be reduced by {over}" if pending else f"{dtype} and complete"
