"""Health of a many-modality CLIP: rows D2, D3 and D8 of what gradcore must be able to do."""

from __future__ import annotations

import pytest

import gradcore
import training
from faulty import data, faulty, log_of_zero, root_of_zero


def test_d2_the_summary_of_gradient_flow_names_layers_that_vanish_and_explode():
    net = training.model()
    training.backward(net)
    net[0].weight.grad.mul_(1e-8 / net[0].weight.grad.norm())
    net[2].weight.grad.mul_(101.0 / net[2].weight.grad.norm())

    flow = gradcore.monitors.gradient_flow(gradcore.Guard(net).apply())
    assert flow == {
        "layers_with_vanishing_grads": ["0.weight"],
        "layers_with_exploding_grads": ["2.weight"],
    }


@pytest.mark.parametrize(
    ("fault", "direction", "operation", "before"),
    [
        (log_of_zero, "forward", None, "blocks.1.activation"),
        (root_of_zero, "backward", "SqrtBackward0", "blocks.1.outer"),
    ],
)
def test_d8_the_module_that_went_bad_first_is_named(fault, direction, operation, before):
    model = faulty(fault)
    with (
        pytest.raises(gradcore.NonfiniteGradientError, match="'blocks.1' turned non-finite"),
        gradcore.monitors.trace_nonfinite(model) as tracer,
    ):
        model(data()).square().sum().backward()

    event = tracer.event
    assert (event.module, event.direction, event.operation) == ("blocks.1", direction, operation)
    assert event.last_clean == before
    assert all(each.finite for each in event.inputs)
    assert not all(each.finite for each in event.outputs)
