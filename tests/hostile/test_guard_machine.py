"""Whatever is done to a guard and in whatever order, it does what a slow one does in exact numbers.

Steps in every way there is, faults of every kind, state through files, parameters that are frozen,
added, and of another dtype.
"""

from __future__ import annotations

import io
import math

import pytest
import torch
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from torch import Tensor, nn

import gradcore
import gradients
import planted
from slow_bounds import STRATEGIES
from slow_guard import POLICIES, SlowGuard

RATE = 2.0**-10
LIMIT = 4
"""Non-finite steps in a row that are an error."""

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64)
PASSING = {"propagate", "detect"}

policies = st.sampled_from(sorted(POLICIES))
strategies = st.sampled_from([None, *sorted(STRATEGIES)])


class Model(nn.Module):
    """Parameters that nothing is computed with: gradients are planted."""

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("matrix", _filled(torch.float32, 3, 2))
        self.register_parameter("wide", _filled(torch.float64, 3))
        self.register_parameter("short", _filled(torch.bfloat16, 2))


class GuardMachine(RuleBasedStateMachine):
    """Runs a guard and a slow one side by side."""

    @initialize(policy=policies, strategy=strategies, of_module=st.booleans())
    def begin(self, policy, strategy, of_module):
        self.model = Model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=RATE)
        self.of_module = of_module
        self.held: dict[Tensor, Tensor] = {}
        self.another_guard(policy, strategy)

    @rule(policy=policies, strategy=strategies)
    def another_guard(self, policy, strategy):
        self.slow = SlowGuard(policy, strategy, LIMIT)
        self.guard = self.made()

    def made(self):
        strategy = self.slow.bounds.strategy
        return gradcore.Guard(
            self.model if self.of_module else self.optimizer,
            clip=None if strategy is None else (strategy, STRATEGIES[strategy]),
            nonfinite=(self.slow.policy, POLICIES[self.slow.policy]),
            max_consecutive=LIMIT,
        )

    @property
    def parameters(self):
        return list(self.model.parameters())

    @rule()
    def through_a_file(self):
        file = io.BytesIO()
        torch.save(self.guard.state_dict(), file)
        file.seek(0)
        self.guard = self.made()
        self.guard.load_state_dict(torch.load(file, weights_only=True))
        self.slow.forget_snapshot()

    @rule(data=st.data())
    def freeze_or_train(self, data):
        parameter = data.draw(st.sampled_from(self.parameters))
        parameter.requires_grad_(not parameter.requires_grad)
        parameter.grad = None

    @precondition(lambda self: len(self.parameters) < 5)
    @rule(dtype=st.sampled_from(DTYPES), size=st.sampled_from([(), (0,), (1,), (4,)]))
    def add_a_parameter(self, dtype, size):
        # A state is of the parameters that a guard was made for.
        parameter = _filled(dtype, *size)
        self.model.register_parameter(f"added{len(self.parameters)}", parameter)
        self.optimizer.add_param_group({"params": [parameter]})

    @rule(data=st.data(), dtype=st.sampled_from(DTYPES))
    def change_the_dtype(self, data, dtype):
        # A snapshot of another dtype cannot be written back, which is an error of its own.
        assume(not self.slow.rolls_back)
        parameter = data.draw(st.sampled_from(self.parameters))
        parameter.grad = None
        parameter.data = _filled(dtype, *parameter.shape).data

    @rule(
        data=st.data(),
        how=st.sampled_from(["step", "apply", "attached", "closure"]),
        loss=st.sampled_from([None, None, 1.5, math.nan, math.inf]),
        faults=st.booleans(),
    )
    def step(self, data, how, loss, faults):
        for parameter in self.parameters:
            parameter.grad = None
            if parameter.requires_grad and data.draw(st.integers(0, 7)):
                parameter.grad = data.draw(planted.gradient(parameter, faults=faults))
        if how == "attached":  # no loss is known there
            loss = None
        parameters = self.parameters
        before = [p.detach().clone() for p in parameters]
        given = [None if p.grad is None else p.grad.clone() for p in parameters]
        rows = [None if g is None else gradients.elements(g) for g in given]
        forms = [gradients.FORMATS[p.dtype] for p in parameters]
        trained = [p for p in parameters if p.requires_grad]
        expected = self.slow.step(rows, forms, loss, trained)
        if expected.snapshot:
            self.held = {p: p.detach().clone() for p in trained}

        stopped = False
        try:
            report = self.take(how, loss)
        except gradcore.NonfiniteGradientError:
            stopped = True
            report = self.guard.history[-1]
        assert stopped == expected.stopped
        self.check_report(report, expected)
        taken = not expected.skipped
        for i, (parameter, old) in enumerate(zip(parameters, before, strict=True)):
            if taken and given[i] is not None:
                planted.check_left(parameter.grad, expected.gradients[i])
                planted.check_stepped(parameter, old, RATE)
                continue
            wanted = self.held.get(parameter, old) if expected.restored else old
            assert gradients.bits(parameter) == gradients.bits(wanted)
            if not taken and given[i] is not None:
                keeps = stopped or how == "step"
                assert (parameter.grad is not None) == keeps
                assert not keeps or gradients.bits(parameter.grad) == gradients.bits(given[i])

    def take(self, how, loss):
        if how == "step":
            return self.guard.step(self.optimizer, loss=loss)
        if how == "apply":
            report = self.guard.apply(loss=loss, optimizer=self.optimizer)
            self.optimizer.step()
            return report
        handle = self.guard.attach(self.optimizer)
        try:
            closure = (lambda: loss) if how == "closure" else None
            self.optimizer.step(closure)
        finally:
            handle.remove()
        return self.guard.history[-1]

    def check_report(self, report, expected):
        narrow = any(p.dtype in gradients.NARROW for p in self.parameters)
        counts = report.nonfinite
        assert (counts.nan, counts.posinf, counts.neginf) == expected.counts
        assert report.norm == pytest.approx(expected.norm, rel=1e-6, abs=1e-300, nan_ok=True)
        # Of what clipping leaves 16 bits keep eight.
        rough = {"rel": 5e-3, "abs": 1e-6} if narrow else {"rel": 1e-6, "abs": 1e-44}
        assert report.clipped_norm == pytest.approx(expected.clipped_norm, nan_ok=True, **rough)
        assert report.step == self.slow.steps - 1
        assert report.skipped == expected.skipped
        assert report.restored == expected.restored
        assert report.repaired == expected.repaired
        names = self.guard.names
        for name in ("first_nonfinite", "last_clean"):
            index = getattr(expected, name)
            assert getattr(report, name) == (None if index is None else names[index])

    @invariant()
    def remembers_what_was(self):
        history = self.guard.history
        assert self.guard.steps == self.slow.steps == len(history)
        assert self.guard.streak.length == self.slow.streak
        wanted = self.slow.norms
        assert [r.norm for r in history] == pytest.approx(wanted, rel=1e-6, abs=1e-300, nan_ok=True)

    @invariant()
    def memory_is_what_was_learnt(self):
        memory, strategy = self.slow.bounds, self.guard.clip
        if self.slow.bounds.strategy == "ema":
            assert strategy.mean.item() == pytest.approx(memory.mean, rel=1e-6)
        if self.slow.bounds.strategy in {"percentile", "adaptive"}:
            count = int(strategy.norms.count)
            values = sorted(strategy.norms.values.tolist(), reverse=True)[:count]
            assert values == pytest.approx(sorted(memory.norms, reverse=True), rel=1e-6)
        if self.slow.bounds.strategy == "adaptive":
            assert strategy.multiplier.item() == pytest.approx(memory.multiplier)

    @invariant()
    def parameters_stay_finite_under_policies_that_protect(self):
        if self.slow.policy in PASSING:
            for parameter in self.parameters:
                parameter.data.nan_to_num_(0.0, 0.0, 0.0)
        assert all(bool(torch.isfinite(p).all()) for p in self.parameters)


def _filled(dtype, *size):
    return nn.Parameter(torch.full(size, 0.5, dtype=dtype))


TestGuard = GuardMachine.TestCase
TestGuard.settings = settings(max_examples=40, stateful_step_count=25)
