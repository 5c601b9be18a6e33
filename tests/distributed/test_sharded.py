"""FSDP2 and HSDP: shards are counted once, and every rank decides alike."""

from __future__ import annotations

import math

import numpy as np
import pytest

import processes
from distributed.programs import TRAINING

STEPS = """
p = float(sys.argv[3])
net, alone = sharded(), network()
strategy = ("global_norm", {"max_norm": 0.01, "norm_type": p})
needs = ["l1", "max_abs", "sum", "zeros", "parameter_l2"]
guard = gradcore.Guard(net, clip=strategy, needs=needs)
optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
numbers, gradients, collectives = [], [], []
for seed in range(3):
    alone.load_state_dict({n: t.full_tensor() for n, t in net.state_dict().items()})
    backward(net, seed)
    backward(alone, seed)
    gradients.append([t.grad.double().flatten().tolist() for t in alone.parameters()])
    del reduced[:]
    report = guard.step(optimizer)
    collectives.append(len(reduced))
    after = [t.grad.full_tensor().double().flatten().tolist() for t in net.parameters()]
    rows = [(r.norm, r.max_abs, r.numel, r.mean) for r in report.parameters]
    numbers.append((report.norm, rows, after, told(report)))
empty = sum(p.grad._local_tensor.numel() == 0 for p in net.parameters())
result = [numbers, gradients, collectives, elements(net), empty]
"""


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0, math.inf])
def test_uneven_and_empty_shards_have_the_norm_of_the_whole(order, tmp_path):
    first, second = processes.both(TRAINING + STEPS, tmp_path, order)

    assert first[0] == second[0]  # every number of the reports, to the last bit
    assert first[3] == second[3]
    assert second[4] > 0  # the second rank has nothing of the bias of one element
    for (norm, rows, after, _), whole in zip(first[0], first[1], strict=True):
        joint = np.concatenate([np.array(each) for each in whole])
        assert norm == pytest.approx(np.linalg.norm(joint), rel=1e-7)
        left = np.concatenate([np.array(each) for each in after])
        assert np.linalg.norm(left, order) == pytest.approx(0.01, rel=1e-5)
        for row, each in zip(rows, whole, strict=True):
            expected = (np.linalg.norm(each), np.abs(each).max(), len(each), np.mean(each))
            assert row == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert first[2] == second[2] == [1, 1, 1]


HYBRID = """
net, alone = sharded((2, 2), ("replicate", "shard")), network()
backward(net)
backward(alone)
whole = [t.grad.double().flatten().tolist() for t in alone.parameters()]
guard = gradcore.Guard(net, max_norm=0.01)
optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
good = guard.step(optimizer)
before = elements(net)
backward(net, 1)
net[0].weight.grad._local_tensor[0, 0] = math.nan  # of every rank: two shards, two copies of each
everywhere = guard.step(optimizer)
backward(net, 2)
if rank == 2:  # the second copy of the first shard
    net[2].weight.grad._local_tensor.fill_(math.inf)
replica = guard.step(optimizer)
kept = elements(net) == before
backward(net, 3)
guard.step(optimizer)
result = [told(good) + told(everywhere) + told(replica), good.norm, whole, kept,
    everywhere.nonfinite.total, everywhere.nonfinite_ranks, everywhere.skipped,
    replica.first_nonfinite, replica.nonfinite_ranks, replica.skipped, elements(net)]
"""


def test_replicas_of_shards_are_counted_once_and_watched(tmp_path):
    ranks = processes.each_of(4, TRAINING + HYBRID, tmp_path)

    assert ranks[0] == ranks[1] == ranks[2] == ranks[3]
    _, norm, whole, kept, *said, _ = ranks[0]
    assert norm == pytest.approx(np.linalg.norm(np.concatenate(whole)), rel=1e-7)
    assert kept
    assert said == [2, "0, 1, 2, 3", True, "2.weight", "2", True]


