"""A NaN on the last of four ranks alone, whatever the ranks are to each other."""

from __future__ import annotations

import math

import pytest

import processes
from distributed.programs import TRAINING

PROGRAM = """
from torch.distributed.tensor import DTensor

def network():  # of which every one of four ranks has a part
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(7, 8), nn.Tanh(), nn.Linear(8, 4))

def copies():
    return nn.parallel.DistributedDataParallel(network())

KINDS = {
    "shards": lambda: sharded(),
    "copies of shards": lambda: sharded((2, 2), ("replicate", "shard")),
    "copies": copies,
}

def held(net, optimizer):
    '''What this rank has of parameters and optimizer state: of copies, its own.'''
    tensors = [*net.parameters()]
    tensors += [t for p in net.parameters() for t in optimizer.state[p].values()]
    return [(t.full_tensor() if isinstance(t, DTensor) else t).tolist() for t in tensors]

def run(make, faulty):
    net = make()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    guard = gradcore.Guard(net, max_norm=0.01, process_group=dist.group.WORLD)
    states, reports = [], []
    for step in range(9):
        if step == 3 and not faulty:
            continue  # what is left of a step that is skipped
        backward(net, step)
        if step == 3 and rank == 3:
            weights = [p.grad for p in net.parameters() if p.ndim == 2]
            for gradient in weights:
                getattr(gradient, "_local_tensor", gradient)[0, 0] = math.nan
        reports.append(guard.step(optimizer))
        states.append(held(net, optimizer))
    return states, reports

result = {}
for kind, make in KINDS.items():
    states, reports = run(make, True)
    without, _ = run(make, False)
    report = reports[3]
    verdicts = [[r.skipped, r.nonfinite_ranks, r.first_nonfinite, r.nonfinite.nan] for r in reports]
    told_of = [told(report) for report in reports]
    result[kind] = [told_of, verdicts, states, states[3] == states[2], states[-1] == without[-1]]
"""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return processes.each_of(4, TRAINING + PROGRAM, tmp_path_factory.mktemp("faults"))


KINDS = {"shards": "2.weight", "copies of shards": "2.weight", "copies": "module.2.weight"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_rank_skips_that_step_alone_and_names_rank_and_parameter(kind, ranks):
    for _, verdicts, *_ in (rank[kind] for rank in ranks):
        assert verdicts[3] == [True, "3", KINDS[kind], 2]
        assert verdicts[:3] + verdicts[4:] == [[False, None, None, 0]] * 8
    assert [rank[kind][0] for rank in ranks] == [ranks[0][kind][0]] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_five_steps_later_all_ranks_hold_the_same_bits_as_if_nothing_had_been(kind, ranks):
    for _, _, states, kept, as_without in (rank[kind] for rank in ranks):
        assert states == ranks[0][kind][2]
        assert kept
        assert as_without
        assert all(map(math.isfinite, flat(states)))


def flat(nested):
    if not isinstance(nested, list):
        return [nested]
    return [x for each in nested for x in flat(each)]
