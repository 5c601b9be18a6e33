"""Health and stability of a many-modality CLIP: rows D4 to D6 of what gradcore must do."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

import gradcore
import joint
from gradcore.monitors import GradientGainMonitor
from gradcore.numerics import (
    activations,
    normalize,
    nway_contrastive_loss,
    nway_similarity,
    safe_sqrt,
)

FORMS = ("product", "norm", "cosine", "distance")


@pytest.mark.parametrize("form", FORMS)
def test_d4_similarity_of_six_sets_in_four_forms(form):
    sets = [torch.randn(4, 16) for _ in range(6)]

    wide = joint.directions([x.double().numpy() for x in sets])
    expected = joint.similarity(wide, form)
    result = nway_similarity(*sets, method=form)
    assert result.shape == (4,) * 6
    assert result.double().numpy() == pytest.approx(expected, abs=1e-6)


def test_d4_epsilon_clamp_and_log_space():
    assert safe_sqrt(torch.tensor([-1e-6, 0.0]), eps=1e-4)[1].item() == pytest.approx(1e-2)
    assert normalize(torch.tensor([[3e25, -4e25]]))[0].tolist() == pytest.approx([0.6, -0.8])
    sets = [torch.full((2, 3), 1e15) for _ in range(3)]
    for log_space in (False, True):
        result = nway_similarity(*sets, normalize=False, clamp=(-7.0, 7.0), log_space=log_space)
        assert torch.equal(result, torch.full((2, 2, 2), 7.0))


@pytest.mark.parametrize("form", FORMS)
def test_d4_a_dead_encoder_does_not_make_gradients_infinite(form):
    """All features zero, where `x / x.norm()` is NaN."""
    sets = [torch.zeros(3, 4, requires_grad=True) for _ in range(4)]

    nway_similarity(*sets, method=form).sum().backward()
    assert all(x.grad.isfinite().all() for x in sets)


@pytest.mark.parametrize("form", ["norm", "cosine", "distance"])
def test_d5_six_sets_of_32_give_loss_and_gradient_of_a_billion_logits(form):
    """Equal rows within each set make every logit of a row the same: 5 log 32."""
    sets = [torch.randn(1, 8).expand(32, 8).clone().requires_grad_() for _ in range(6)]

    loss = nway_contrastive_loss(*sets, method=form, logit_scale=14.0)
    assert loss.item() == pytest.approx(5 * math.log(32), rel=1e-6)
    loss.backward()
    assert all(x.grad.isfinite().all() for x in sets)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chunk", [None, 1, 3])
def test_d5_streamed_or_not_the_loss_is_the_cross_entropy_along_every_axis(form, chunk):
    sets = [torch.randn(5, 16) for _ in range(6)]

    wide = joint.directions([x.double().numpy() for x in sets])
    expected = joint.loss(joint.similarity(wide, form), 20.0)
    result = nway_contrastive_loss(*sets, method=form, logit_scale=20.0, chunk=chunk)
    assert result.item() == pytest.approx(expected, abs=1e-5)


def test_d5_encoders_of_six_modalities_learn_by_the_streamed_loss_through_safe_step():
    """Six random views of 16 things: aligned choices end up first among a sixth power."""
    things = torch.randn(16, 8)
    views = [torch.randn(8, 12) for _ in range(6)]
    encoders = nn.ModuleList(nn.Linear(12, 8) for _ in range(6))
    log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
    optimizer = torch.optim.Adam([*encoders.parameters(), log_scale], lr=2e-2)
    losses = []
    for step in range(60):
        optimizer.zero_grad()
        features = [e(things @ v) for e, v in zip(encoders, views, strict=True)]
        loss = nway_contrastive_loss(*features, method="cosine", logit_scale=log_scale.exp())
        loss.backward()
        if step == 7:
            encoders[3].weight.grad[0, 0] = math.nan
        report = gradcore.safe_step(optimizer, max_norm=1.0, loss=loss)
        assert report.skipped == (step == 7)
        losses.append(loss.item())

    assert losses[0] > 10.0  # 5 log 16 = 13.9 for no knowledge at all
    assert losses[-1] < 2.0


def test_d6_activations_are_torchs_own_and_swish_has_beta():
    x = torch.tensor([-2.0, -0.5, 0.5, 2.0])

    assert torch.equal(activations.gelu(x), functional.gelu(x))
    assert torch.equal(activations.mish(x), functional.mish(x))
    assert torch.equal(activations.leaky_relu(x, 0.01), functional.leaky_relu(x, 0.01))
    expected = [v / (1 + math.exp(-1.5 * v)) for v in x.tolist()]
    assert activations.swish(x, beta=1.5).tolist() == pytest.approx(expected, rel=1e-6)


def test_d6_gradients_reach_the_first_of_fifty_layers_through_the_ones_that_are_recommended():
    """In residual blocks; and fifty plain layers of GELU, as torch initialises them, lose all."""

    def gain(blocks):
        with GradientGainMonitor(blocks) as monitor:
            blocks(torch.randn(64, 32)).square().mean().backward()
            return math.exp(sum(monitor.log_gains()))

    class Residual(nn.Sequential):
        def forward(self, x):
            return x + super().forward(x)

    for name in ("GELU", "SiLU", "Swish", "Mish", "LeakyReLU"):
        act = getattr(activations, name)
        residual = (Residual(nn.LayerNorm(32), nn.Linear(32, 32), act()) for _ in range(50))
        assert 0.1 < gain(nn.Sequential(*residual)) < 100.0
        plain = (nn.Sequential(nn.Linear(32, 32), act()) for _ in range(50))
        assert gain(nn.Sequential(*plain)) < 1e-12
