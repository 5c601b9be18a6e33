"""``gradcore demo`` from its command line to its exit status."""

from __future__ import annotations

import builtins
import math
import re

import pytest
import torch

from gradcore.cli import main

SHORT = ("--steps", "12", "--fault-rate", "0.34")


@pytest.fixture
def demo(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*options):
        status = main(["demo", *options])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def row(out, title):
    return next(line for line in out.splitlines() if line.startswith(title)).split()[-3:]


def test_every_fault_is_found_and_torch_dies_and_gradcore_lives(demo, tmp_path):
    """Whether so short a run ends within 5 % is for the longer one below to say."""
    status, out, err = demo(*SHORT)

    assert row(out, " faults planted") == ["0", "4", "4"]
    assert row(out, " faults found") == ["-", "-", "4"]
    assert row(out, " steps skipped") == ["-", "-", "3"]
    assert row(out, " model finite") == ["yes", "no", "yes"]
    before, after = (row(out, f" held-out loss {when}") for when in ("before", "after"))
    assert len(set(before)) == 1
    assert after[1] == "NaN"
    assert float(after[2]) < float(before[2])
    difference = float(after[2]) / float(after[0]) - 1.0
    assert status == (0 if abs(difference) <= 0.05 else 1)
    assert re.search(r"gradcore logged \d warnings?:", out)
    assert "NaN or infinite" in out
    assert "torch's run died" in out
    assert "gradcore's run lived" in out
    assert (tmp_path / "gradcore-demo.png").exists()
    assert err == ""


def test_the_claim_holds_at_the_default_rate(demo):
    status, out, _ = demo("--steps", "100")

    assert status == 0
    assert "gradcore's run lived" in out


def test_without_faults_all_runs_agree_and_there_is_nothing_to_survive(demo):
    status, out, _ = demo("--steps", "8", "--fault-rate", "0")

    assert status == 0
    undisturbed, plain, guarded = map(float, row(out, " held-out loss after"))
    assert undisturbed == plain
    assert math.isclose(undisturbed, guarded, rel_tol=2e-3)
    assert "No fault was planted" in out
    assert "gradcore logged" not in out


def test_a_policy_that_repairs_says_how_many_elements(demo):
    _, out, _ = demo(*SHORT, "--policy", "zero")

    assert row(out, " steps skipped") == ["-", "-", "0"]
    assert int(row(out, " gradient elements repaired")[2]) >= 3
    assert row(out, " model finite")[2] == "yes"


def test_a_policy_that_lets_nan_through_fails_the_claim(demo):
    status, out, _ = demo(*SHORT, "--policy", "propagate")

    assert status == 1
    assert row(out, " model finite")[2] == "no"
    assert "gradcore's run died" in out


def test_a_policy_that_raises_fails_the_claim_in_its_own_words(demo):
    status, out, _ = demo(*SHORT, "--policy", "raise")

    assert status == 1
    assert "gradcore ended the run: " in out
    assert row(out, " model finite")[2] == "yes"


def test_an_unknown_policy_is_refused_before_anything_is_trained(demo):
    status, out, err = demo("--policy", "sikp")

    assert status == 2
    assert out == ""
    assert "'sikp'" in err
    assert "skip" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--steps", "0"), "'0' is not a whole number of at least 1"),
        (("--fault-rate", "1.5"), "'1.5' is not a number from 0 to 1"),
        (("--fault-rate", "nan"), "'nan' is not a number from 0 to 1"),
        (("--seed", "-1"), "'-1' is not a whole number from 0 to 2^63 - 1"),
        (("--out", "demo.txt"), "'demo.txt' should end in one of .png, .pdf, .svg"),
    ],
)
def test_an_option_that_cannot_be_is_refused(capsys, options, message):
    with pytest.raises(SystemExit) as refused:
        main(["demo", *options])

    assert refused.value.code == 2
    assert message in capsys.readouterr().err


def test_out_may_be_a_folder_that_does_not_exist_yet(demo, tmp_path):
    _, out, _ = demo("--steps", "1", "--out", "pictures/today")

    assert (tmp_path / "pictures/today/gradcore-demo.png").exists()
    assert "gradcore-demo.png" in out


def test_without_matplotlib_it_says_how_to_get_it(demo, monkeypatch, tmp_path):
    real = builtins.__import__

    def without_matplotlib(name, *rest, **named):
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    _, out, _ = demo("--steps", "1")

    assert "For a picture of it as well: pip install matplotlib" in out
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_be_written_is_told_and_changes_no_verdict(demo, tmp_path):
    (tmp_path / "taken.png").mkdir()
    (tmp_path / "taken.png" / "gradcore-demo.png").mkdir()
    status, out, _ = demo("--steps", "1", "--fault-rate", "0", "--out", "taken.png")

    assert status == 0
    assert "There is no picture: " in out


def test_torch_keeps_its_number_of_threads(demo):
    before = torch.get_num_threads()

    demo("--steps", "1")

    assert torch.get_num_threads() == before
