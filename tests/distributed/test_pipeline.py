"""Stages of a pipeline: different parameters on each rank, on one no gradients, or none at all."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import processes
from distributed.programs import TRAINING

STRATEGIES = Path(__file__).parents[2] / "plugins" / "gradcore-strategies" / "src"

STAGES = """
world = dist.group.WORLD

def stage(count):
    torch.manual_seed(rank)
    named = [(f"stage{rank}.{i}", nn.Parameter(torch.randn(3 + rank))) for i in range(count)]
    for _, tensor in named:
        tensor.grad = torch.randn(3 + rank)
    return named

def gathered(value):
    everyone = [None] * SIZE
    dist.all_gather_object(everyone, value)
    return everyone

def run(named, **options):
    guard = gradcore.Guard(named, process_group=world, **options)
    flat = [x for _, t in named if t.grad is not None for x in t.grad.tolist()]
    everyone = [x for part in gathered(flat) for x in part]
    report = guard.apply()
    after = [x for _, t in named if t.grad is not None for x in t.grad.tolist()]
    return [told(report), report.norm, report.clipped_norm, len(reduced), everyone, flat, after]
"""

PARTS = """
result = {}
result["unequal"] = run(stage(rank + 1), max_norm=1.0)
reduced.clear()
named = stage(rank + 1)
for _, tensor in named:
    tensor.grad = None if rank == 2 else torch.ones_like(tensor)
result["none on one"] = run(named, max_norm=1.0)
reduced.clear()
result["no parameters on one"] = run(stage(2) if rank else [], max_norm=1.0)
reduced.clear()
named = stage(2) if rank else []
if rank == 2:
    named[0][1].grad[0] = math.nan
result["NaN beside an empty rank"] = run(named, max_norm=1.0)
reduced.clear()
every = ("l1", "max_abs", "sum", "zeros", "lp", "parameter_l2")
result["all statistics"] = run(stage(rank), needs=every, check_parameters=True)
each = {"bounds": {"stage2.*": 0.5, "stage1.0": 2.0}, "unknown": {"head": 1.0}}
for name, bounds in each.items():
    try:
        result[name] = run(stage(rank), clip=("per_parameter_norm", {"bounds": bounds}))
    except gradcore.DistributedError as error:
        result[name] = str(error)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return processes.each_of(3, TRAINING + STAGES + PARTS, tmp_path_factory.mktemp("stages"))


@pytest.mark.parametrize("part", ["unequal", "none on one", "no parameters on one"])
def test_stages_are_bounded_by_the_norm_of_all_of_them(part, told):
    first, *others = (rank[part] for rank in told)

    for report, norm, clipped_norm, reductions, everyone, before, after in (first, *others):
        assert report == first[0]
        assert reductions == 1
        wanted = np.linalg.norm(np.array(everyone))
        assert norm == pytest.approx(wanted, rel=1e-14)
        assert clipped_norm == pytest.approx(1.0, rel=1e-14)
        assert after == pytest.approx([x / wanted for x in before], rel=1e-6)
    assert first[1] == math.sqrt(3 + 2 * 4) if part == "none on one" else first[1] > 0.0


def test_what_one_stage_has_stops_one_that_has_nothing(told):
    reports = [rank["NaN beside an empty rank"][0] for rank in told]

    assert reports[0] == reports[1] == reports[2]
    assert "'nonfinite_ranks': '2'" in reports[0]
    assert "'skipped': True" in reports[0]


def test_every_statistic_is_of_all_stages(told):
    reports = [rank["all statistics"][0] for rank in told]

    assert reports[0] == reports[1] == reports[2]
    for name in ("stage1.0", "stage2.0", "stage2.1"):
        assert name in reports[0]


def test_bounds_by_name_are_for_the_names_of_all_stages(told):
    for rank in told:
        assert rank["bounds"][0] == told[0]["bounds"][0]
        assert "the pattern 'head' matches no parameter of stage1.0, stage2.0, stage2.1" in str(
            rank["unknown"]
        )
    before, after = (np.array(part[:4]) for part in told[1]["bounds"][-2:])
    assert np.linalg.norm(after) == pytest.approx(min(2.0, np.linalg.norm(before)), rel=1e-6)


SAVED = """
import copy
sys.path.insert(0, sys.argv[3])
from gradcore_strategies.adagc import AdaGC

def stepped(guard, seeds):
    reports = []
    for seed in seeds:
        torch.manual_seed(10 * seed + rank)
        for tensor in guard.parameters.tensors:
            tensor.grad = torch.randn_like(tensor)
        reports.append(told(guard.apply()))
    return reports

def made():
    return gradcore.Guard(named, clip=AdaGC(warmup=2), process_group=world)

named = stage(rank)
whole = stepped(made(), range(6))
guard = made()
parts = stepped(guard, range(3))
state = copy.deepcopy(guard.state_dict())
other = made()
other.load_state_dict(state)
parts += stepped(other, range(3, 6))
result = [whole, parts, state["clip"]["memory"]["gamma"].tolist()]
"""


def test_a_saved_memory_of_all_stages_is_taken_up_again(tmp_path):
    ranks = processes.each_of(3, TRAINING + STAGES + SAVED, tmp_path, STRATEGIES)

    for whole, parts, memory in ranks:
        assert whole == parts == ranks[0][0]
        assert len(memory) == 3
        assert min(memory) > 0.0


def test_no_parameters_and_nobody_to_decide_with_is_an_error():
    import gradcore  # noqa: PLC0415 - ranks import it for themselves

    with pytest.raises(ValueError, match="process_group="):
        gradcore.Guard([])
