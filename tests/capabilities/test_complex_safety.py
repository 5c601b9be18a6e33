"""Gradient safety for complex models: rows A1 to A6 of what gradcore must be able to do."""

from __future__ import annotations

import io
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import gradcore
import gradients

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a1_repair_then_clip_a_module_and_keep_the_direction():
    """3, 4 and 12 thousand beside a NaN: a norm of 13,000, of which 1000 is left."""
    net = nn.Linear(4, 1, bias=False)
    net.weight.grad = torch.tensor([[3000.0, math.nan, 4000.0, -12000.0]])

    report = gradcore.Guard(net, nonfinite="zero", max_norm=1000.0).apply()
    assert (report.norm, report.repaired) == (13000.0, 1)
    assert report.clipped_norm == pytest.approx(1000.0, rel=1e-12)
    expected = [3000 / 13, 0.0, 4000 / 13, -12000 / 13]
    assert net.weight.grad[0].tolist() == pytest.approx(expected, rel=1e-6)


def test_a1_repair_then_clip_one_complex_gradient():
    owner = gradients.parameter(torch.tensor([3000 + 4000j, complex(math.inf, 1)]))

    assert gradcore.repair_(owner).total == 1
    gradcore.clip_grad_norm_(owner, 1000.0)
    assert owner.grad[0].item() == pytest.approx(600 + 800j, rel=1e-6)
    assert owner.grad[1].item() == 0


def test_a2_ten_nan_and_twenty_inf_are_found_and_zeroed():
    gradient = torch.randn(100, 100)
    before = gradient.clone()
    gradient.view(-1)[:10] = math.nan
    gradient.view(-1)[10:20] = math.inf
    gradient.view(-1)[20:30] = -math.inf
    owner = gradients.parameter(gradient)

    report = gradcore.Guard([owner], nonfinite="zero").apply()
    counts = report.nonfinite
    assert (counts.nan, counts.posinf, counts.neginf, report.repaired) == (10, 10, 10, 30)
    assert owner.grad.view(-1)[:30].tolist() == [0.0] * 30
    rest = owner.grad.view(-1)[30:]
    assert gradients.bits(rest) == gradients.bits(before.view(-1)[30:])


def test_a2_a_norm_of_31622_is_clipped_to_10():
    owner = gradients.parameter(torch.full((1000,), 1000.0))

    report = gradcore.Guard([owner], max_norm=10.0).apply()
    assert f"{report.norm:.2f} {report.clipped_norm:.2f}" == "31622.78 10.00"
    assert owner.grad.double().norm().item() == pytest.approx(10.0, rel=1e-6)


@pytest.mark.parametrize(("norm_type", "norm"), [(1.0, 7.0), (2.0, 5.0), (math.inf, 4.0)])
def test_a3_clip_handles_nan_first_in_every_norm(norm_type, norm):
    owner = gradients.parameter(torch.tensor([math.nan, 3.0, -math.inf, -4.0]))

    total = gradcore.clip_grad_norm_([owner], 1.0, norm_type, nonfinite="zero")
    assert total.item() == norm
    expected = [0.0, 3 / norm, 0.0, -4 / norm]
    assert owner.grad.tolist() == pytest.approx(expected, rel=1e-6)


def test_a3_error_if_nonfinite():
    owner = gradients.parameter(torch.tensor([math.nan, 3.0]))

    with pytest.raises(RuntimeError):
        gradcore.clip_grad_norm_([owner], 1.0, error_if_nonfinite=True)


