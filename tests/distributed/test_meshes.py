"""Parameters on several meshes at once, as under tensor parallelism with FSDP2."""

from __future__ import annotations

import numpy as np
import pytest

import processes
from distributed.programs import TRAINING

MESHES = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
wholes = {"linear": torch.randn(5, 7), "bias": torch.randn(5), "norm": torch.randn(3)}
places = {
    "linear": (mesh, [Shard(0), Shard(1)]),
    "bias": (mesh, [Shard(0), Replicate()]),
    "norm": (mesh["dp"], [Shard(0)]),
}
named = []
for name, whole in wholes.items():
    parameter = nn.Parameter(distribute_tensor(torch.zeros_like(whole), *places[name]))
    parameter.grad = distribute_tensor(whole, *places[name])
    named.append((name, parameter))
report = gradcore.Guard(named, clip=("per_parameter_norm", {"max_norm": 0.1})).apply()
left = [p.grad.full_tensor().double().norm().item() for _, p in named]
whole = torch.cat([t.double().flatten() for t in wholes.values()]).tolist()
result = [told(report), report.norm, left, whole, len(reduced)]
"""


def test_parameters_of_two_meshes_are_counted_once(tmp_path):
    ranks = processes.each_of(4, TRAINING + MESHES, tmp_path)

    assert ranks[0] == ranks[1] == ranks[2] == ranks[3]
    _, norm, left, whole, collectives = ranks[0]
    assert norm == pytest.approx(np.linalg.norm(whole), rel=1e-7)
    assert left == pytest.approx([0.1] * 3, rel=1e-5)
    assert collectives == 1
