"""What no peer has: row F6, one decision of many processes from one small all-reduce."""

from __future__ import annotations

import math

import pytest

import processes
from distributed.programs import TRAINING

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
