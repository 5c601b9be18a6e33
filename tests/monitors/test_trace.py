"""Which module is blamed when something turns non-finite, and with what numbers."""

from __future__ import annotations

import logging
import math

import pytest
import torch
from torch import nn

import gradcore
from faulty import Model, data, faulty, log_of_zero, root_of_zero, traced
from gradcore.monitors import trace_nonfinite

WAYS = pytest.mark.parametrize("at_once", [None, False], ids=["at once", "later"])


@WAYS
def test_nothing_is_found_where_nothing_is_wrong(at_once):
    model, x = Model(), data()
    model(x).square().sum().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()

    with trace_nonfinite(model, at_once=at_once) as tracer:
        model(x).square().sum().backward()

    assert tracer.event is None
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert torch.equal(parameter.grad, gradient)


@WAYS
def test_code_between_layers_is_blamed_on_the_block_around_it_forward(at_once):
    event = traced(faulty(log_of_zero), at_once=at_once)

    assert (event.module, event.direction, event.operation) == ("blocks.1", "forward", None)
    assert event.last_clean == "blocks.1.activation"


@WAYS
def test_code_between_layers_is_blamed_on_the_block_around_it_backward(at_once):
    event = traced(faulty(root_of_zero), at_once=at_once)

    assert (event.module, event.direction) == ("blocks.1", "backward")
    assert event.operation == "SqrtBackward0"
    assert event.last_clean == "blocks.1.outer"


@WAYS
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["blocks.0.norm", "blocks.2.outer", "head", "embedding"])
def test_a_layer_whose_parameters_are_not_finite_is_blamed(name, value, at_once):
    model = Model()
    layer = model.get_submodule(name)
    nn.init.constant_(layer.bias, value)
    event = traced(model, at_once=at_once)

    assert (event.module, event.direction) == (name, "forward")
    bad = [each for each in event.parameters if not each.finite]
    assert [each.name for each in bad] == [f"{name}.bias"]
    assert bad[0].nan + bad[0].posinf == layer.bias.numel()
    assert "safe_step" in str(event)


@pytest.mark.parametrize("fault", [nn.Identity(), nn.Dropout(0.0)], ids=["identity", "dropout"])
def test_a_module_that_hands_on_what_was_bad_is_not_blamed(fault):
    event = traced(faulty(lambda h: fault(log_of_zero(h))))

    assert event.module == "blocks.1"


@WAYS
def test_a_bad_batch_is_called_the_input(at_once):
    x = data()
    x[2, 1] = math.nan
    event = traced(Model(), x, at_once=at_once)

    assert (event.module, event.direction) == ("(input)", "forward")
    assert "not finite" in str(event)


@WAYS
def test_a_bad_loss_is_called_the_loss(at_once):
    event = traced(Model(), loss=lambda y: (y * 0.0).sqrt().sum(), at_once=at_once)

    assert (event.module, event.direction, event.last_clean) == ("(loss)", "backward", None)


@WAYS
def test_of_layers_with_one_input_the_one_that_broke_is_named(at_once):
    """Three layers read one tensor; the gradient of the middle one is beyond float16."""

    class Three(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(4, 4, bias=False) for _ in range(3))

        def forward(self, x):
            return self.query(x) + self.key(x) * 1e30 + self.value(x)

    model = nn.Sequential(nn.Linear(4, 4), Three())
    with torch.no_grad():
        model[1].key.weight.fill_(1e12)
        model[0].weight.fill_(1e-6)
        model[0].bias.zero_()
    event = traced(model, torch.ones(2, 4), lambda y: y.sum(), at_once=at_once)

    assert (event.module, event.direction, event.operation) == ("1.key", "backward", "MmBackward0")


def test_the_numbers_say_what_went_in_and_what_came_out():
    event = traced(faulty(lambda h: (h - h.detach() + torch.tensor([-1.0, 4.0] * 4)).sqrt()))

    assert event.module == "blocks.1"
    (came,) = event.outputs
    assert (came.shape, came.dtype, came.nan, came.finite) == ((5, 8), "float32", 40, False)
    (went,) = event.inputs
    assert went.finite
    assert went.smallest < went.largest
    assert "nothing finite, 40 NaN" in str(event)


