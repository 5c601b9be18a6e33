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
from gradcore.cli.bench.saved import Findings
from gradcore.cli.bench.table import cells, machine, verdict
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
        "median": 1.1,
        "torch_median": 2.64,
        "noise": 0.123,
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


def test_noise_is_how_far_the_median_lies_above_the_minimum():
    assert Timing(minimum=2.0, median=2.5, rounds=9).noise == 0.25


def test_a_goal_is_met_by_a_row_that_is_fast_enough_and_by_no_other():
    (goal,) = goals_of(row())

    assert goal.speedup == 2.1
    assert goal.met_by(row(torch_reads=2.11))
    assert not goal.met_by(row(torch_reads=2.09))


def test_the_page_counts_the_lines_that_meet_their_goals():
    rows = [row(), row(torch_reads=2.0), row(case="repair 1 % and clip")]

    assert verdict(rows) == "goals of the table: 1 of 2 lines met"


def test_every_goal_is_about_some_row_of_the_table():
    rows = [
        row(workload=workload, dtype=str(dtype).removeprefix("torch."), case=case.name, threads=n)
        for workload, dtype in bench.FULL
        for case in CASES
        for n in (1, 2)
    ]

    assert [goal for goal in GOALS if not any(goal.is_about(each) for each in rows)] == []


def test_lists_that_fit_in_a_cache_are_compared_with_torch_alone():
    assert cells(row(workload="tiny"))[4:8] == ("", "", "2.50 x (2.40)", "12 %")
    assert cells(row())[4:8] == ("1.00 (1.10)", "2.50 (2.64)", "2.50 x (2.40)", "12 %")


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


def test_findings_are_kept_as_they_were_and_replaced_part_by_part(tmp_path):
    older = Findings("here", [row(), row(threads=2)], ["a sentence"])
    older.save(tmp_path)
    newer = Findings("here", [row(workload="tiny"), row(threads=2, reads=9.0)])
    assert Findings.load(tmp_path) == older

    joined = older.joined(newer)
    assert joined.sentences == ["a sentence"]
    assert joined.in_order((("tiny", "float32"), ("gpt2", "float32"))) == [
        row(workload="tiny"),
        row(),
        row(threads=2, reads=9.0),
    ]


def test_findings_of_another_machine_are_not_mixed_with_these(tmp_path):
    assert Findings.load(tmp_path) is None

    newer = Findings("there", [row()])
    assert Findings("here", [row(threads=2)], ["a sentence"]).joined(newer) == newer


def test_a_part_is_measured_alone_and_joins_what_was_saved(tmp_path, capsys):
    Findings(machine(), [row()], ["a sentence"]).save(tmp_path)

    options = ["--quick", "--only", "tiny", "--threads", "1", "--save", str(tmp_path)]
    assert main(["bench", *options]) == 0
    assert "safe_step" not in capsys.readouterr().out
    saved = (tmp_path / "cpu.md").read_text()
    assert (saved.count("| tiny |"), saved.count("| gpt2 |")) == (3, 1)
    assert "- a sentence" in saved
    assert not (tmp_path / "cpu.png").exists()


@pytest.mark.parametrize("text", ["resnet", "gpt2:float64", ""])
def test_parts_must_be_known(text, capsys):
    with pytest.raises(SystemExit):
        main(["bench", "--only", text])

    assert "parts are gpt2, gpt2:bfloat16" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "1,x", "", "-1"])
def test_numbers_of_threads_must_be_numbers(text, capsys):
    with pytest.raises(SystemExit):
        main(["bench", "--threads", text])

    assert "numbers of threads like 1,2 are wanted" in capsys.readouterr().err
