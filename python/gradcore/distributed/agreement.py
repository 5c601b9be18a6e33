"""What ranks told each other once: what each holds, and where its numbers stand in the vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch.distributed as dist

from gradcore.distributed.configuration import difference, names_in_words
from gradcore.distributed.group import device_of
from gradcore.distributed.ownership import (
    Ownership,
    divided_by,
    gathered,
    held_by,
    require_whole,
    resolve,
)
from gradcore.distributed.partials import Partials, told_of
from gradcore.distributed.replicas import Replicas
from gradcore.distributed.unit_layout import UnitLayout, told_of_units, units_here
from gradcore.distributed.vector import Vector
from gradcore.errors import DistributedError
from gradcore.statistics import OF_UNITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch.distributed import ProcessGroup

    from gradcore.distributed.shards import Shards
    from gradcore.measuring import Measuring


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """Holds until a rank has other parameters, or other placements of gradients."""

    own: Ownership
    partials: Partials
    vector: Vector
    replicas: Replicas
    device: torch.device
    """Where the vector is reduced."""
    parameters: str
    """Which they are, in words: other guards have others."""


def agree(
    shards: Shards,
    measuring: Measuring,
    configuration: Mapping[str, str],
    group: ProcessGroup,
    trouble: Exception | None,
) -> Agreement:
    """Find out who owns what, with everyone.

    Args:
        shards: What this rank holds.
        measuring: Of its guard.
        configuration: Of its guard too.
        group: The ranks.
        trouble: Why this rank cannot take its step.

    Raises:
        DistributedError: A rank cannot take its step, or ranks differ in what they hold, or in
            configuration; the same on all.
    """
    rank, ranks = dist.get_rank(group), dist.get_world_size(group)
    names, parameters, axis = shards.names, shards.parameters, measuring.unit_axis
    of_units = not measuring.ever.isdisjoint(OF_UNITS)
    here, mine = [], None
    try:
        if of_units:
            here = [units_here(*named, axis) for named in zip(names, parameters, strict=True)]
        mine = (
            held_by(names, parameters),
            told_of(names, parameters),
            configuration,
            {tensor.device.type for tensor in shards.tensors},
            told_of_units(names, parameters, axis) if of_units else {},
            divided_by(names, parameters),
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, other ranks wait for this one
        trouble = trouble or error
    told = gathered((mine, in_words(trouble)), group)
    require_success([words for _, words in told], trouble)
    everyone = [each for each, _ in told if each is not None]
    holdings, pending, configurations, devices, units, divided = map(
        list, zip(*everyone, strict=True)
    )
    unlike = difference(configurations)
    if unlike is not None:
        raise DistributedError(unlike)
    require_whole(holdings, divided)
    own = resolve(holdings, rank)
    partials = Partials(names, parameters, pending)
    layout = UnitLayout(units, own, here) if of_units else None
    vector = Vector(measuring.ever, own, rank, ranks, measuring.norm_type, units=layout)
    device = device_of(group, sorted(set().union(*devices)))
    words = names_in_words(own.names)
    return Agreement(own, partials, vector, Replicas(holdings, rank), device, words)


def in_words(error: Exception | None) -> str | None:
    """What other ranks are told of an error of this one."""
    return None if error is None else f"{type(error).__name__}: {error}"


def require_success(errors: Sequence[str | None], here: Exception | None) -> None:
    """Raise the error of the first rank that has one on all ranks: one of ``here`` is its cause."""
    for rank, words in enumerate(errors):
        if words is not None:
            raise DistributedError(f"Rank {rank} could not take its step. {words}") from here
