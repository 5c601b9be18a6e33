"""A scaler on every rank: infinity anywhere is told to all of them, and nothing else to any."""

from __future__ import annotations

import pytest

import processes
from distributed.programs import TRAINING

pytestmark = pytest.mark.distributed

SCALED = """
from torch.amp import GradScaler
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler

kind, fused, unscales = sys.argv[3], sys.argv[4] == "True", sys.argv[5] == "True"
world = dist.group.WORLD

def scaler_of():
    if kind == "sharded":
        return ShardedGradScaler(device="cpu", init_scale=256.0, growth_interval=2)
    return GradScaler("cpu", init_scale=256.0, growth_interval=2)

def optimizer_of(net):
    return torch.optim.AdamW(net.parameters(), lr=0.1, fused=fused or None)

def plant(net, step):
    if step in (2, 5):
        for gradient in (net[0].weight.grad, net[2].weight.grad):
            local = getattr(gradient, "_local_tensor", gradient)
            if local.numel() and (rank == 1 or step == 2 or local is gradient):
                local.view(-1)[0] = math.inf

net, alone = sharded(), network()
guard = gradcore.Guard(net, max_norm=1e6)
optimizer, single = optimizer_of(net), optimizer_of(alone)
scaler, own = scaler_of(), GradScaler("cpu", init_scale=256.0, growth_interval=2)
scales, reports, flags = [], [], []
for step in range(8):
    for each, to, by in ((net, optimizer, scaler), (alone, single, own)):
        torch.manual_seed(step)
        to.zero_grad()
        by.scale(each(torch.randn(4, 7)).square().sum()).backward()
        plant(each, step)
    scales.append([scaler.get_scale(), own.get_scale()])
    if unscales:
        scaler.unscale_(optimizer)
    reports.append(guard.step(optimizer, scaler=scaler))
    flags.append([float(flag) for flag in scaler._found_inf_per_device(optimizer).values()])
    scaler.update()
    own.step(single)
    own.update()
steps = sorted({float(state["step"]) for state in optimizer.state.values()})
bad = [r.nonfinite_ranks for r in reports]
result = [scales, [r.skipped for r in reports], [r.loss_scale for r in reports], elements(net),
    elements(alone), steps, flags, bad, [told(report) for report in reports]]
"""


@pytest.mark.parametrize(
    ("kind", "fused", "unscales"),
    [("plain", False, False), ("plain", True, False), ("plain", False, True), ("sharded", 1, 0)],
)
def test_shards_step_skip_and_back_off_as_a_scaler_on_one_process(kind, fused, unscales, tmp_path):
    """With infinities on three ranks, and then on one.

    `ShardedGradScaler` itself adds its flags up, by which nothing is stepped here.
    """
    options = (kind, bool(fused), bool(unscales))
    ranks = processes.each_of(4, TRAINING + SCALED, tmp_path, *options)

    assert ranks == [ranks[0]] * 4
    scales, skipped, told, elements, alone, steps, flags, bad, _ = ranks[0]
    found = 1.0 if kind == "plain" else 4.0
    assert flags == [[found if step in {2, 5} else 0.0] for step in range(8)]
    assert [bad[2], bad[5]] == ["0, 1, 2", "1"]
    assert [ours for ours, _ in scales] == [theirs for _, theirs in scales] == told
    assert len({ours for ours, _ in scales}) == 2  # it grows and backs off
    assert [step for step, skip in enumerate(skipped) if skip] == [2, 5]
    assert elements == pytest.approx(alone, rel=1e-5, abs=1e-6)
    assert steps == [6.0]


CLIPPED = """
from torch.amp import GradScaler

def train(net, step):
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, fused=True)
    scaler = GradScaler("cpu", init_scale=1024.0)
    scales, first = [], None
    for number in range(6):
        torch.manual_seed(number)
        optimizer.zero_grad()
        scaler.scale(net(torch.randn(4, 7)).square().sum()).backward()
        if number == 3:
            gradient = net[0].weight.grad
            getattr(gradient, "_local_tensor", gradient)[0, 0] = math.inf
        step(net, optimizer, scaler)
        scaler.update()
        scales.append(scaler.get_scale())
        first = first or elements(net)
    steps = sorted({float(state["step"]) for state in optimizer.state.values()})
    return [scales, first, elements(net), steps]

def by_torch(net, optimizer, scaler):
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
    scaler.step(optimizer)

guard = None
def by_gradcore(net, optimizer, scaler):
    global guard
    guard = guard or gradcore.Guard(net, max_norm=0.5)
    guard.step(optimizer, scaler=scaler)

ours, theirs = train(sharded(), by_gradcore), train(network(), by_torch)
result = [ours, theirs, [[r.skipped, r.clipped] for r in guard.history]]
"""


def test_unscaling_in_the_same_pass_clips_shards_as_unscaling_first_does_on_one_process(tmp_path):
    """Fused AdamW; the step with an infinity is skipped and the scale goes from 1024 to 512."""
    first, second = processes.both(TRAINING + CLIPPED, tmp_path)

    assert first == second
    (scales, one_step, elements, steps), wanted, verdicts = first
    assert scales == wanted[0] == [1024.0] * 3 + [512.0] * 3
    assert one_step == pytest.approx(wanted[1], abs=1.2e-7)
    assert elements == pytest.approx(wanted[2], abs=1e-6)
    assert steps == wanted[3] == [5.0]
    assert verdicts == [[False, True]] * 3 + [[True, False]] + [[False, True]] * 2


STAGES = """
from torch.amp import GradScaler
world = dist.group.WORLD
weight = nn.Parameter(torch.zeros(2, dtype=torch.float32))
optimizer = torch.optim.SGD([weight], lr=1.0)
scaler = GradScaler("cpu", init_scale=4.0 if sys.argv[3] != "scale" else 4.0 * (1 + rank))
scaler.scale(torch.ones(()))
weight.grad = torch.full((2,), 8.0) if rank else None
guard = gradcore.Guard([(f"stage{rank}", weight)], max_norm=1.0, process_group=world)
if sys.argv[3] == "stepped":
    guard.step(optimizer, scaler=scaler)
    scaler.update()
    if rank == 1:  # a step that the others know nothing of
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
before = weight.tolist()
try:
    report = guard.step(optimizer, scaler=scaler)
    result = [[report.norm, report.clipped_norm], weight.tolist() == [-0.5**0.5] * 2]
except gradcore.DistributedError as error:
    result = [str(error), weight.tolist() == before]
"""


def test_a_stage_without_gradients_takes_part(tmp_path):
    first, second = processes.both(TRAINING + STAGES, tmp_path, "")

    assert first[0] == second[0] == [pytest.approx(8.0**0.5), pytest.approx(1.0)]


@pytest.mark.parametrize(
    ("fault", "words"),
    [("scale", "Ranks differ in 'scaler': it is scale=4.0"), ("stepped", "Rank 1 could not")],
)
def test_scalers_that_differ_are_an_error_on_all_ranks(fault, words, tmp_path):
    first, second = processes.both(TRAINING + STAGES, tmp_path, fault)

    assert first == second
    assert words in first[0]
    assert first[1]
