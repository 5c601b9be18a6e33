"""Clipping by units that lie on several ranks: what AGC makes of whole tensors, on each rank."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import processes
from distributed.programs import TRAINING

STRATEGIES = Path(__file__).parents[2] / "plugins" / "gradcore-strategies" / "src"
LAM, EPS = 0.05, 1e-3

CLIPPED = """
sys.path.insert(0, sys.argv[3])
from gradcore_strategies.agc import AGC
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

def whole(tensor):
    tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return tensor.detach().double().tolist()

def clipped(named, nonfinite="skip", **options):
    weights = {name: whole(tensor) for name, tensor in named}
    before = {name: whole(tensor.grad) for name, tensor in named}
    guard = gradcore.Guard(named, clip=AGC(lam=0.05, **options), nonfinite=nonfinite)
    reduced.clear()
    report = guard.apply()
    collectives = len(reduced)
    after = {name: None if t.grad is None else whole(t.grad) for name, t in named}
    verdict = report.to_dict()
    rows = [[row.name, row.norm, row.scale] for row in report.parameters]
    numbers = [report.norm, report.clipped_norm, report.scale, report.skipped, collectives]
    return [told(report), weights, before, after, rows, numbers]

def placed(mesh, placements, shapes, dtype=torch.float32, size=1.0):
    torch.manual_seed(0)
    named = []
    for name, shape in shapes.items():
        weight, gradient = torch.randn(shape, dtype=dtype), torch.randn(shape, dtype=dtype) * size
        parts = [p if len(shape) > getattr(p, "dim", 0) else Replicate() for p in placements]
        parameter = nn.Parameter(distribute_tensor(weight, mesh, parts))
        parameter.grad = distribute_tensor(gradient, mesh, parts)
        named.append((name, parameter))
    return named
"""

SHAPES = {"weight": (7, 6), "bias": (7,), "filters": (3, 2, 2, 5), "gain": (), "one": (1, 3)}

TWO = f"""
shapes = {SHAPES}
mesh = init_device_mesh("cpu", (SIZE,))
double = torch.float64
result = {{
    "rows": clipped(placed(mesh, [Shard(0)], shapes)),
    "columns": clipped(placed(mesh, [Shard(1)], shapes)),
    "columns are units": clipped(placed(mesh, [Shard(0)], shapes), unit_axis=1),
    "copies": clipped(placed(mesh, [Replicate()], shapes)),
    "huge": clipped(placed(mesh, [Shard(1)], shapes, double, 1e200)),
    "tiny": clipped(placed(mesh, [Shard(1)], shapes, double, 1e-290)),
    "bfloat16": clipped(placed(mesh, [Shard(0)], shapes, torch.bfloat16)),
    "some left alone": clipped(placed(mesh, [Shard(0)], shapes), exclude="bias"),
}}
"""

FOUR = f"""
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

