"""Runs of one seed differ in how they step and in the planted faults, and in nothing else."""

from __future__ import annotations

import math

import pytest
import torch

from gradcore.cli.demo.faults import Fault, Kind
from gradcore.cli.demo.text import read_text, standard_library
from gradcore.cli.demo.training import gradcore_step, torch_step, train

STEPS = 5
NAN_AT_THREE = {3: Fault(3, Kind.NAN, 0.5, 0.5, 1)}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """As the demo does, for its reasons."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def text():
    return read_text(standard_library())


def run(text, make_step, faults):
    told = []
    outcome = train(
        "run", make_step, text=text, steps=STEPS, seed=0, faults=faults, tell=told.append
    )
    assert told == pytest.approx(outcome.losses, nan_ok=True, rel=0, abs=0)
    return outcome


@pytest.fixture(scope="module")
def undisturbed(text):
    return run(text, torch_step, {})


def test_without_faults_gradcore_trains_as_torch_does(text, undisturbed):
    """Up to torch's 1e-6 beside the norm, and rounding."""
    guarded = run(text, gradcore_step("skip"), {})

    assert guarded.losses == pytest.approx(undisturbed.losses, rel=1e-4)
    assert guarded.norms == pytest.approx(undisturbed.norms, rel=1e-3)
    assert guarded.skipped == 0
    assert guarded.alive


def test_torch_is_as_undisturbed_up_to_the_fault_and_dead_after_it(text, undisturbed):
    disturbed = run(text, torch_step, NAN_AT_THREE)

    assert disturbed.losses[:4] == undisturbed.losses[:4]
    assert all(math.isnan(loss) for loss in disturbed.losses[4:])
    assert disturbed.nonfinite_parameters == sum(disturbed.sizes.values())
    assert not disturbed.alive


def test_gradcore_skips_the_fault_and_lives(text, undisturbed):
    guarded = run(text, gradcore_step("skip"), NAN_AT_THREE)

    assert guarded.losses[0] == undisturbed.losses[0]
    assert [report.skipped for report in guarded.reports] == [n == 3 for n in range(STEPS)]
    assert guarded.nonfinite_parameters == 0
    assert guarded.alive


def test_a_policy_that_raises_ends_the_run_and_its_words_are_kept(text):
    stopped = run(text, gradcore_step("raise"), NAN_AT_THREE)

    assert len(stopped.losses) == 3
    assert stopped.stopped
    assert stopped.nonfinite_parameters == 0
