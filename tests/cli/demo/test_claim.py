"""The verdict follows from the numbers of the three runs."""

from __future__ import annotations

import math

import pytest

from gradcore.cli.demo.claim import found, judge
from gradcore.cli.demo.faults import SPIKE, Fault, Kind
from gradcore.cli.demo.outcome import Run
from gradcore.parameter_table import ParameterReport
from gradcore.report import Counts, Report

SIZES = {"first": 6, "second": 4}
NAN = Fault(0, Kind.NAN, 0.9, 0.0, 1)


def finished(after, **values):
    return Run("run", SIZES, before=4.6, after=after, losses=[4.6, after], **values)


def report_of(counts, place=None, norm=1.0, *, clipped=False):
    rows = [
        ParameterReport(
            name, size, norm if name == "second" else 0.0, None, None, None, 0, 0, 0, 1.0
        )
        for name, size in SIZES.items()
    ]
    return Report(
        step=0,
        norm=norm,
        clipped_norm=1.0,
        scale=1.0,
        clipped=clipped,
        nonfinite=counts,
        repaired=0,
        skipped=counts.total > 0,
        parameters=rows,
        first_nonfinite=place,
    )


@pytest.mark.parametrize("after", [1.91, 2.0, 2.09])
def test_the_claim_holds_if_the_final_loss_is_within_five_percent(after):
    assert judge(finished(2.0), finished(math.nan), finished(after)).holds


@pytest.mark.parametrize("after", [1.89, 2.11, math.inf, math.nan])
def test_the_claim_fails_if_the_final_loss_is_not(after):
    assert not judge(finished(2.0), finished(math.nan), finished(after)).holds


def test_the_claim_fails_if_one_number_of_the_model_is_not_finite():
    verdict = judge(finished(2.0), finished(2.0), finished(2.0, nonfinite_parameters=1))

    assert not verdict.holds
    assert "1 of the model's 10 numbers are NaN or infinite" in verdict.gradcore


def test_the_claim_fails_if_gradcore_ended_the_run():
    verdict = judge(finished(2.0), finished(2.0), finished(2.0, stopped="NaN in 'first'."))

    assert not verdict.holds
    assert verdict.gradcore == "gradcore ended the run: NaN in 'first'."


def test_the_dead_run_of_torch_is_told_with_its_step_and_its_fault():
    dead = finished(math.nan, nonfinite_parameters=10, planted=[NAN])

    assert judge(finished(2.0), dead, finished(2.0)).torch == (
        "torch's run died: 10 of the model's 10 numbers are NaN or infinite,"
        " its loss from step 1 on; planted at step 0: NaN in 'second'."
    )


def test_a_surviving_run_of_torch_is_told_and_is_no_failure():
    verdict = judge(finished(2.0), finished(2.02, planted=[NAN]), finished(2.0))

    assert verdict.holds
    assert verdict.torch == "torch's run survived the same faults (1): loss 2.020."


def test_without_faults_nothing_is_claimed_of_torch():
    verdict = judge(finished(2.0), finished(2.0), finished(2.0))

    assert verdict.holds
    assert verdict.torch == "No fault was planted, so torch's run had nothing to survive."


@pytest.mark.parametrize(
    ("fault", "report"),
    [
        (NAN, report_of(Counts(nan=1), "second")),
        (Fault(0, Kind.INF, 0.0, 0.0, 1), report_of(Counts(posinf=1), "first")),
        (Fault(0, Kind.INF, 0.0, 0.0, -1), report_of(Counts(neginf=1), "first")),
        (Fault(0, Kind.TENSOR, 0.0, 0.0, 1), report_of(Counts(nan=6), "first")),
        (Fault(0, Kind.SPIKE, 0.9, 0.0, 1), report_of(Counts(), norm=SPIKE, clipped=True)),
    ],
)
def test_a_fault_is_found_if_the_report_shows_it_where_it_was_planted(fault, report):
    assert found(finished(2.0, planted=[fault], reports=[report])) == [fault]


@pytest.mark.parametrize(
    ("fault", "report"),
    [
        (NAN, report_of(Counts())),
        (NAN, report_of(Counts(nan=2), "second")),
        (NAN, report_of(Counts(nan=1), "first")),
        (Fault(0, Kind.INF, 0.0, 0.0, 1), report_of(Counts(neginf=1), "first")),
        (Fault(0, Kind.TENSOR, 0.0, 0.0, 1), report_of(Counts(nan=5), "first")),
        (Fault(0, Kind.SPIKE, 0.9, 0.0, 1), report_of(Counts(), norm=SPIKE)),
        (Fault(0, Kind.SPIKE, 0.0, 0.0, 1), report_of(Counts(), norm=SPIKE, clipped=True)),
        (Fault(0, Kind.SPIKE, 0.9, 0.0, 1), report_of(Counts(posinf=1), "second", clipped=True)),
    ],
)
def test_a_fault_is_not_found_if_kind_amount_or_place_is_another(fault, report):
    assert found(finished(2.0, planted=[fault], reports=[report])) == []


def test_a_fault_that_ended_the_run_has_no_report():
    assert found(finished(2.0, planted=[NAN])) == []