def test_backward_numbers_are_of_gradients():
    def fault(h):
        return h * 0.0 + (h * 0.0).sqrt()[:, :1]

    event = traced(faulty(fault), loss=lambda y: 3.0 * y.sum())

    assert event.operation == "SqrtBackward0"
    (came,) = event.outputs
    assert came.posinf + came.neginf == 5
    assert event.inputs[0].finite


@WAYS
def test_the_error_comes_out_of_the_pass_that_broke(at_once):
    for model, message in (
        (faulty(log_of_zero), "'blocks.1' turned non-finite in the forward pass"),
        (faulty(root_of_zero), "in the backward pass, in SqrtBackward0"),
    ):
        with (
            pytest.raises(gradcore.NonfiniteGradientError, match=message),
            trace_nonfinite(model, at_once=at_once),
        ):
            model(data()).square().sum().backward()
        assert all(not each._forward_hooks for each in model.modules())  # noqa: SLF001


def test_at_once_means_before_anything_else_runs():
    model, reached = faulty(log_of_zero), []
    model.head.register_forward_pre_hook(lambda *_: reached.append("head"))

    with pytest.raises(gradcore.NonfiniteGradientError), trace_nonfinite(model):
        model(data())
    assert reached == []


def test_put_off_means_with_one_look_a_backward_pass(monkeypatch):
    """What a GPU would be waited for: `tolist`, `item` and `float` of a tensor."""
    looks = []
    for name in ("tolist", "item", "__float__", "__bool__"):
        method = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda self, m=method, n=name: (looks.append(n), m(self))[1]
        )
    model = Model()
    with trace_nonfinite(model, at_once=False):
        for _ in range(3):
            model(data()).square().sum().backward()

    assert looks == ["tolist"] * 3


@WAYS
def test_a_fault_without_a_backward_pass_is_found_at_the_end(at_once):
    model = faulty(log_of_zero)
    with torch.no_grad(), trace_nonfinite(model, action="log", at_once=at_once) as tracer:
        model(data())

    assert tracer.event.module == "blocks.1"


def test_log_writes_the_first_event_and_reset_looks_for_the_next(caplog):
    model = faulty(log_of_zero)
    with (
        caplog.at_level(logging.WARNING, logger="gradcore"),
        trace_nonfinite(model, action="log") as tracer,
    ):
        for _ in range(3):
            model(data())
        assert len(caplog.messages) == 1
        assert "'blocks.1' turned non-finite in the forward pass" in caplog.messages[0]
        model.blocks[1].fault = root_of_zero
        tracer.reset()
        model(data()).sum().backward()

    assert tracer.event.direction == "backward"
    assert len(caplog.messages) == 2


def test_raise_raises_every_time_and_keeps_the_first():
    model = Model()
    with trace_nonfinite(model) as tracer:
        for name in ("blocks.2.inner", "embedding"):
            nn.init.constant_(model.get_submodule(name).bias, math.nan)
            with pytest.raises(gradcore.NonfiniteGradientError, match=name):
                model(data())
        assert tracer.event.module == "blocks.2.inner"


def test_a_model_may_be_traced_twice_at_once():
    model = faulty(root_of_zero)
    with (
        trace_nonfinite(model, action="log") as outer,
        trace_nonfinite(model.blocks[1], action="log") as inner,
    ):
        model(data()).sum().backward()

    assert (outer.event.module, inner.event.module) == ("blocks.1", "")


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (nn.Linear(1, 1), {"action": "warn"}, ValueError, "'raise' or 'log'; got 'warn'"),
        ([nn.Linear(1, 1)], {}, TypeError, "must be a module; got list"),
    ],
)
def test_what_cannot_be_traced_is_refused(model, options, error, message):
    with pytest.raises(error, match=message):
        trace_nonfinite(model, **options)


def test_hostile_names_are_shown_as_escapes():
    """An event goes into a log and onto a terminal."""
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].register_parameter("x\n\x1b[2J", nn.Parameter(torch.ones(2)))

    with trace_nonfinite(model, action="log") as tracer:
        model[0].bias.data[0] = math.nan
        model(torch.ones(1, 2))
    lines = str(tracer.event).split("\n")
    assert all(line.isprintable() for line in lines)
    assert any(r"0.x\n\x1b[2J [2] float32: 1 … 1" in line for line in lines)
