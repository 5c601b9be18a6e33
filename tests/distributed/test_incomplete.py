"""Ranks that decide together and do not hold all of what they decide on."""

from __future__ import annotations

import pytest

import processes
from distributed.programs import TRAINING

SETUP = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

def placed(mesh, placements, **shapes):
    torch.manual_seed(0)
    named = []
    for name, shape in shapes.items():
        parameter = nn.Parameter(distribute_tensor(torch.zeros(shape), mesh, placements))
        parameter.grad = distribute_tensor(torch.randn(shape), mesh, placements)
        named.append((name, parameter))
    return named

def said_by(act):
    try:
        return act()
    except gradcore.DistributedError as error:
        return str(error)
"""

GROUPS = """
mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("stage", "shard"))
stages, shards = mesh["stage"].get_group(), mesh["shard"].get_group()
here = mesh.get_coordinate()[0]
named = placed(mesh["shard"], [Shard(0)], **{f"{here}.weight": (5, 3), f"{here}.one": (1,)})
both = placed(mesh, [Replicate(), Shard(0)], weight=(5, 3))
guarded = {"stages alone": (named, stages), "copies alone": (both, stages),
    "everyone": (named, dist.group.WORLD), "one stage": (named, shards), "one copy": (both, shards)}
result = {
    case: said_by(lambda: gradcore.Guard(these, max_norm=1e9, process_group=group).apply().norm)
    for case, (these, group) in guarded.items()
}
"""


def test_a_group_that_holds_some_pieces_of_a_parameter_is_an_error_on_all_of_its_ranks(tmp_path):
    ranks = processes.each_of(4, TRAINING + SETUP + GROUPS, tmp_path)

    for rank in ranks:
        assert rank["stages alone"].startswith(
            "Of the 2 pieces of '0.weight' the ranks that decide"
        )
        assert rank["copies alone"].startswith("Of the 2 pieces of 'weight'")
        assert "process_group=torch.distributed.group.WORLD" in rank["copies alone"]
        assert rank["everyone"] == ranks[0]["everyone"] == pytest.approx(2**0.5 * rank["one stage"])
        assert rank["one copy"] == ranks[0]["one copy"] > 0.0


ORDER = """
mesh = init_device_mesh("cpu", (SIZE,))
pair = [gradcore.Guard(placed(mesh, [Shard(0)], **{name: (4, 3)}), max_norm=9.0) for name in "ab"]
result = [[said_by(lambda: guard.apply().norm) for guard in (pair if rank else pair[::-1])]]
result += [[said_by(lambda: guard.apply().norm) for guard in pair]]
result += [[said_by(lambda: guard.apply().norm) for guard in (pair if rank else pair[::-1])]]
"""


def test_guards_stepped_in_another_order_are_an_error_rather_than_mixed_up(tmp_path):
    first, second = processes.both(TRAINING + SETUP + ORDER, tmp_path)

    assert first == second
    at_first, right, later = first
    assert all(said.startswith("Of the 2 pieces of") for said in at_first)
    assert all("in the same order on every rank" in said for said in at_first)
    assert all(isinstance(norm, float) for norm in right)
    assert all(said.startswith("Ranks differ in 'parameters'") for said in later)


MISSING = """
mesh = init_device_mesh("cpu", (SIZE,))
named = placed(mesh, [Shard(0)], weight=(5, 3), one=(1,))
without = lambda: gradcore.Guard(named, max_norm=0.1).apply().norm
clip = lambda: gradcore.clip_grad_norm_([tensor for _, tensor in named], 0.1).item()
result = []
for name, holder in (("one", 1), ("weight", 1), ("weight", 0)):
    parameter = dict(named)[name]
    gradient = parameter.grad
    if rank == holder:
        parameter.grad = None
    result.append([said_by(clip), said_by(without)])
    parameter.grad = gradient
"""


def test_a_gradient_on_the_ranks_of_some_pieces_alone_is_an_error_on_all(tmp_path):
    first, second = processes.both(TRAINING + SETUP + MISSING, tmp_path)

    assert first == second
    nothing, *others = first
    assert all(isinstance(norm, float) for norm in nothing)  # it holds an empty shard of "one"
    for clipped, applied in others:
        assert clipped.startswith("Ranks that hold tensor 0 differ")
        assert "'weight' has a gradient on some of the ranks that hold it" in applied
