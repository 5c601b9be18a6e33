"""What the activation monitor watches, and when."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import transformers
from torch import nn
from torch.utils.checkpoint import checkpoint

from gradcore.monitors import ActivationMonitor


def watched(model, *inputs, **options):
    with ActivationMonitor(model, **options) as monitor:
        for each in inputs:
            model(each)
    return monitor


def test_statistics_are_those_of_what_modules_returned():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    inputs = [torch.randn(5, 3) for _ in range(3)]
    hidden = np.concatenate([model[0](x).detach().double().numpy() for x in inputs])

    found = watched(model, *inputs).get_statistics()
    assert list(found) == ["0", "1", "2"]
    assert found["0"].mean == pytest.approx(hidden.mean(), rel=1e-12)
    assert found["0"].std == pytest.approx(hidden.std(), rel=1e-12)
    assert found["1"].near_zero == pytest.approx((hidden <= 1e-6).mean())
    assert found["1"].dead == pytest.approx((hidden.max(0) <= 1e-6).mean())
    assert (found["1"].units, found["1"].passes, found["1"].smallest) == (4, 3, 0.0)


def test_units_that_are_dead_in_every_pass_are_found():
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU())
    nn.init.constant_(model[0].bias[:6], -100.0)
    nn.init.constant_(model[0].bias[6:], 100.0)
    inputs = [torch.rand(4, 3) for _ in range(3)]

    assert watched(model, *inputs).detect_dead_neurons() == {"0": 0.0, "1": 0.75}
    assert watched(model, *inputs).detect_dead_neurons(threshold=1e9) == {"0": 1.0, "1": 1.0}


@pytest.mark.parametrize(
    ("model", "x", "units"),
    [
        (nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU()), (2, 3, 8, 8), [5, 5, 5]),
        (nn.Sequential(nn.Conv1d(3, 5, 3), nn.GELU()), (2, 3, 8), [5, 5]),
        (nn.Sequential(nn.Linear(3, 5), nn.GELU()), (2, 7, 3), [5, 5]),
        (nn.Sequential(nn.Linear(3, 5), nn.GELU(), nn.LayerNorm(5)), (2, 4, 4, 3), [5, 5, 5]),
        (nn.Sequential(nn.Tanh()), (2, 6, 4, 4), [6]),
        (nn.Sequential(nn.Conv2d(3, 5, 3)), (3, 8, 8), [5]),
        (nn.Sequential(nn.Linear(3, 5), nn.Flatten(0)), (3,), [5]),
        (nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)), (7, 3), [1, 1]),
    ],
    ids=str,
)
def test_units_are_channels_or_features(model, x, units):
    found = watched(model, torch.randn(x)).get_statistics()

    assert [each.units for each in found.values()] == units


def test_units_are_on_the_axis_that_is_asked_for():
    found = watched(nn.Tanh(), torch.randn(2, 6, 4), unit_dim=1).get_statistics()

    assert found[""].units == 6


class Shared(nn.Module):
    """Uses one activation twice, at different widths, in place."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 6)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.activation(self.second(self.activation(self.first(x))))


def test_a_module_used_twice_in_a_pass_appears_twice():
    found = watched(Shared(), torch.randn(5, 3), torch.randn(5, 3)).get_statistics()

    units = {name: (each.units, each.passes) for name, each in found.items()}
    assert units == {
        "first": (4, 2),
        "activation": (4, 2),
        "second": (6, 2),
        "activation:2": (6, 2),
    }


def test_containers_that_hand_on_a_tensor_are_left_out_and_code_of_their_own_is_not():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.0).eval())

        def forward(self, x):
            return {"hidden": x + self.inner(x), "ids": torch.arange(3)}

    found = watched(nn.Sequential(Residual()), torch.randn(2, 3)).get_statistics()
    assert list(found) == ["0.inner.0", "0"]