def test_a4_running_statistics_over_the_last_thousand_steps_are_saved():
    owner = nn.Parameter(torch.zeros(1))
    guard = gradcore.Guard([owner], max_norm=5.0)
    sizes = [abs(math.sin(step)) * 9.0 for step in range(1200)]
    for step, size in enumerate(sizes):
        owner.grad = torch.tensor([math.nan if step % 10 == 0 else size])
        guard.apply()

    summary = guard.history.summary()
    kept = range(200, 1200)
    norms = np.float32([sizes[step] for step in kept if step % 10]).astype(float)
    assert (summary["steps"], summary["steps_seen"]) == (1000, 1200)
    assert summary["mean_norm"] == pytest.approx(norms.mean(), rel=1e-12)
    assert summary["max_norm"] == pytest.approx(norms.max(), rel=1e-12)
    assert summary["std_norm"] == pytest.approx(norms.std(), rel=1e-12)
    assert summary["nonfinite_rate"] == pytest.approx(0.1)
    assert summary["skip_rate"] == pytest.approx(0.1)
    clipped = sum(size > 5.0 for step, size in enumerate(sizes) if step % 10)
    assert summary["clip_rate"] == pytest.approx(clipped / 1200)

    file = io.BytesIO()
    torch.save(guard.state_dict(), file)
    assert file.tell() < 210_000  # 200 bytes a step
    file.seek(0)
    other = gradcore.Guard([owner], max_norm=5.0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert other.history.summary() == pytest.approx(summary)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_a5_complex_gradients_are_one_number_each(dtype):
    """The loss |w|^2 has the gradient 2w, whose phase clipping has to keep."""
    weight = nn.Parameter(torch.tensor([3 + 4j, -6 + 8j, 0.5j], dtype=dtype))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    before = weight.detach().clone()
    weight.abs().square().sum().backward()

    report = gradcore.safe_step(optimizer, max_norm=1.0, needs="all")
    norm = 2 * math.sqrt(25 + 100 + 0.25)
    assert report.norm == pytest.approx(norm, rel=1e-6)
    assert report.parameters[0].numel == 3
    assert report.parameters[0].max_abs == pytest.approx(20.0, rel=1e-6)
    torch.testing.assert_close(weight.detach(), before - 2 * before / norm)


def test_a5_gradcheck_passes_through_a_complex_model_that_is_being_guarded():
    """A non-Hermitian potential V - i G of real features."""

    class Potential(nn.Module):
        def __init__(self):
            super().__init__()
            self.real, self.decay = nn.Linear(3, 2).double(), nn.Linear(3, 2).double()

        def forward(self, features):
            return torch.complex(self.real(features), -nn.functional.softplus(self.decay(features)))

    net = Potential()
    optimizer = torch.optim.Adam(net.parameters())
    gradcore.Guard(net, nonfinite="zero", max_norm=1000.0).attach(optimizer)
    features = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    for _ in range(3):
        optimizer.zero_grad()
        net(features).abs().square().sum().backward()
        optimizer.step()

    assert all(parameter.grad.abs().sum() > 0 for parameter in net.parameters())
    assert torch.autograd.gradcheck(net, (features,))


def test_a5_both_parts_flow_through_potential_and_resolvent(monkeypatch):
    """Real and imaginary part of the resolvent reach level and decay of every site."""
    monkeypatch.syspath_prepend(EXAMPLES)
    from non_hermitian import NonHermitianPotential, resolvent_diagonal  # noqa: PLC0415

    potential = NonHermitianPotential(4, 1).double()
    features = torch.randn(2, 6, 4, dtype=torch.float64, requires_grad=True)
    one, zero = torch.tensor(1.0), torch.tensor(0.0)

    def diagonal(features):
        return resolvent_diagonal(potential(features)[..., 0], one, zero)

    assert torch.autograd.gradcheck(diagonal, (features,))
    for part in ("real", "imag"):
        potential.zero_grad()
        getattr(diagonal(features), part).square().sum().backward()
        level, decay = potential.parts.weight.grad
        assert level.abs().min() > 0
        assert decay.abs().min() > 0


def test_a6_a_dissipative_model_is_trained_for_real_under_planted_faults():
    """Two hundred steps of the example, as its users run it."""
    words = [sys.executable, str(EXAMPLES / "non_hermitian.py"), "--steps", "200"]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=110)

    losses = [float(x) for x in re.findall(r"^loss (\S+)$", done.stdout, re.MULTILINE)]
    assert len(losses) == 21
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < 0.6 * losses[0]
    planted = re.findall(r"step \d+: (\S+) planted, (skipped|norm 1e\+25 clipped)", done.stdout)
    assert {value for value, _ in planted} == {"nan", "inf", "-inf", "1e+25"}
    assert all((outcome == "skipped") == (value != "1e+25") for value, outcome in planted)
    assert f"faults planted {len(planted)}, model finite: yes" in done.stdout
