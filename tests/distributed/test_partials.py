"""Gradients that are still to be summed up, as of layer norms under sequence parallelism."""

from __future__ import annotations

import numpy as np
import pytest

import processes
from distributed.programs import TRAINING

PARALLEL = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel, RowwiseParallel, SequenceParallel, parallelize_module)

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 12), nn.Linear(12, 8)
        self.last = nn.LayerNorm(8)

    def forward(self, x):
        return self.last(self.down(self.up(self.norm(x)).tanh()))

def block():
    torch.manual_seed(1)
    return Block()

def parallel(mesh):
    return parallelize_module(block(), mesh, {
        "norm": SequenceParallel(),
        "up": ColwiseParallel(input_layouts=Shard(1)),
        "down": RowwiseParallel(output_layouts=Shard(1)),
        "last": SequenceParallel(),
    })

def learn(net, seed=0):
    torch.manual_seed(100 + seed)
    net.zero_grad()
    x = torch.randn(2, 6, 8)  # each rank has its part of the sequence
    x = x if next(net.parameters()).__class__ is nn.Parameter else x.chunk(SIZE, 1)[rank]
    loss = (net(x) - 1.0).square().sum()
    getattr(loss, "full_tensor", lambda: loss)().backward()
"""

TRAIN = """
net, alone = parallel(init_device_mesh("cpu", (SIZE,), mesh_dim_names=("tp",))), block()
guard = gradcore.Guard(net, max_norm=0.01)
optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
seen = []
for seed in range(3):
    alone.load_state_dict({n: t.full_tensor() for n, t in net.state_dict().items()})
    learn(net, seed)
    learn(alone, seed)
    pending = sum(p.is_partial() for t in net.parameters() for p in t.grad.placements)
    gradients = torch.cat([t.grad.double().flatten() for t in alone.parameters()]).tolist()
    del reduced[:]
    report = guard.step(optimizer)
    calls = list(reduced)
    placed = all(t.grad.placements == t.placements for t in net.parameters())
    left = torch.cat([t.grad.full_tensor().double().flatten() for t in net.parameters()]).tolist()
    seen.append([told(report), report.norm, gradients, left, pending, placed, calls])
result = [seen, elements(net)]
"""


@pytest.mark.parametrize("size", [2, 3])
def test_gradients_of_layer_norms_are_measured_and_clipped_as_the_sums_they_are(size, tmp_path):
    ranks = processes.each_of(size, TRAINING + PARALLEL + TRAIN, tmp_path)

    assert all(rank == ranks[0] for rank in ranks)
    for _, norm, whole, left, pending, placed, calls in ranks[0][0]:
        assert pending == 4
        assert norm == pytest.approx(np.linalg.norm(whole), rel=1e-6)
        assert left == pytest.approx(np.multiply(whole, 0.01 / norm).tolist(), rel=1e-4, abs=1e-8)
        assert placed
        assert calls[0] == 4 * 8  # one for the four, and one of all that was measured
        assert len(calls) == 2


FAULT = """
net = parallel(init_device_mesh("cpu", (SIZE,), mesh_dim_names=("tp",)))
guard = gradcore.Guard(net, max_norm=0.01, nonfinite=sys.argv[3])
optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
learn(net)
guard.step(optimizer)
before = elements(net)
learn(net, 1)
if rank == 1:
    net.last.weight.grad._local_tensor[3] = math.nan
report = guard.step(optimizer)
same = elements(net) == before
left = net.last.weight.grad.full_tensor()[3].item()
learn(net, 2)
net.norm.bias.grad._local_tensor[0] = 2e38
large = guard.step(optimizer)
learn(net, 3)
guard.step(optimizer)
result = [told(report) + told(large), elements(net), report.first_nonfinite, report.nonfinite.nan,
    report.nonfinite_ranks, report.skipped, same, left, large.nonfinite.posinf, large.skipped]
