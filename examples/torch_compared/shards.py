"""Cases of DTensors on four ranks: FSDP2, HSDP, two meshes at once, plain tensors among them."""

from __future__ import annotations

import math
from types import ModuleType

import torch
from case import Case, DropIn, error_of, exact_norm, number
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import gradcore

RANKS = 4


def network() -> nn.Sequential:
    """Shards that are uneven and, of the last bias, empty on all ranks but the first."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 1))


def backward(net: nn.Module) -> nn.Module:
    """Gradients of the same batch on every rank, so that the mean over ranks is that of one."""
    torch.manual_seed(1)
    net(torch.randn(4, 7)).square().sum().backward()
    return net


def whole_elements(parameters: list[Tensor]) -> list[float]:
    """All elements of all gradients, as every rank can see them."""
    gradients = [parameter.grad for parameter in parameters]
    full = [g.full_tensor() if isinstance(g, DTensor) else g for g in gradients]
    return torch.cat([gradient.double().flatten() for gradient in full]).tolist()


class OfShards(DropIn):
    """A norm of gradients that are DTensors."""

    ranks = RANKS
    order = 2.0
    max_norm = 0.01

    def parameters(self) -> list[Tensor]:
        net = network()
        fully_shard(net, mesh=init_device_mesh("cpu", (RANKS,)))
        return list(backward(net).parameters())

    def run(self, library: ModuleType) -> str:
        parameters = self.parameters()
        try:
            norm = library.clip_grad_norm_(parameters, self.max_norm, self.order)
        except (RuntimeError, ValueError, TypeError) as error:
            return error_of(error)
        left = exact_norm(whole_elements(parameters), self.order)
        return f"norm {float(norm):.5g}, {left:.3g} left"

    def reference(self) -> str:
        norm = exact_norm(whole_elements(list(backward(network()).parameters())), self.order)
        return f"norm {norm:.5g}, {self.max_norm:.3g} left"


class Sharded(OfShards):
    """FSDP2, uneven and empty shards, Euclidean norm, clipped to 0.01."""


class Hybrid(OfShards):
    """HSDP, two copies of two shards, Euclidean norm, clipped to 0.01."""

    def parameters(self) -> list[Tensor]:
        net = network()
        fully_shard(net, mesh=init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "shard")))
        return list(backward(net).parameters())


class EmptyShards(OfShards):
    """The FSDP2 model of the first row, maximum norm: some shards are empty."""

    order = math.inf


class MaximumNorm(OfShards):
    """The maximum norm of one FSDP2 parameter that is 8, 16, 24, 32 on ranks 0 to 3."""

    bad_rank = -1

    def gradient(self) -> Tensor:
        return torch.arange(1.0, RANKS + 1.0) * 8.0

    def parameters(self) -> list[Tensor]:
        mesh = init_device_mesh("cpu", (RANKS,))
        parameter = nn.Parameter(distribute_tensor(torch.zeros(RANKS), mesh, [Shard(0)]))
        parameter.grad = distribute_tensor(self.gradient(), mesh, [Shard(0)])
        return [parameter]

    def run(self, library: ModuleType) -> str:
        norm = library.get_total_norm([parameter.grad for parameter in self.parameters()], math.inf)
        whole = norm.full_tensor() if isinstance(norm, DTensor) else norm
        return f"`item()` {number(norm.item())}, whole {number(whole)}"

    def reference(self) -> str:
        largest = self.gradient().max().item()  # which is NaN if an element is
        return f"`item()` {number(largest)}, whole {number(largest)}"


class MaximumNormOfNan(MaximumNorm):
    """The same with a NaN on rank 2."""

    def gradient(self) -> Tensor:
        gradient = super().gradient()
        gradient[2] = math.nan
        return gradient


class PlainAmongShards(OfShards):
    """FSDP2 with `ignored_params`: a plain parameter among DTensors."""

    def parameters(self) -> list[Tensor]:
        net = network()
        fully_shard(
            net, mesh=init_device_mesh("cpu", (RANKS,)), ignored_params={net[2].weight, net[2].bias}
        )
        return list(backward(net).parameters())


class TwoMeshes(Case):
    """Tensor parallelism under FSDP2, a norm layer on the mesh of FSDP2 alone, clipped to 0.01."""

    ranks = RANKS
    max_norm = 0.01

    def network(self) -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 6), nn.LayerNorm(6))

    def backward(self, net: nn.Module) -> nn.Module:
        torch.manual_seed(1)
        (net(torch.randn(4, 6)) * torch.arange(6.0)).square().sum().backward()
        return net

    def sharded(self) -> nn.Module:
        mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
        net = self.network()
        parallelize_module(net, mesh["tp"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
        fully_shard(net, mesh=mesh["dp"])
        return self.backward(net)

    def torch(self) -> str:
        net = self.sharded()
        try:
            norm = nn.utils.clip_grad_norm_(net.parameters(), self.max_norm)
        except RuntimeError as error:
            return error_of(error)
        return self.said(float(norm), net)

    def gradcore(self) -> str:
        net = self.sharded()
        report = gradcore.Guard(net, max_norm=self.max_norm, process_group=dist.group.WORLD).apply()
        return self.said(report.norm, net)

    def said(self, norm: float, net: nn.Module) -> str:
        left = exact_norm(whole_elements(list(net.parameters())))
        return f"norm {norm:.5g}, {left:.3g} left"

    def reference(self) -> str:
        net = self.backward(self.network())
        norm = exact_norm(whole_elements(list(net.parameters())))
        return f"norm {norm:.5g}, {self.max_norm:.3g} left"


CASES: tuple[type[Case], ...] = (
    Sharded,
    Hybrid,
    EmptyShards,
    MaximumNorm,
    MaximumNormOfNan,
    PlainAmongShards,
    TwoMeshes,
)
