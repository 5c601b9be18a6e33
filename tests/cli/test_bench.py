"""``gradcore bench`` compares like with like, and says which goals are met."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import pytest
import torch

from gradcore.cli import bench, main
from gradcore.cli.bench.accuracy import errors, true_norm
from gradcore.cli.bench.cases import CASES, calls_of
from gradcore.cli.bench.goals import GOALS, Row, goals_of
from gradcore.cli.bench.resnet import ResNet50
from gradcore.cli.bench.table import cells
from gradcore.cli.bench.timing import Timing, compare
from gradcore.cli.bench.workloads import WORKLOADS, gradients_of, parameters_of, resnet50


def row(**changes: object) -> Row:
    values = {
        "workload": "gpt2",
        "dtype": "float32",
        "threads": 1,
        "case": "clip, within bounds",
        "reads": 1.0,
        "torch_reads": 2.5,
        "noisy": False,
    }
    return Row(**{**values, **changes})


@pytest.mark.parametrize(
    ("name", "tensors", "elements"),
    [
        ("tiny", 20, 41_600),
        ("many-small", 10_000, 640_000),
        ("resnet50", 161, 25_557_032),
        ("gpt2", 148, 124_439_808),
        ("one-big", 1, 100_000_000),
    ],
)
def test_workloads_have_the_published_sizes(name, tensors, elements):
    shapes = WORKLOADS[name]()

    assert len(shapes) == tensors
    assert sum(math.prod(shape) for shape in shapes) == elements


def test_the_resnet_that_trains_has_the_shapes_of_the_workload():
    with torch.device("meta"):
        model = ResNet50()

    shapes = sorted(tuple(parameter.shape) for parameter in model.parameters())
    assert shapes == sorted(resnet50())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_sides_of_a_case_leave_the_same_gradients(case):
    parameters = parameters_of([(50, 7), (3,)], torch.float32)
    calls, bring_back = calls_of(case, parameters)
    left = {}

    for side in ("gradcore", "torch"):
        bring_back()
        calls[side]()
        left[side] = torch.cat([g.flatten() for g in gradients_of(parameters)])
    torch.testing.assert_close(left["gradcore"], left["torch"], rtol=1e-4, atol=0.0)
    assert bool(left["torch"].isfinite().all())


def test_calls_take_turns_and_each_finds_the_same_start():
    order = []

    times = compare(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")},
        before=lambda: order.append("."),
        rounds=3,
        budget=60.0,
    )
    assert "".join(order) == ".a.b.b.a.a.b.b.a"
    assert times["a"].rounds == times["b"].rounds == 3


def test_a_timing_far_above_its_minimum_is_noisy():
    assert Timing(minimum=1.0, median=1.3, rounds=9).noisy
    assert not Timing(minimum=1.0, median=1.2, rounds=9).noisy


def test_a_goal_is_met_by_a_row_that_is_fast_enough_and_by_no_other():
    (goal,) = goals_of(row())

    assert goal.speedup == 2.1
    assert goal.met_by(row(torch_reads=2.11))
    assert not goal.met_by(row(torch_reads=2.09))


def test_every_goal_is_about_some_row_of_the_table():
    rows = [
        row(workload=workload, dtype=str(dtype).removeprefix("torch."), case=case.name, threads=n)
        for workload, dtype in bench.FULL
        for case in CASES
        for n in (1, 2)
    ]

    assert [goal for goal in GOALS if not any(goal.is_about(each) for each in rows)] == []


def test_lists_that_fit_in_a_cache_are_compared_with_torch_alone():
    assert cells(row(workload="tiny"))[4:7] == ("", "", "2.50 x")
    assert cells(row())[4:7] == ("1.00", "2.50", "2.50 x")


def test_errors_are_those_against_exact_arithmetic():
    parameters = parameters_of([(1000,)], torch.float32)
    exact = sum(Fraction(x) ** 2 for x in parameters[0].grad.tolist())

    assert true_norm(gradients_of(parameters)) == pytest.approx(math.sqrt(exact), rel=1e-15)
    ours, theirs = errors(parameters)
    assert ours < 1e-12 < theirs


def test_the_command_prints_a_table_and_saves_it_with_a_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "QUICK", bench.FULL[:1])  # all of it takes a minute
    monkeypatch.setattr("gradcore.cli.bench.growth.ELEMENTS", (64, 256))
    monkeypatch.setattr("gradcore.cli.bench.growth.TENSORS", (1, 4))

    assert main(["bench", "--quick", "--threads", "1", "--save", str(tmp_path / "results")]) == 0
    out = capsys.readouterr().out
    (line,) = re.findall(r"^ tiny .*clip, within bounds.*$", out, re.MULTILINE)
    assert re.search(r"\d\.\d\d x.* (met|missed)", line)
    assert "safe_step, added to a step of 20 small tensors" in out
    saved = (tmp_path / "results" / "cpu.md").read_text()
    assert saved.count("| tiny |") == 3
    assert (tmp_path / "results" / "cpu.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("text", ["0", "1,x", "", "-1"])
def test_numbers_of_threads_must_be_numbers(text, capsys):
    with pytest.raises(SystemExit):
        main(["bench", "--threads", text])

    assert "numbers of threads like 1,2 are wanted" in capsys.readouterr().err
