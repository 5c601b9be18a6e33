"""Plain parameters of several processes that decide together."""

from __future__ import annotations

import numpy as np
import pytest

import processes
from distributed.programs import TRAINING

REPLICAS = """
net = nn.parallel.DistributedDataParallel(network())
guard = gradcore.Guard(net, max_norm=0.01, nonfinite=sys.argv[3], process_group=dist.group.WORLD)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
backward(net)
whole = [t.grad.double().flatten().tolist() for t in net.parameters()]
good = guard.step(optimizer, loss=float(rank))
before = elements(net)
backward(net, 1)
if rank == 1:
    net.module[2].weight.grad[0, 0] = math.nan
bad = guard.step(optimizer)
kept = elements(net) == before
backward(net, 2)
lost = guard.step(optimizer, loss=math.nan if rank == 0 else 1.0)
backward(net, 3)
del reduced[:]
guard.step(optimizer)
result = [told(good) + told(bad) + told(lost), good.norm, whole, good.loss, kept, bad.skipped,
    bad.first_nonfinite, bad.nonfinite_ranks, str(bad), lost.skipped, lost.nonfinite_ranks,
    elements(net), len(reduced)]
"""


@pytest.mark.parametrize("policy", ["skip", "zero"])
def test_a_fault_on_one_replica_is_seen_named_and_skipped_by_all(policy, tmp_path):
    first, second = processes.both(TRAINING + REPLICAS, tmp_path, policy)

    assert first == second
    _, norm, whole, loss, *said, _, collectives = first
    assert norm == pytest.approx(np.linalg.norm(np.concatenate(whole)), rel=1e-7)
    assert loss == 0.5
    line = "step 1: norm"
    assert said[:4] == [True, True, "module.2.weight", "1"]
    assert said[4].startswith(line)
    assert "first in module.2.weight, on rank 1, skipped" in said[4]
    assert said[5:] == [policy == "skip", "0"]
    assert collectives == 1


HUGE = """
weight = nn.Parameter(torch.zeros(2, dtype=torch.float64))
weight.grad = torch.full((2,), float(sys.argv[3]), dtype=torch.float64)
guard = gradcore.Guard([(f"stage{rank}", weight)], max_norm=1.0, process_group=dist.group.WORLD)
report = guard.apply()
result = [report.norm, [row.name for row in report.parameters], weight.grad.tolist()]
"""


@pytest.mark.parametrize("value", [1e200, 1e-200, 3e-310])
def test_squares_of_all_ranks_neither_overflow_nor_underflow(value, tmp_path):
    first, second = processes.both(TRAINING + HUGE, tmp_path, value)

    assert first == second
    assert first[0] == pytest.approx(2 * value, rel=1e-12)
    assert first[1] == ["stage0", "stage1"]
    assert first[2] == pytest.approx([min(value, 0.5)] * 2, rel=1e-12)


STAGES = """
parameters = [nn.Parameter(torch.zeros(3 + rank)) for _ in range(rank + 1)]
tied = nn.Parameter(torch.zeros(4))
for i, parameter in enumerate(parameters):
    parameter.grad = torch.full((3 + rank,), 1.0 + i) if rank != 1 else None
tied.grad = torch.full((4,), 2.0) if rank != 1 else None
named = [(f"stage{rank}.{i}", parameter) for i, parameter in enumerate(parameters)]
named += [("embedding", tied)] if rank != 1 else []
report = gradcore.Guard(named, max_norm=1.0, process_group=dist.group.WORLD).apply()
result = [told(report), report.norm, len(report.parameters)]
"""


def test_stages_with_different_parameters_or_no_gradients_add_up(tmp_path):
    ranks = processes.each_of(3, TRAINING + STAGES, tmp_path)

    assert ranks[0] == ranks[1] == ranks[2]
    squares = 3 * 1.0 + 5 * (1.0 + 4.0 + 9.0) + 4 * 4.0  # the embedding of two stages once
    assert ranks[0][1:] == [pytest.approx(squares**0.5, rel=1e-12), 7]


LARGE = """
weight, other = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
weight.grad, other.grad = torch.tensor([3e6 if rank else 0.0, 4.0]), torch.tensor([12.0])
named = [(f"stage{rank}", weight), (f"last{rank}", other)]
guard = gradcore.Guard(named, clip=("per_parameter_norm", {"max_norm": 1.0}),
    nonfinite=("detect", {"overflow": 1e6}), process_group=dist.group.WORLD)
report = guard.apply()
result = [report.norm, report.clipped_norm, report.nonfinite.total]
"""


def test_the_norm_of_all_ranks_is_of_large_elements_that_stay(tmp_path):
    first, second = processes.both(TRAINING + LARGE, tmp_path)

    assert first == second
    assert first[0] == pytest.approx((3e6**2 + 2 * 4.0**2 + 2 * 12.0**2) ** 0.5, rel=1e-12)
    assert first[1] == pytest.approx((0.75e6**2 + 4 * 1.0**2) ** 0.5, rel=1e-6)
    assert first[2] == 1