"""


@pytest.mark.parametrize("policy", ["skip", "zero"])
def test_what_is_not_finite_in_one_part_or_in_the_sum_is_so_on_all_ranks(policy, tmp_path):
    first, second = processes.both(TRAINING + PARALLEL + FAULT, tmp_path, policy)

    assert repr(first) == repr(second)  # repr, since NaN is unequal to itself
    skips = policy == "skip"
    assert first[2:7] == ["last.weight", 1, "1", skips, skips]
    assert skips or first[7] == 0.0
    assert first[8:] == [1, skips]


KINDS = """
mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))

def parameter(local, placements, wanted, on=mesh):
    whole = nn.Parameter(DTensor.from_local(torch.zeros_like(local), on, wanted, run_check=False))
    whole.grad = DTensor.from_local(local, on, placements, run_check=False)
    return whole

R, S = Replicate(), Shard(0)
value = float(rank + 1)
parameters = {
    "both": parameter(torch.full((2,), value), [Partial(), Partial()], [R, R]),
    "mean": parameter(torch.ones(2), [R, Partial("avg")], [R, R]),
    "half": parameter(torch.full((2,), value).bfloat16(), [S, Partial()], [S, R]),
    "slice": parameter(torch.full((1,), 1.0 + rank % 2), [Partial()], [R], mesh["tp"]),
}
parameters["mean"].grad._local_tensor.fill_(2e38 if rank % 2 else 3e38)
named = list(parameters.items())
report = gradcore.Guard(named, clip=("per_parameter_norm", {"max_norm": 1.0})).apply()
first = len(reduced)
del reduced[:]
again = gradcore.Guard(list(parameters.items())).apply()
left = [t.grad.full_tensor().double().norm().item() for t in parameters.values()]
result = [told(report), [row.norm for row in report.parameters], left, first, len(reduced),
    again.norm]
"""


def test_sums_over_several_dimensions_means_and_other_dtypes_are_reduced_each_once(tmp_path):
    ranks = processes.each_of(4, TRAINING + PARALLEL + KINDS, tmp_path)

    assert ranks[0] == ranks[1] == ranks[2] == ranks[3]
    _, norms, left, first, calls, norm = ranks[0]
    half = 2 * 3.0**2 + 2 * 7.0**2
    expected = [200.0**0.5, 2.5e38 * 2.0**0.5, half**0.5, 3.0]
    assert norms == pytest.approx(expected, rel=1e-6)
    assert left == pytest.approx([1.0] * 4, rel=1e-2)
    assert [first, calls] == [6, 1]  # of five batches and what was measured; then nothing pends
    assert norm == pytest.approx(2.0, rel=1e-2)


HUGE = """
from torch.amp import GradScaler
mesh = init_device_mesh("cpu", (SIZE,))
whole = nn.Parameter(DTensor.from_local(torch.ones(8), mesh, [Replicate()], run_check=False))
optimizer = torch.optim.SGD([whole], lr=0.1)
scaler = GradScaler("cpu", init_scale=4.0)
scaler.scale(torch.ones(()))
guard = gradcore.Guard([whole], max_norm=1.0)
whole.grad = DTensor.from_local(torch.full((8,), 2e38), mesh, [Partial()], run_check=False)
report = guard.step(optimizer, scaler=scaler)
found = [float(flag) for flag in scaler._found_inf_per_device(optimizer).values()]
scaler.update()
result = [report.skipped, report.nonfinite.posinf, report.nonfinite_ranks, found,
    scaler.get_scale(), whole.full_tensor().tolist()]
"""


def test_finite_parts_whose_sum_is_infinite_are_skipped_and_told_to_the_scaler(tmp_path):
    """Four parts of 2e38, each of which torch's scaler takes for finite; no rank is to blame."""
    ranks = processes.each_of(4, TRAINING + PARALLEL + HUGE, tmp_path)

    assert ranks == [[True, 8, None, [1.0], 2.0, [1.0] * 8]] * 4
