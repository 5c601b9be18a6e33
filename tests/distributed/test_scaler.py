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
            if local.numel() and (rank == step % 2 or local is gradient):
                local.view(-1)[0] = math.inf

net, alone = sharded(), network()
guard = gradcore.Guard(net, max_norm=1e6)
optimizer, single = optimizer_of(net), optimizer_of(alone)
scaler, own = scaler_of(), GradScaler("cpu", init_scale=256.0, growth_interval=2)
scales, reports = [], []
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
    scaler.update()
    own.step(single)
    own.update()
steps = sorted({float(state["step"]) for state in optimizer.state.values()})
result = [scales, [r.skipped for r in reports], [r.loss_scale for r in reports], elements(net),
    elements(alone), steps, [told(report) for report in reports]]
"""


@pytest.mark.parametrize(
    ("kind", "fused", "unscales"),
    [("plain", False, False), ("plain", True, False), ("plain", False, True), ("sharded", 1, 0)],
)
def test_shards_step_skip_and_back_off_as_a_scaler_on_one_process(kind, fused, unscales, tmp_path):
    options = (kind, bool(fused), bool(unscales))
    first, second = processes.both(TRAINING + SCALED, tmp_path, *options)

    assert first == second
    scales, skipped, told, elements, alone, steps, _ = first
    assert [ours for ours, _ in scales] == [theirs for _, theirs in scales] == told
    assert len({ours for ours, _ in scales}) == 2  # it grows and backs off
    assert [step for step, skip in enumerate(skipped) if skip] == [2, 5]
    assert elements == pytest.approx(alone, rel=1e-5, abs=1e-6)
    assert steps == [6.0]


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
