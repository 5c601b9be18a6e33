"""The ranks that hold parts of the same parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import torch
import torch.distributed as dist

from gradcore.distributed.sharding import is_sharded, ranks_of
from gradcore.errors import DistributedError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed import ProcessGroup
    from torch.distributed.device_mesh import DeviceMesh

_groups: Final[dict[tuple[ProcessGroup, tuple[int, ...]], ProcessGroup]] = {}
"""Groups that were made for meshes of several dimensions: making one takes all of its ranks."""


def largest_mesh(tensors: Sequence[Tensor]) -> DeviceMesh | None:
    """The largest mesh of all DTensors; None if there is none.

    Raises:
        DistributedError: A mesh has ranks outside the largest.
    """
    found = [tensor.device_mesh for tensor in tensors if is_sharded(tensor)]
    meshes = list({id(mesh): mesh for mesh in found}.values())
    if not meshes:
        return None
    largest = max(meshes, key=lambda mesh: mesh.size())
    ranks = ranks_of(largest)
    for mesh in meshes:
        outside = sorted({*ranks_of(mesh)} - {*ranks})
        if outside:
            raise DistributedError(
                f"Some parameters are on ranks {ranks} and others on ranks {outside} too. Say "
                "which ranks train together: process_group=torch.distributed.group.WORLD."
            )
    return largest


def group_of(tensors: Sequence[Tensor]) -> ProcessGroup | None:
    """The group of the largest mesh of all DTensors; None if there is none.

    Raises:
        DistributedError: A mesh has ranks outside the largest.
    """
    largest = largest_mesh(tensors)
    if largest is None:
        return None
    ranks = ranks_of(largest)
    if largest.ndim == 1:
        return largest.get_group()
    world = dist.group.WORLD
    assert world is not None  # noqa: S101 - there is no mesh without it
    if len(ranks) == dist.get_world_size():
        return world
    key = (world, tuple(ranks))
    if key not in _groups:
        _groups[key] = dist.new_group(ranks, use_local_synchronization=True)
    return _groups[key]


def require_group(group: object) -> ProcessGroup:
    """A group that this rank is in.

    Raises:
        TypeError: It is no process group.
        DistributedError: This rank is not in it.
    """
    if group is dist.GroupMember.NON_GROUP_MEMBER:
        raise DistributedError("process_group does not hold this rank. Give the group it is in.")
    if not isinstance(group, dist.ProcessGroup):
        raise TypeError(
            f"process_group must be a torch.distributed.ProcessGroup; got {group!r}. The default "
            "one, of all ranks, is torch.distributed.group.WORLD."
        )
    return group


def device_of(group: ProcessGroup, devices: Sequence[str]) -> torch.device:
    """Where to reduce a vector: the same kind on all ranks, whatever gradients they have.

    Args:
        group: The ranks.
        devices: Kinds of device that hold parameters, of all ranks.
    """
    if dist.get_backend(group) == "nccl" or (
        "cuda" in devices and dist.get_backend(group) != "gloo"
    ):
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
