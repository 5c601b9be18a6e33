"""A step that stands out of the ones before is a spike, by its robust z-score."""

from __future__ import annotations

import statistics

import pytest

import findings
import gradcore
from gradcore.checks import Spike


def planted(net, *steps, times=50.0):
    """Regression in which the loss of some steps is many times as large."""
    loss_of = findings.regression(net)
    return lambda step: loss_of(step) * (times if step in steps else 1.0)


def score(norms, step, window=100):
    """The modified z-score of Iglewicz and Hoaglin, from the definition."""
    before = norms[max(0, step - window) : step]
    median = statistics.median(before)
    deviation = statistics.median(abs(norm - median) for norm in before)
    return 0.6745 * (norms[step] - median) / deviation


def test_every_spike_is_said_with_its_score():
    net = findings.network()

    run = findings.train(net, planted(net, 30, 45), 60, Spike(), lr=1e-4)
    assert run.steps == [(30, "warning"), (45, "warning")]
    for step, finding in run.found:
        assert finding.values["z"] == pytest.approx(score(run.joint, step), rel=1e-5)
        assert finding.values["norm"] == pytest.approx(run.joint[step], rel=1e-6)
        assert finding.values["median"] == pytest.approx(
            statistics.median(run.joint[:step]), rel=1e-6
        )
    others = [score(run.joint, step) for step in range(20, 60) if step not in {30, 45}]
    assert max(others) < 20.0


def test_of_several_in_a_row_the_first_is_said():
    net = findings.network()

    run = findings.train(net, planted(net, *range(30, 40), 50), 60, Spike(), lr=1e-4)
    assert [step for step, _ in run.steps] == [30, 50]


def test_a_spike_that_was_clipped_is_only_mentioned():
    net = findings.network()

    run = findings.train(net, planted(net, 30), 40, Spike(), max_norm=2.0, lr=1e-4)
    assert run.reports[30].clipped
    assert run.steps == [(30, "info")]
    assert run.reports[30].healthy
    assert "clipped" in run.found[0][1].recommendation


def test_norms_that_are_all_alike_do_not_make_a_small_change_a_spike():
    """With a deviation of nothing every change would be infinitely unlikely."""
    net = findings.network()
    loss_of = findings.regression(net)

    run = findings.train(
        net, lambda step: loss_of(0) * (1.5 if step == 30 else 1.0), 40, Spike(), lr=1e-12
    )
    assert statistics.median(abs(n - run.joint[0]) for n in run.joint[:30]) < 1e-9
    assert run.found == []


def test_nothing_is_said_before_there_is_something_to_compare_with():
    net = findings.network()

    assert findings.train(net, planted(net, 19), 20, Spike(), lr=1e-4).found == []
    net = findings.network()
    assert len(findings.train(net, planted(net, 20), 21, Spike(), lr=1e-4).found) == 1


def test_a_spike_that_was_skipped_is_only_mentioned():
    class Above:
        """A strategy that skips what is above 10."""

        name = "above"

        def __call__(self, statistics):
            return gradcore.Skip(statistics.norm > 10.0)

    net = findings.network()

    run = findings.train(net, planted(net, 30), 31, Spike(), clip=Above(), lr=1e-4)
    assert run.reports[30].skipped
    assert run.steps == [(30, "info")]
    assert "skipped" in run.found[0][1].recommendation


@pytest.mark.parametrize(
    "options", [{"z": 0.0}, {"factor": -1.0}, {"window": 0}, {"warmup": 0}], ids=str
)
def test_options_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Spike(**options)
