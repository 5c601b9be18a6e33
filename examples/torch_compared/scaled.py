"""Cases of a scaler of mixed precision, or of gradients still to be summed up, on four ranks."""

from __future__ import annotations

import math

import torch
from case import Case, exact_norm
from shards import RANKS, backward, network, whole_elements
from torch import Tensor, nn
from torch import distributed as dist
from torch.amp import GradScaler
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

import gradcore

SCALE = 4.0


class Scaled(Case):
    """A step of SGD under a scaler of scale 4, infinities on some ranks."""

    ranks = RANKS
    bad: tuple[int, ...] = (1, 2)
    fused = True
    unscales = True

    def scaler(self) -> GradScaler:
        return ShardedGradScaler(device="cpu", init_scale=SCALE, process_group=dist.group.WORLD)

    def named(self) -> list[tuple[str, Tensor]]:
        """Parameters with scaled gradients."""
        net = network()
        net(torch.ones(4, 7)).square().sum().mul(SCALE).backward()
        if dist.get_rank() in self.bad:
            net[0].weight.grad[0, 0] = math.inf
        return list(net.named_parameters())

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.named(), lr=0.1, fused=self.fused or None)

    def tell(self, optimizer: torch.optim.Optimizer, scaler: GradScaler) -> None:
        """What is done by hand between `unscale_` and `step`."""

    def prepared(self) -> tuple[torch.optim.Optimizer, GradScaler]:
        optimizer, scaler = self.optimizer(), self.scaler()
        scaler.scale(torch.ones(()))
        return optimizer, scaler

    def torch(self) -> str:
        optimizer, scaler = self.prepared()
        if self.unscales:
            scaler.unscale_(optimizer)
        self.tell(optimizer, scaler)
        scaler.step(optimizer)
        return self.said(optimizer, scaler)

    def gradcore(self) -> str:
        optimizer, scaler = self.prepared()
        gradcore.safe_step(optimizer, scaler=scaler, process_group=dist.group.WORLD)
        return self.said(optimizer, scaler)

    def said(self, optimizer: torch.optim.Optimizer, scaler: GradScaler) -> str:
        scaler.update()
        held = [p for group in optimizer.param_groups for p in group["params"]]
        held = [p.to_local() if isinstance(p, DTensor) else p for p in held]
        bad = sum(int((~p.detach().isfinite()).sum()) for p in held)
        return f"{bad} parameters infinite, scale {scaler.get_scale():g}"

    def reference(self) -> str:
        return f"0 parameters infinite, scale {SCALE * 0.5:g}"


class TwoBadRanks(Scaled):
    """`ShardedGradScaler`, fused SGD, infinities on ranks 1 and 2, after `unscale_`."""


class NotUnscaled(Scaled):
    """The same without `unscale_`, infinity on rank 1."""

    bad, unscales = (1,), False


class FlagsSummed(Scaled):
    """`GradScaler`, fused AdamW, infinities on ranks 1 and 2, flags summed over ranks by hand."""

    def scaler(self) -> GradScaler:
        return GradScaler("cpu", init_scale=SCALE)

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.named(), fused=True)

    def tell(self, optimizer: torch.optim.Optimizer, scaler: GradScaler) -> None:
        for flag in scaler._found_inf_per_device(optimizer).values():  # noqa: SLF001 - as people do
            dist.all_reduce(flag)

    def said(self, optimizer: torch.optim.Optimizer, scaler: GradScaler) -> str:
        steps = {float(state["step"]) for state in optimizer.state.values()} or {0.0}
        return f"{super().said(optimizer, scaler)}, steps counted: {max(steps, key=abs):g}"

    def reference(self) -> str:
        return f"{super().reference()}, steps counted: 0"


