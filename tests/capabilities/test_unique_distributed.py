"""What no peer has: row F6, one decision of many processes from one small all-reduce."""

from __future__ import annotations

import math

import pytest

import processes
from distributed.programs import TRAINING

pytestmark = pytest.mark.distributed

PROGRAM = """
net, alone = sharded(), network()
optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
norms = []
for seed in range(4):
    alone.load_state_dict({n: t.full_tensor() for n, t in net.state_dict().items()})
    backward(net, seed)
    backward(alone, seed)
    if seed == 2 and rank == 1:
        net[0].weight.grad._local_tensor[0, 0] = math.nan
    del reduced[:]
    report = gradcore.safe_step(optimizer, max_norm=0.01)
    whole = math.sqrt(sum(t.grad.double().square().sum().item() for t in alone.parameters()))
    norms.append([report.norm, whole, report.skipped, report.nonfinite_ranks, len(reduced)])
result = [norms, elements(net), max(reduced) * 8]
"""


def test_f6_all_ranks_decide_alike_from_one_small_all_reduce(tmp_path):
    first, second = processes.both(TRAINING + PROGRAM, tmp_path)

    assert first == second
    norms, parameters, size = first
    for step, (norm, whole, skipped, ranks, collectives) in enumerate(norms):
        assert (skipped, ranks) == ((True, "1") if step == 2 else (False, None))
        assert skipped or norm == pytest.approx(whole, rel=1e-6)
        assert collectives == 1
    assert all(map(math.isfinite, parameters))
    assert size < 2000  # bytes, for four parameters


EVERYWHERE = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

def blocks():
    torch.manual_seed(1)
    layers = [nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 6), nn.LayerNorm(6)]
    return nn.Sequential(*layers)

def backward(net):
    torch.manual_seed(2)
    (net(torch.randn(4, 6)) * torch.arange(6.0)).square().sum().backward()
    return net

def copies():
    return nn.parallel.DistributedDataParallel(blocks())

def shards():
    net = blocks()
    fully_shard(net, mesh=init_device_mesh("cpu", (4,)))
    return net

def tensor_parallel():
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    net = blocks()
    parallelize_module(net, mesh["tp"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
    fully_shard(net, mesh=mesh["dp"])
    return net

def stages():  # a layer each, as if the others were elsewhere: gradients are those of the whole
    whole = backward(blocks())
    return nn.ModuleDict({str(rank): whole[rank]}) if rank != 1 else nn.ModuleDict()

world = dist.group.WORLD
told_of = {}
for kind in (copies, shards, tensor_parallel, stages):
    net = kind()
    if kind is not stages:
        backward(net)
    named = list(net.named_parameters()) or [("idle", nn.Parameter(torch.zeros(1)))]
    guard = gradcore.Guard(named, max_norm=0.01, process_group=world)
    del reduced[:]
    good = guard.apply()
    calls = len(reduced)
    if rank == 3:
        gradient = next(net.parameters()).grad
        getattr(gradient, "_local_tensor", gradient).view(-1)[0] = math.nan
    bad = guard.apply()
    gone = all(parameter.grad is None for parameter in net.parameters())
    told_of[kind.__name__] = [good.norm, good.clipped_norm, calls, bad.skipped, gone]
    told_of[kind.__name__] += [bad.nonfinite_ranks, told(good) + told(bad)]
whole = backward(blocks())
elements_of = torch.cat([p.grad.double().flatten() for p in whole.parameters()]).tolist()
result = [told_of, elements_of]
"""


def test_f6_right_under_ddp_fsdp2_tensor_and_pipeline_parallelism(tmp_path):
    ranks = processes.each_of(4, TRAINING + EVERYWHERE, tmp_path)

    assert ranks[0] == ranks[1] == ranks[2] == ranks[3]
    told, elements = ranks[0]
    norm = math.sqrt(math.fsum(x * x for x in elements))
    assert [*told] == ["copies", "shards", "tensor_parallel", "stages"]
    for kind, (before, after, calls, skipped, gone, bad, _) in told.items():
        assert before == pytest.approx(norm, rel=1e-6), kind
        assert after == pytest.approx(0.01, rel=1e-6), kind
        assert calls == 1, kind
        assert (skipped, gone, bad) == (True, True, "3"), kind
