"""`get_total_norm` of DTensors whose elements are still to be summed up."""

from __future__ import annotations

import math

import numpy as np
import pytest

import processes
from distributed.programs import TRAINING

PARTIAL = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
torch.manual_seed(rank)
double = torch.float64
tensors = [
    DTensor.from_local(torch.randn(3, dtype=double), mesh, [Partial(), Replicate()]),
    DTensor.from_local(torch.randn(2, 2, dtype=double), mesh, [Shard(0), Partial("avg")]),
    DTensor.from_local(torch.randn(5, dtype=double), mesh["tp"], [Partial()]),
    DTensor.from_local(torch.randn(5, dtype=double), mesh, [Shard(0), Shard(0)]),
]
for tensor in tensors[:3]:  # what is replicated has to be so
    for dimension, placement in enumerate(tensor.placements):
        if placement.is_replicate():
            group = tensor.device_mesh.get_group(dimension)
            dist.broadcast(tensor._local_tensor, group_src=0, group=group)
dist.broadcast(tensors[2]._local_tensor, group_src=0, group=mesh.get_group("dp"))
plain = torch.tensor([2.0, 3.0], dtype=double)
before = [t._local_tensor.clone() for t in tensors]
norms = [gradcore.get_total_norm([*tensors, plain], order).item() for order in (1.0, 2.0, math.inf)]
unchanged = all(map(torch.equal, before, [t._local_tensor for t in tensors]))
kept = [str(t.placements) for t in tensors] + [t.grad is None for t in tensors]
whole = torch.cat([t.full_tensor().flatten() for t in tensors] + [plain]).tolist()
if rank == 2:
    tensors[1]._local_tensor[0, 0] = math.inf
bad = gradcore.get_total_norm(tensors).item()
largest = DTensor.from_local(torch.ones(3, dtype=double), mesh, [Partial("max"), Replicate()])
try:
    said = gradcore.get_total_norm([tensors[0], largest]).item()
except gradcore.DistributedError as error:
    said = str(error)
result = [norms, unchanged, kept, whole, bad, said]
"""


def test_sums_are_carried_out_for_the_norm_and_tensors_stay_what_they_are(tmp_path):
    ranks = processes.each_of(4, TRAINING + PARTIAL, tmp_path)

    norms, unchanged, kept, whole, bad, said = ranks[0]
    assert len(whole) == 3 + 8 + 5 + 20 + 2
    assert norms == [
        pytest.approx(np.linalg.norm(whole, order), rel=1e-14) for order in (1, 2, np.inf)
    ]
    assert kept[0] == "(Partial(sum), Replicate())"
    assert kept[4:] == [True] * 4
    assert bad == math.inf
    for rank in ranks:
        assert rank[0] == norms
        assert rank[1]
        assert rank[4:] == [bad, said]
    assert "Tensor 1 is placed (Partial(max), Replicate())" in said
    assert unchanged