FAULT = """
net = sharded()
guard = gradcore.Guard(net, max_norm=0.01, nonfinite=sys.argv[3])
optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
backward(net)
guard.step(optimizer)
before = elements(net)
backward(net, 1)
whole = [t.grad.full_tensor() for t in net.parameters()]
if rank == 1:
    net[2].weight.grad._local_tensor.view(-1)[:1] = math.nan
    net[0].weight.grad._local_tensor[0, 0] = math.nan
report = guard.step(optimizer)
same = elements(net) == before
after = [t.grad.full_tensor().flatten().tolist() for t in net.parameters()]
for seed in range(2, 7):
    backward(net, seed)
    guard.step(optimizer)
finite = all(math.isfinite(x) for x in elements(net))
steps = [float(state["step"]) for state in optimizer.state.values()]
result = [told(report), report.first_nonfinite, report.nonfinite.nan, report.nonfinite_ranks,
    report.skipped, same, elements(net), finite, steps, after]
"""


def test_a_fault_on_one_shard_is_skipped_by_all_and_named(tmp_path):
    first, second = processes.both(TRAINING + FAULT, tmp_path, "skip")

    assert first[:9] == second[:9]
    assert first[1:6] == ["0.weight", 1, "1", True, True]
    assert first[7]
    assert first[8] == [6.0] * 4


def test_a_fault_on_one_shard_is_repaired_on_it_alone(tmp_path):
    first, second = processes.both(TRAINING + FAULT, tmp_path, "zero")

    assert first == second
    assert first[1:6] == ["0.weight", 1, "1", False, False]
    zeros = [sum(x == 0.0 for x in each) for each in first[9]]
    assert zeros[0] == 1


def test_a_gradient_with_a_fault_on_one_shard_is_zeroed_as_a_whole(tmp_path):
    first, second = processes.both(TRAINING + FAULT, tmp_path, "zero_parameter")

    assert first == second
    assert first[9][0] == [0.0] * 35
    assert any(first[9][1])


BESIDE = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, fully_shard

mesh = init_device_mesh("cpu", (SIZE,))

def beside_plain(net):  # every rank has a copy of the last layer, which DDP would keep alike
    return fully_shard(net, mesh=mesh, ignored_params={*net[2].parameters()})

def offloaded(net):
    return fully_shard(net, mesh=mesh, offload_policy=CPUOffloadPolicy(pin_memory=False))

result = {}
for kind in (beside_plain, offloaded):
    net, alone = kind(network()), network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, foreach=False)
    guard = gradcore.Guard(net, max_norm=0.01)
    steps = []
    for seed in range(4):
        whole = {n: getattr(t, "full_tensor", lambda t=t: t)() for n, t in net.state_dict().items()}
        alone.load_state_dict(whole)
        backward(net, seed)
        backward(alone, seed)
        wanted = torch.cat([p.grad.double().flatten() for p in alone.parameters()]).tolist()
        if seed == 2 and rank == 1:
            gradient = net[2].weight.grad
            getattr(gradient, "_local_tensor", gradient).view(-1)[:1] = math.nan
            gradient = net[0].weight.grad
            getattr(gradient, "_local_tensor", gradient)[0, 0] = math.nan
        del reduced[:]
        report = guard.step(optimizer)
        steps.append([told(report), report.norm, wanted, report.skipped, report.nonfinite_ranks,
            report.nonfinite.total, len(reduced)])
    kinds = sorted({type(p).__name__ for p in net.parameters()})
    result[kind.__name__] = [steps, elements(net), kinds]
"""


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    return processes.both(TRAINING + BESIDE, tmp_path_factory.mktemp("beside"))


@pytest.mark.parametrize(
    ("kind", "kinds", "count"),
    [("beside_plain", ["DTensor", "Parameter"], 2), ("offloaded", ["DTensor"], 1)],
)
def test_plain_parameters_and_offloaded_shards_are_counted_once_too(kind, kinds, count, beside):
    first, second = (rank[kind] for rank in beside)

    assert first == second
    steps, _, classes = first
    assert classes == kinds
    for number, (_, norm, wanted, skipped, ranks, nonfinite, collectives) in enumerate(steps):
        assert collectives == 1
        faulty = number == 2
        assert (skipped, ranks, nonfinite) == ((True, "1", count) if faulty else (False, None, 0))
        assert skipped or norm == pytest.approx(np.linalg.norm(wanted), rel=1e-7)
