"""The drop-in functions on DTensors: norms of the whole, right where torch's are not."""

from __future__ import annotations

import math

import numpy as np
import pytest

import processes
from distributed.programs import TRAINING

CLIP = """
order = float(sys.argv[3])
net, alone = sharded(), network()
backward(net)
backward(alone)
extra = nn.Parameter(torch.zeros(3))  # every rank has a copy
extra.grad = torch.full((3,), 2.0)
parameters = [*net.parameters(), extra]
whole = torch.cat([t.grad.double().flatten() for t in [*alone.parameters(), extra]]).tolist()
total = gradcore.get_total_norm([t.grad for t in parameters], order)
del reduced[:]
norm = gradcore.clip_grad_norm_(parameters, 0.01, order)
calls = len(reduced)
after = [getattr(t.grad, "full_tensor", lambda t=t: t.grad)() for t in parameters]
left = torch.cat([t.double().flatten() for t in after]).tolist()
gradcore.clip_grads_with_norm_(parameters, 0.001, torch.tensor(0.01))
last = gradcore.get_total_norm([t.grad for t in parameters], order)
result = [norm.item(), total.item(), last.item(), whole, left, calls, type(norm) is torch.Tensor]
"""


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0, math.inf])
def test_the_norm_is_of_the_whole_and_a_plain_tensor(order, tmp_path):
    first, second = processes.both(TRAINING + CLIP, tmp_path, order)

    assert first == second
    norm, total, last, whole, left, calls, plain = first
    expected = np.linalg.norm(whole, order)
    assert [norm, total] == [pytest.approx(expected, rel=1e-6)] * 2
    assert np.linalg.norm(left, order) == pytest.approx(0.01, rel=1e-3)
    assert last == pytest.approx(0.001, rel=1e-3)
    assert calls == 1
    assert plain


FAULTS = """
net = sharded()
backward(net)
if rank == 1:
    net[0].weight.grad._local_tensor[0, 0] = math.nan
parameters = list(net.parameters())
zeroed = None
try:
    gradcore.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
    said = "no error"
except RuntimeError as error:
    said = str(error)
skipped = gradcore.clip_grad_norm_(parameters, 0.01, math.inf, nonfinite="skip").item()
norm = gradcore.clip_grad_norm_(parameters, 0.01, math.inf, nonfinite="zero").item()
left = gradcore.get_total_norm([t.grad for t in parameters], math.inf).item()
try:
    gradcore.clip_grad_norm_(parameters, 1.0 + rank)
    unlike = "no error"
except gradcore.DistributedError as error:
    unlike = str(error)
result = [said, math.isnan(skipped), norm, left, unlike]
"""


def test_a_fault_on_one_rank_is_seen_on_all(tmp_path):
    first, second = processes.both(TRAINING + FAULTS, tmp_path)

    assert first == second
    said, skipped, norm, left, unlike = first
    assert "1 of 46 elements are NaN or infinite" in said
    assert skipped
    assert norm > 0.01
    assert left == pytest.approx(0.01, rel=1e-3)
    assert "Ranks differ in 'arguments': it is max_norm=1.0" in unlike


MESHES = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
wholes = [torch.randn(5, 7), torch.randn(5), torch.randn(3), torch.randn(6), torch.randn(4)]
places = [(mesh, [Shard(0), Shard(1)]), (mesh, [Shard(0), Replicate()]), (mesh["dp"], [Shard(0)]),
    (mesh["tp"], [Shard(0)]), (mesh["tp"], [Replicate()])]
parameters = []
for whole, place in zip(wholes, places, strict=True):
    parameter = nn.Parameter(distribute_tensor(torch.zeros_like(whole), *place))
    parameter.grad = distribute_tensor(whole, *place)
    parameters.append(parameter)
part = wholes[-1] * (0.25 if rank % 2 else 0.75)
parameters[-1].grad = DTensor.from_local(part, mesh["tp"], [Partial()])
total = gradcore.get_total_norm([p.grad for p in parameters[:-1]])
norm = gradcore.clip_grad_norm_(parameters, 0.01)
left = torch.cat([p.grad.full_tensor().double().flatten() for p in parameters]).tolist()
parameters[-1].grad = DTensor.from_local(part, mesh["tp"], [Partial()])
gradcore.clip_grads_with_norm_(parameters[-1:], 1.0, torch.tensor(4.0))
scaled = parameters[-1].grad.full_tensor().tolist()
whole = [w.double().flatten().tolist() for w in wholes]
result = [norm.item(), total.item(), left, whole, scaled]
"""


def test_tensors_of_several_meshes_count_once_each_and_sums_are_carried_out(tmp_path):
    ranks = processes.each_of(4, TRAINING + MESHES, tmp_path)

    assert ranks[0] == ranks[1] == ranks[2] == ranks[3]
    norm, total, left, whole, scaled = ranks[0]
    assert norm == pytest.approx(np.linalg.norm(np.concatenate(whole)), rel=1e-6)
    assert total == pytest.approx(np.linalg.norm(np.concatenate(whole[:-1])), rel=1e-6)
    assert left == pytest.approx((np.concatenate(whole) * 0.01 / norm).tolist(), rel=1e-4)
    assert scaled == pytest.approx((np.array(whole[-1]) / 4.0).tolist(), rel=1e-5)


VALUES = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
wholes = [torch.randn(5, 7), torch.randn(1), torch.randn(3)]
wholes[0][4, 6], wholes[1][0], wholes[2][1] = math.nan, -math.inf, 0.25
places = [[Shard(0), Shard(1)], [Shard(0), Replicate()], [Replicate(), Replicate()]]
parameters = []
for whole, place in zip(wholes, places, strict=True):
    parameter = nn.Parameter(distribute_tensor(torch.zeros_like(whole), mesh, place))
    parameter.grad = distribute_tensor(whole, mesh, place)
    parameters.append(parameter)
plain = nn.Parameter(torch.zeros(2))
plain.grad = torch.tensor([3.0, -0.125])
gradcore.clip_grad_value_([*parameters, plain], 0.25)
left = [p.grad.full_tensor().tolist() for p in parameters] + [plain.grad.tolist()]
wanted = [whole.clamp(-0.25, 0.25).tolist() for whole in wholes] + [[0.25, -0.125]]
pending = parameters[2]
pending.grad = DTensor.from_local(torch.full((3,), 0.2), mesh, [Partial(), Replicate()])
try:
    gradcore.clip_grad_value_(parameters, 0.25)
    said = "no error"
except TypeError as error:
    said = str(error)
result = json.dumps([left, wanted]), left, wanted, said, pending.grad.full_tensor().tolist()
"""


def test_values_of_every_piece_are_clipped_as_those_of_the_whole(tmp_path):
    ranks = processes.each_of(4, TRAINING + VALUES, tmp_path)

    assert len({rank[0] for rank in ranks}) == 1
    _, left, wanted, said, pending = ranks[0]
    for one, other in zip(left, wanted, strict=True):
        assert np.array_equal(one, other, equal_nan=True)
    assert said.startswith("The gradient of tensor 2 is still to be summed up")
    assert pending == pytest.approx([0.4] * 3)
