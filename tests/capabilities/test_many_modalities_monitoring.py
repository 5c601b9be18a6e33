"""Health of a many-modality CLIP: rows D2, D3 and D8 of what gradcore must be able to do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

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


def test_d3_dead_units_saturation_and_shift_of_what_layers_return():
    model = nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 3), nn.Tanh())
    with torch.no_grad():
        model[0].bias[:] = 5.0
        model[0].bias[:6] = -100.0
        model[2].bias[:] = torch.tensor([100.0, -100.0, 0.0])
        model[2].weight[2] = 0.0
    monitor = gradcore.monitors.ActivationMonitor(model, every=2, window=3)
    monitor.register_hooks()
    for step in range(12):
        with torch.no_grad():
            model[2].bias[0] += 50.0 * (step >= 6)
        model(torch.rand(8, 4))
    monitor.close()

    dead = monitor.detect_dead_neurons(threshold=1e-6)
    assert dead == {"0": 0.0, "1": 0.6, "2": pytest.approx(1 / 3), "3": pytest.approx(1 / 3)}
    assert [name for name, share in dead.items() if share > 0.5] == ["1"]
    found = monitor.get_statistics()
    assert found["3"].saturated == pytest.approx(2 / 3)
    assert found["3"].passes == 6
    assert found["3"].shift < 0.01
    assert found["2"].shift > 1.0