def test_saturation_is_that_of_activations_with_bounds():
    model = nn.Sequential(nn.Tanh(), nn.Sigmoid(), nn.Hardtanh(-2.0, 2.0), nn.GELU())
    found = watched(model, torch.tensor([[-9.0, 0.0, 9.0, 9.0]])).get_statistics()

    assert [each.saturated for each in found.values()] == [0.75, 0.0, 0.0, None]


def test_every_kth_pass_is_sampled_beginning_with_the_first():
    inputs = [torch.full((1, 2), float(i)) for i in range(7)]
    found = watched(nn.Tanh(), *inputs, every=3).get_statistics()

    assert found[""].passes == 3
    assert found[""].mean == pytest.approx(np.tanh([0.0, 3.0, 6.0]).mean(), rel=1e-6)


@pytest.mark.parametrize("reentrant", [True, False])
def test_recomputation_is_not_counted(reentrant):
    inner = nn.Linear(3, 3)

    class Saving(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return checkpoint(self.inner, x, use_reentrant=reentrant).sum()

    model = Saving()
    with ActivationMonitor(model) as monitor:
        model(torch.randn(2, 3, requires_grad=True)).backward()

    assert monitor.get_statistics()["inner"].passes == 1
    assert "inner:2" not in monitor.get_statistics()


def test_an_error_in_a_pass_ends_it():
    model = nn.Sequential(nn.Linear(3, 3))
    with ActivationMonitor(model) as monitor:
        with pytest.raises(RuntimeError, match="mat1 and mat2"):
            model(torch.randn(2, 5))
        model[0](torch.randn(2, 3))
        assert monitor.get_statistics() == {}
        model(torch.randn(2, 3))

    assert monitor.get_statistics()["0"].passes == 1


def test_a_module_whose_width_changes_begins_anew():
    found = watched(nn.Tanh(), torch.ones(2, 3), torch.zeros(2, 5)).get_statistics()

    assert (found[""].units, found[""].passes, found[""].dead) == (5, 1, 1.0)


def test_complex_and_half_activations_are_watched():
    found = watched(nn.Identity(), torch.tensor([[3 + 4j, 0.0]])).get_statistics()
    assert found == {"": found[""]}
    assert (found[""].mean, found[""].largest) == (2.5, 5.0)
    half = watched(nn.Tanh(), torch.full((1, 2), math.inf, dtype=torch.float16))
    assert half.get_statistics()[""].mean == 1.0


def test_a_hugging_face_model_is_watched():
    config = transformers.BertConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=32,
        max_position_embeddings=16,
    )
    model = transformers.BertModel(config).eval()
    with ActivationMonitor(model) as monitor:
        model(input_ids=torch.randint(32, (2, 8)))

    found = monitor.get_statistics()
    assert found["encoder.layer.1.intermediate.intermediate_act_fn"].units == 24
    assert found["pooler.activation"].saturated is not None


def test_hooks_come_when_asked_for_once_and_go():
    model = nn.Sequential(nn.Tanh())
    monitor = ActivationMonitor(model)
    model(torch.ones(1, 2))
    assert monitor.get_statistics() == {}

    monitor.register_hooks()
    monitor.register_hooks()
    model(torch.ones(1, 2))
    monitor.close()
    model(torch.ones(1, 2))
    assert monitor.get_statistics()["0"].passes == 1
    assert all(not each._forward_hooks for each in model.modules())  # noqa: SLF001 - who else knows
    monitor.reset()
    assert monitor.detect_dead_neurons() == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [({"every": 0}, "every must be a whole number"), ({"window": 1.5}, "window must be")],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ActivationMonitor(nn.Tanh(), **options)


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match="must be a module; got list"):
        ActivationMonitor([nn.Tanh()])


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.nan])
def test_a_threshold_that_cannot_be_is_refused(threshold):
    with pytest.raises(ValueError, match="threshold must be greater than 0"):
        watched(nn.Tanh(), torch.ones(1, 2)).detect_dead_neurons(threshold)
