"""A norm far above its own history, or above the bound, is an explosion."""

from __future__ import annotations

import statistics

import pytest
import torch
from torch import nn

import findings
from gradcore.checks import Explosion


def limit_at(norms, step, *, bound=100.0, factor=10.0, window=100, warmup=20):
    """What a norm may be at a step, from the definition."""
    before = norms[max(0, step - window) : step]
    return min(bound, factor * statistics.median(before)) if len(before) >= warmup else bound


def test_a_learning_rate_too_large_is_said_as_the_norm_leaves_the_bound_and_when_critical():
    """A linear model diverges geometrically."""
    torch.manual_seed(0)
    net = nn.Linear(4, 1)

    run = findings.train(net, findings.regression(net), 80, Explosion(), lr=1.3)
    excess = [norm / limit_at(run.joint, step) for step, norm in enumerate(run.joint)]
    first = next(step for step, times in enumerate(excess) if times > 1.0)
    critical = next(step for step, times in enumerate(excess) if times >= 100.0)
    assert first < critical
    assert run.steps[:2] == [(first, "warning"), (critical, "critical")]
    assert len(run.steps) == 2
    _, finding = run.found[0]
    assert finding.values["norm"] == pytest.approx(run.joint[first], rel=1e-6)
    assert finding.values["limit"] == pytest.approx(limit_at(run.joint, first), rel=1e-6)


def test_a_step_of_a_hundred_times_the_usual_norm_is_said_with_the_numbers_and_the_layer():
    net = findings.network()
    loss_of = findings.regression(net)

    run = findings.train(
        net, lambda step: loss_of(step) * (100.0 if step == 30 else 1.0), 40, Explosion()
    )
    usual = statistics.median(run.joint[:30])
    largest = max(run.norms[30], key=run.norms[30].get)
    assert run.steps == [(30, "warning")]
    _, finding = run.found[0]
    assert finding.values == pytest.approx(
        {"norm": run.joint[30], "median": usual, "limit": 10.0 * usual}, rel=1e-6
    )
    assert finding.parameters == (largest,)
    assert f"{run.joint[30] / usual:.3g} times" in finding.message
    assert "max_norm" in finding.recommendation


def test_what_lasts_is_said_again_after_so_many_reports_and_not_before():
    net = findings.network()
    loss_of = findings.regression(net)
    check = Explosion(bound=1e-3, again=7)

    run = findings.train(
        net, lambda step: 1e-4 * loss_of(step) * (20 if step > 2 else 1), 20, check
    )
    held = [step for step, norm in enumerate(run.joint) if norm > 1e-3]
    assert [step for step, _ in run.steps] == held[::7]


def test_a_history_of_large_norms_is_no_explosion_without_a_bound():
    net = findings.network()
    loss_of = findings.regression(net)
    check = Explosion(bound=float("inf"))

    run = findings.train(net, lambda step: 1e6 * loss_of(step), 60, check, lr=1e-9)
    assert min(run.joint) > 100.0
    assert run.found == []


def test_steps_that_are_not_finite_do_not_enter_the_median():
    net = findings.network()
    loss_of = findings.regression(net)

    run = findings.train(
        net, lambda step: loss_of(step) * (float("nan") if step % 2 else 1.0), 60, Explosion()
    )
    assert run.found == []


def test_the_advice_is_about_what_was_done():
    net = findings.network()
    loss_of = findings.regression(net)
    planted = lambda step: loss_of(step) * (100.0 if step == 30 else 1.0)  # noqa: E731

    run = findings.train(net, planted, 31, Explosion(), max_norm=1e-2)
    assert "Clipping brought it down to 0.01" in run.found[0][1].recommendation


def test_a_history_is_minded_as_soon_as_it_is_long_enough():
    """At step 20 there are twenty norms before it, at step 19 one too few."""
    for step, expected in ((19, []), (20, [(20, "warning")])):
        net = findings.network()
        loss_of = findings.regression(net)

        def planted(at, step=step, loss_of=loss_of):
            return loss_of(at) * (50.0 if at == step else 1.0)

        check = Explosion(bound=float("inf"))
        assert findings.train(net, planted, 21, check, lr=1e-5).steps == expected


@pytest.mark.parametrize(
    "options",
    [{"bound": 0.0}, {"factor": float("nan")}, {"window": 0}, {"warmup": -1}, {"again": 101}],
    ids=str,
)
def test_options_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Explosion(**options)
