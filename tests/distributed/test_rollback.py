"""Policies that go back: every rank its own shards, all of them to the same step."""

from __future__ import annotations

import pytest

import processes
from distributed.programs import TRAINING

PROGRAM = """
from torch.distributed.tensor import DTensor

def everything(net, optimizer):
    state = [t.full_tensor().tolist() if isinstance(t, DTensor) else float(t)
        for p in net.parameters() for t in optimizer.state[p].values()]
    return [elements(net), state]

def run(policy, faults, steps, prepare=lambda *_: None):
    net = sharded()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    guard = gradcore.Guard(net, max_norm=1.0, nonfinite=policy)
    before, reports = [], []
    for step in range(steps):
        before.append(everything(net, optimizer) if step else [elements(net), []])
        backward(net, step)
        if rank in faults.get(step, ()):
            net[0].weight.grad._local_tensor[0, 0] = math.nan
        prepare(step, net, optimizer)
        report = guard.step(optimizer)
        reports.append([report.skipped, report.restored, report.repaired, report.nonfinite_ranks])
    held = [t for p in net.parameters() for t in [p, *optimizer.state[p].values()]]
    held = [getattr(t, "_local_tensor", t) for t in held]
    sizes = sum(t.numel() * t.element_size() for t in held)
    return before, everything(net, optimizer), reports, guard.snapshot_bytes, sizes

def lose(step, net, optimizer):
    if step == 4:
        optimizer.state.clear()

def poison(step, net, optimizer):  # on rank 1 alone, when the next snapshot is due
    if step == 2 and rank == 1:
        optimizer.state[net[0].weight]["exp_avg"]._local_tensor[0, 0] = math.inf

restore = ("restore", {"snapshot_every": 2, "device": "cpu"})
adaptive = ("adaptive", {"max_share": 0.1, "skip_from": 2, "restore_from": 3, "snapshot_every": 2})
result = {
    "restore": run(restore, {5: (1,)}, 6)[:3],
    "lost": run(restore, {4: (0, 1)}, 5, lose)[:3],
    "poisoned": run(restore, {3: (0,)}, 4, poison)[:3],
    "adaptive": run(adaptive, {4: (1,), 5: (0,), 6: (1,)}, 7)[:3],
}
*_, held, sizes = run(restore, {}, 5)
own = [held == sizes]

net = sharded()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
guard = gradcore.Guard(net, nonfinite="restore")
backward(net)
guard.step(optimizer)
if rank == 1:
    guard.rollback.forget()
try:
    guard.step(optimizer)
    said = "no error"
except gradcore.DistributedError as error:
    said = str(error)
result = [result, own, said]
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    first, second = processes.both(TRAINING + PROGRAM, tmp_path_factory.mktemp("rollback"))
    assert first[0].keys() == second[0].keys()
    for name, of_first in first[0].items():
        assert of_first[1:] == second[0][name][1:] or name == "poisoned"
    return first, second


def test_all_ranks_go_back_to_one_snapshot_bit_for_bit(told):
    before, after, reports = told[0][0]["restore"]

    assert reports[5] == [True, True, 0, "1"]
    assert [restored for _, restored, *_ in reports[:5]] == [False] * 5
    assert after == before[4]  # taken before steps 0, 2 and 4


def test_state_that_was_lost_comes_back_in_shards(told):
    before, after, reports = told[0][0]["lost"]

    assert reports[4][:2] == [True, True]
    assert after == before[2]


def test_no_rank_takes_a_snapshot_that_another_cannot_take(told):
    for (before, after, reports), *_ in [(told[0][0]["poisoned"],), (told[1][0]["poisoned"],)]:
        assert reports[3][:2] == [True, True]
        assert after[0] == before[0][0]  # not that of step 2: there rank 1 held an infinite moment


def test_severity_is_judged_alike(told):
    before, after, reports = told[0][0]["adaptive"]

    zeroed, skipped, restored = reports[4:]
    assert zeroed == [False, False, 1, "1"]
    assert skipped == [True, False, 0, "0"]
    assert restored == [True, True, 0, "1"]
    assert after == before[2]  # step 4, when the next was due, was not to be trusted


def test_a_rank_holds_a_copy_of_its_own_shards_alone(told):
    assert [rank[1] for rank in told] == [[True], [True]]


def test_snapshots_of_different_steps_are_an_error_on_all_ranks(told):
    assert told[0][2] == told[1][2]
    assert (
        "Ranks differ in 'snapshot before step': it is 0 on rank 0 and None on rank 1" in told[0][2]
    )
