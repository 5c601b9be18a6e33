"""Replicas whose gradients are finite, and not the same numbers."""

from __future__ import annotations

import pytest

import processes
from distributed.programs import TRAINING

LOGGED = """
import logging
logged = []
handler = logging.Handler()
handler.emit = lambda record: logged.append(record.getMessage())
logging.getLogger("gradcore").addHandler(handler)
"""

REPLICAS = """
net = nn.parallel.DistributedDataParallel(network())
guard = gradcore.Guard(net, max_norm=0.01, process_group=dist.group.WORLD)
optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
reports = []
for step in range(6):
    backward(net, step + rank)
    if step in (1, 2, 4) and rank == 1:
        net.module[2].bias.grad.mul_(1.0 + 1e-3)
    if step == 5 and rank == 1:
        net.module[2].bias.grad[0] = math.nan
    report = guard.step(optimizer)
    reports.append([report.unlike_ranks, report.skipped, report.healthy, str(report)])
with net.no_sync():
    backward(net, rank)
reports.append([guard.step(optimizer).unlike_ranks])
result = [reports, logged, reduced[-1]]
"""


def test_replicas_that_differ_are_named_on_all_ranks_and_logged_once_in_a_row(tmp_path):
    first, second = processes.both(TRAINING + LOGGED + REPLICAS, tmp_path)

    assert first == second
    reports, logged, _ = first
    *others, unsynchronised = reports
    assert [report[0] for report in others] == [None, "1", "1", None, "1", None]
    assert [report[1] for report in others] == [False] * 5 + [True]  # by the NaN alone
    assert [report[2] for report in others] == [True] * 5 + [False]
    assert "other gradients on rank 1" in others[1][3]
    assert "other gradients" not in others[0][3]
    assert unsynchronised == ["1"]
    assert [words.split(":")[0] for words in logged if "drift" in words] == [
        f"Step {step}" for step in (1, 4, 6)
    ]


PLACED = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replica", "shard"))

def unlike(change, placements, dtype):
    torch.manual_seed(0)
    named = []
    for name, shape in {"weight": (6, 5), "bias": (7, 3)}.items():
        whole = torch.randn(shape, dtype=dtype)
        parameter = nn.Parameter(distribute_tensor(whole, mesh, placements))
        parameter.grad = distribute_tensor(torch.randn(shape, dtype=dtype), mesh, placements)
        named.append((name, parameter))
    if rank == 3:
        named[0][1].grad._local_tensor.mul_(1.0 + change)
    return gradcore.Guard(named).apply().unlike_ranks

single = torch.float32
hsdp, tensor_parallel = [Replicate(), Shard(0)], [Shard(1), Replicate()]
result = [
    unlike(0.0, hsdp, single),
    unlike(1e-4, hsdp, single),
    unlike(1e-4, tensor_parallel, single),
    unlike(1e-4, [Replicate(), Replicate()], single),
    unlike(1e-4, [Shard(0), Shard(1)], single),  # others, and nobody's copies
    unlike(2.0**-7, hsdp, torch.bfloat16),  # as kernels do that add in any order
    unlike(0.5, hsdp, torch.bfloat16),
]
"""


def test_copies_of_shards_are_compared_with_those_of_the_same_shards(tmp_path):
    ranks = processes.each_of(4, TRAINING + PLACED, tmp_path)

    assert all(rank == ranks[0] for rank in ranks)
    assert ranks[0] == [None, "3", "3", "3", None, None, "3"]


@pytest.mark.parametrize("value", [1e-310, 1e300])
def test_copies_of_extreme_numbers_are_compared_as_well(value, tmp_path):
    program = """
weight = nn.Parameter(torch.zeros(4, dtype=torch.float64))
weight.grad = torch.full((4,), float(sys.argv[3]) * (1 + 0.01 * rank), dtype=torch.float64)
guard = gradcore.Guard([weight], process_group=dist.group.WORLD)
first = guard.apply().unlike_ranks
weight.grad.fill_(float(sys.argv[3]))
result = [first, guard.apply().unlike_ranks]
"""
    for rank in processes.both(TRAINING + program, tmp_path, value):
        assert rank == ["1", None]