shapes = {SHAPES}
mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
net = nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 5), nn.LayerNorm(5))
parallelize_module(net, mesh["tp"], {{"0": ColwiseParallel(), "2": RowwiseParallel()}})
fully_shard(net, mesh=mesh["dp"])
net(torch.ones(3, 6)).square().sum().backward()
kinds = {{type(p).__name__ for t in net.parameters() for p in t.placements}}
result = {{
    "rows, uneven and empty": clipped(placed(init_device_mesh("cpu", (4,)), [Shard(0)], shapes)),
    "copies of rows": clipped(placed(mesh, [Replicate(), Shard(0)], shapes)),
    "rows of columns": clipped(placed(mesh, [Shard(1), Shard(0)], shapes)),
    "rows of rows": clipped(placed(mesh, [Shard(0), Shard(0)], shapes)),
    "tensor parallel": clipped(list(net.named_parameters())),
    "units from the end": clipped(placed(mesh, [Shard(0), Shard(1)], shapes), unit_axis=-1),
}}
assert "_StridedShard" in kinds
"""


def wanted(weight, gradient, axis):
    """Equation 3 of the paper, in float64, and the factor of each unit."""
    weight, gradient = np.array(weight), np.array(gradient)
    others = tuple(i for i in range(weight.ndim) if i != axis % max(weight.ndim, 1))
    if weight.ndim < 2:
        others = tuple(range(weight.ndim))
    largest = np.abs(gradient).max() or 1.0
    norms = np.sqrt(((gradient / largest) ** 2).sum(others, keepdims=True)) * largest
    bounds = LAM * np.maximum(np.sqrt((weight**2).sum(others, keepdims=True)), EPS)
    factors = np.minimum(1.0, bounds / np.maximum(norms, 1e-6))
    return factors * gradient, factors


@pytest.fixture(scope="module", params=[2, 4])
def told(request, tmp_path_factory):
    program = TRAINING + CLIPPED + {2: TWO, 4: FOUR}[request.param]
    folder = tmp_path_factory.mktemp("units")
    return processes.each_of(request.param, program, folder, STRATEGIES)


def test_every_rank_clips_its_part_of_each_unit_as_the_whole_is_clipped(told):
    for name, (_, weights, before, after, rows, numbers) in told[0].items():
        axis = {"columns are units": 1, "units from the end": -1}.get(name, 0)
        digits = 5e-3 if name == "bfloat16" else 1e-6
        norms = []
        for parameter, _, scale in rows:
            expected, factors = wanted(weights[parameter], before[parameter], axis)
            if name == "some left alone" and parameter == "bias":
                expected, factors = np.array(before[parameter]), np.ones(1)
            np.testing.assert_allclose(after[parameter], expected, rtol=digits, err_msg=name)
            assert scale == pytest.approx(factors.min(), rel=1e-6), (name, parameter)
            largest = np.abs(expected).max()
            norms.append(largest * np.linalg.norm(expected / largest))
        joint = max(norms) * np.linalg.norm(np.array(norms) / max(norms))
        assert numbers[1] == pytest.approx(joint, rel=1e-6, abs=0.0), name
        assert numbers[3:] == [False, 1], name


def test_verdicts_are_the_same_bits_on_all_ranks(told):
    for name, (report, *_) in told[0].items():
        assert all(rank[name][0] == report for rank in told), name


def test_something_was_clipped_and_something_was_not(told):
    for name, (*_, rows, _) in told[0].items():
        scales = [scale for *_, scale in rows]
        if name == "tiny":
            assert scales == [1.0] * len(scales)
        else:
            assert min(scales) < 1.0, name


FAULTY = """
named = placed(init_device_mesh("cpu", (2,)), [Shard(1)], {"weight": (4, 6), "other": (3, 2)})
if rank == 1:
    named[0][1].grad._local_tensor[2, 0] = math.nan
result = clipped(named, json.loads(sys.argv[4]))
"""


@pytest.mark.parametrize("policy", ["skip", "zero", "zero_parameter"])
def test_a_unit_with_a_fault_on_one_rank_goes_by_what_is_left_of_it(policy, tmp_path):
    ranks = processes.both(TRAINING + CLIPPED + FAULTY, tmp_path, STRATEGIES, json.dumps(policy))

    report, weights, before, after, _, numbers = ranks[0]
    assert report == ranks[1][0]
    assert numbers[3] == (policy == "skip")
    if policy == "skip":
        assert after == {"weight": None, "other": None}
        return
    left = {name: np.nan_to_num(np.array(value)) for name, value in before.items()}
    if policy == "zero_parameter":
        left["weight"] = np.zeros((4, 6))
    for name, gradient in left.items():
        expected, _ = wanted(weights[name], gradient, 0)
        np.testing.assert_allclose(after[name], expected, rtol=1e-6)


PIPELINE = """
torch.manual_seed(rank)
named = [(f"stage{rank}.{i}", nn.Parameter(torch.randn(2 + i, 3))) for i in range(rank)]
for _, tensor in named:
    tensor.grad = torch.randn_like(tensor)
before = [[t.tolist(), t.grad.tolist()] for _, t in named]
guard = gradcore.Guard(named, clip=AGC(lam=0.05), process_group=dist.group.WORLD)
report = guard.apply()
result = [told(report), len(report.parameters), before, [t.grad.tolist() for _, t in named]]
"""


def test_units_of_other_stages_are_none_of_its_own(tmp_path):
    ranks = processes.each_of(3, TRAINING + CLIPPED + PIPELINE, tmp_path, STRATEGIES)

    for report, parameters, before, after in ranks:
        assert report == ranks[0][0]
        assert parameters == 3
        for (weight, gradient), clipped in zip(before, after, strict=True):
            np.testing.assert_allclose(clipped, wanted(weight, gradient, 0)[0], rtol=1e-6)
