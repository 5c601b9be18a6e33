"""Cases of plain tensors on four ranks: copies of a model under DDP, and stages of one."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from case import Case, exact_norm, number, with_gradients
from shards import RANKS, backward, network
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import gradcore


def alike(net: nn.Module) -> str:
    """Whether all ranks have the same parameters, to the bit."""
    mine = torch.cat([parameter.detach().flatten() for parameter in net.parameters()])
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, mine.numpy().tobytes())
    nan = int(mine.isnan().sum())
    kept = "replicas alike" if len(set(everyone)) == 1 else "replicas apart"
    return f"{kept}, {nan} of {mine.numel()} parameters NaN"


class OneBadReplica(Case):
    """DDP, a NaN in a gradient of rank 1 alone, after the all-reduce: bad memory, or a hook."""

    ranks = RANKS

    def prepared(self) -> tuple[nn.Module, torch.optim.Optimizer]:
        net = DistributedDataParallel(network())
        backward(net)
        if dist.get_rank() == 1:
            net.module[2].weight.grad[0, 0] = math.nan
        return net, torch.optim.AdamW(net.named_parameters(), lr=0.1)

    def torch(self) -> str:
        net, optimizer = self.prepared()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return alike(net)

    def gradcore(self) -> str:
        net, optimizer = self.prepared()
        gradcore.safe_step(optimizer, max_norm=1.0, process_group=dist.group.WORLD)
        return alike(net)

    def reference(self) -> str:
        return alike(self.prepared()[0])


class OtherBound(Case):
    """DDP, and rank 3 clips to 0.2 where the others clip to 0.1."""

    ranks = RANKS

    def stepped(self, *, by_torch: bool) -> str:
        net = DistributedDataParallel(network())
        backward(net)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        bound = 0.2 if dist.get_rank() == RANKS - 1 else 0.1
        group = dist.group.WORLD
        step = partial(gradcore.safe_step, optimizer, max_norm=bound, process_group=group)
        if by_torch:
            nn.utils.clip_grad_norm_(net.parameters(), bound)
            step = optimizer.step
        try:
            step()
        except gradcore.DistributedError:
            return f"{alike(net)}, an error"
        return f"{alike(net)}, no error"

    def torch(self) -> str:
        return self.stepped(by_torch=True)

    def gradcore(self) -> str:
        return self.stepped(by_torch=False)

    def reference(self) -> str:
        return f"{alike(network())}, an error"


class Stages(Case):
    """Pipeline stages of one layer each, clipped by the norm of all: the norm on every rank."""

    ranks = RANKS

    def gradient(self, rank: int) -> torch.Tensor:
        return torch.arange(1.0, rank + 2.0)

    def torch(self) -> str:
        return number(nn.utils.clip_grad_norm_(self.stage(), 1.0))

    def gradcore(self) -> str:
        named = [(f"stage{dist.get_rank()}.weight", self.stage()[0])]
        report = gradcore.Guard(named, max_norm=1.0, process_group=dist.group.WORLD).apply()
        return number(report.norm)

    def stage(self) -> list[torch.Tensor]:
        return with_gradients(self.gradient(dist.get_rank()))

    def reference(self) -> str:
        return number(exact_norm(x for r in range(RANKS) for x in self.gradient(r).tolist()))


CASES: tuple[type[Case], ...] = (OneBadReplica, OtherBound, Stages)