class FirstReplicated(Scaled):
    """`GradScaler`, DTensors, the first of them replicated, infinity in a shard on rank 3."""

    bad, fused = (3,), False

    def scaler(self) -> GradScaler:
        return GradScaler("cpu", init_scale=SCALE)

    def named(self) -> list[tuple[str, Tensor]]:
        mesh = init_device_mesh("cpu", (RANKS,))
        named = []
        for name, placement in (("replicated", Replicate()), ("sharded", Shard(0))):
            parameter = nn.Parameter(distribute_tensor(torch.ones(8), mesh, [placement]))
            parameter.grad = distribute_tensor(torch.ones(8), mesh, [placement])
            named.append((name, parameter))
        if dist.get_rank() in self.bad:
            named[1][1].grad.to_local()[0] = math.inf
        return named


class FirstOfPart(FirstReplicated):
    """The same, the first of them on a part of the mesh, as under tensor parallelism."""

    def named(self) -> list[tuple[str, Tensor]]:
        mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
        named = []
        placed = (("norm", mesh["tp"], [Shard(0)]), ("weight", mesh, [Shard(0), Shard(0)]))
        for name, part, placements in placed:
            parameter = nn.Parameter(distribute_tensor(torch.ones(8), part, placements))
            parameter.grad = distribute_tensor(torch.ones(8), part, placements)
            named.append((name, parameter))
        if dist.get_rank() in self.bad:
            named[1][1].grad.to_local()[0] = math.inf
        return named


class OneMesh(FirstReplicated):
    """`GradScaler`, FSDP2, infinity on rank 1."""

    bad = (1,)

    def named(self) -> list[tuple[str, Tensor]]:
        net = network()
        fully_shard(net, mesh=init_device_mesh("cpu", (RANKS,)))
        backward(net)
        if dist.get_rank() in self.bad:
            net[0].weight.grad.to_local()[0, 0] = math.inf
        return list(net.named_parameters())


class HugeParts(FirstReplicated):
    """`GradScaler`, a `Partial` gradient whose parts of 2e38 are finite and whose sum is not."""

    def named(self) -> list[tuple[str, Tensor]]:
        mesh = init_device_mesh("cpu", (RANKS,))
        parameter = nn.Parameter(distribute_tensor(torch.ones(8), mesh, [Replicate()]))
        parameter.grad = DTensor.from_local(torch.full((8,), 2e38), mesh, [Partial()])
        return [("weight", parameter)]


class Partials(Case):
    """`Partial` gradients, as of norm layers under sequence parallelism, clipped to 0.01."""

    ranks = RANKS
    max_norm = 0.01

    def gradient(self, rank: int) -> Tensor:
        return torch.arange(1.0, 9.0) * (rank + 1)

    def parameters(self) -> list[Tensor]:
        mesh = init_device_mesh("cpu", (RANKS,))
        parameter = nn.Parameter(distribute_tensor(torch.ones(8), mesh, [Replicate()]))
        parameter.grad = DTensor.from_local(self.gradient(dist.get_rank()), mesh, [Partial()])
        return [parameter]

    def torch(self) -> str:
        parameters = self.parameters()
        norm = nn.utils.clip_grad_norm_(parameters, self.max_norm)
        return self.said(float(norm.full_tensor()), parameters)

    def gradcore(self) -> str:
        parameters = self.parameters()
        report = gradcore.Guard(parameters, max_norm=self.max_norm).apply()
        return self.said(report.norm, parameters)

    def said(self, norm: float, parameters: list[Tensor]) -> str:
        return f"norm {norm:.5g}, {exact_norm(whole_elements(parameters)):.3g} left"

    def reference(self) -> str:
        norm = exact_norm(sum(self.gradient(rank) for rank in range(RANKS)).tolist())
        return f"norm {norm:.5g}, {self.max_norm:.3g} left"


CASES: tuple[type[Case], ...] = (
    OneMesh,
    FirstReplicated,
    FirstOfPart,
    TwoBadRanks,
    NotUnscaled,
    FlagsSummed,
    HugeParts,
    Partials,
)
