"""Loops of FSDP2: parameters that are whole for a while, attached guards, a run that goes on."""

from __future__ import annotations

import pytest

import processes
from distributed.programs import TRAINING

PROGRAM = """
def learn(net, seed, *optimizers):
    for optimizer in optimizers:
        optimizer.zero_grad()  # net.zero_grad() would see parameters that are whole
    torch.manual_seed(100 + seed)
    net(torch.randn(4, 7)).square().sum().backward()

def validate(net):  # which leaves FSDP2's root whole until the next backward
    with torch.no_grad():
        net(torch.randn(2, 7))
    return sorted({type(p).__name__ for p in net.parameters()})

def norm_of(optimizer):
    gradients = [p.grad.full_tensor() for p in optimizer.param_groups[0]["params"]]
    return torch.cat([gradient.double().flatten() for gradient in gradients]).norm().item()

def validating():
    net = sharded()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    kinds = validate(net)
    guard = gradcore.Guard(net, max_norm=0.01)
    norms = []
    for step in range(3):
        learn(net, step, optimizer)
        before = norm_of(optimizer)
        report = guard.step(optimizer)
        norms.append([before, report.norm, norm_of(optimizer)])
        validate(net)
    return kinds, norms

def left_whole(target):
    net = sharded()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    guard = gradcore.Guard(net if target == "model" else optimizer, max_norm=0.01)
    net.set_reshard_after_backward(False)
    norms = []
    for step in range(3):
        learn(net, step, optimizer)
        before = norm_of(optimizer)
        try:
            report = guard.step(optimizer)
        except gradcore.GradcoreError as error:
            return str(error)
        norms.append([before, report.norm, norm_of(optimizer)])
        net.reshard()
    return norms

def attached(resumes):
    net = sharded()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    guard = gradcore.Guard(net, clip="ema")
    handle = guard.attach(optimizer)
    verdicts = []
    for step in range(8):
        learn(net, step, optimizer)
        if step == 3 and rank == 1:
            net[0].weight.grad._local_tensor[0, 0] = math.nan
        optimizer.step()
        report = guard.history[-1]
        verdicts.append([report.skipped, report.clipped, report.scale, report.nonfinite_ranks])
        if resumes and step == 4:  # saved by one rank, loaded by all
            if rank == 0:
                torch.save(guard.state_dict(), store + ".guard")
            dist.barrier()
            handle.remove()
            guard = gradcore.Guard(net, clip="ema")
            guard.load_state_dict(torch.load(store + ".guard", weights_only=True))
            handle = guard.attach(optimizer)
    return verdicts, elements(net), len(guard.history)

result = [validating(), left_whole("optimizer"), left_whole("model")]
result += [attached(False), attached(True)]
"""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    first, second = processes.both(TRAINING + PROGRAM, tmp_path_factory.mktemp("loops"))
    assert first == second
    return first


def test_a_guard_made_and_used_between_validations_sees_the_shards(ranks):
    """After a forward without a backward the parameters of FSDP2's root are plain and whole."""
    kinds, norms = ranks[0]
    assert kinds == ["Parameter"]
    for before, told, after in norms:
        assert told == pytest.approx(before, rel=1e-12)
        assert after == pytest.approx(0.01, rel=1e-6)


def test_a_guard_of_the_optimizer_sees_shards_while_the_model_is_left_whole(ranks):
    for before, told, after in ranks[1]:
        assert told == pytest.approx(before, rel=1e-12)
        assert after == pytest.approx(0.01, rel=1e-6)


def test_a_guard_of_a_model_that_is_left_whole_says_that_it_guards_nothing_of_the_optimizer(ranks):
    assert "SGD steps 4 parameters that are not guarded" in ranks[2]
    assert "Make the guard for the optimizer" in ranks[2]


def test_attached_guards_skip_together(ranks):
    verdicts, *_ = ranks[3]
    assert [(skipped, bad) for skipped, _, _, bad in verdicts] == [
        (True, "1") if step == 3 else (False, None) for step in range(8)
    ]
    assert any(clipped for _, clipped, *_ in verdicts)


def test_what_one_rank_has_saved_all_go_on_from_to_the_bit(ranks):
    assert ranks[4] == ranks[3]
