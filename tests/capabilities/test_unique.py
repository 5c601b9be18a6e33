"""What no peer has: rows F1 to F5, F9 and F11 of what gradcore must be able to do."""

from __future__ import annotations

import io
import math
import subprocess
import sys

import pytest
import torch
from torch import nn

import gradcore
import gradients
import training

READ_ONLY = """
import mmap, tempfile, warnings
import gradcore, torch
warnings.simplefilter("ignore")
file = tempfile.TemporaryFile()
file.write(torch.arange(100_000, dtype=torch.float32).numpy().tobytes())
file.flush()
memory = mmap.mmap(file.fileno(), 400_000, prot=mmap.PROT_READ)
weight = torch.nn.Parameter(torch.zeros(100_000))
weight.grad = torch.frombuffer(memory, dtype=torch.float32)
guard = gradcore.Guard([weight], max_norm=1e9, nonfinite="zero", needs="all")
norm = guard.apply().norm
gradcore.clip_grad_norm_([weight], 1e9)
gradcore.clip_grad_value_([weight], 1e6)
gradcore.repair_([weight])
print(norm, "kept")
"""


def test_f1_gradients_within_bounds_are_read_and_never_written():
    """They lie in memory that must not be written: one store and the process is gone."""
    run = subprocess.run(
        [sys.executable, "-c", READ_ONLY], capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stderr
    norm = math.sqrt(sum(number**2 for number in range(100_000)))
    measured, word = run.stdout.splitlines()[-1].split()
    assert float(measured) == pytest.approx(norm, rel=1e-12)
    assert word == "kept"


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad"])
def test_f1_an_optimizer_that_scales_in_its_own_step_ends_where_others_do(name):
    nets = [training.model(), training.model()]
    fused, plain = (
        getattr(torch.optim, name)(net.parameters(), lr=0.05, fused=flag)
        for net, flag in zip(nets, (True, False), strict=True)
    )
    for seed in range(5):
        for net in nets:
            training.backward(net, seed)
        gradcore.safe_step(fused, max_norm=0.01)
        torch.nn.utils.clip_grad_norm_(nets[1].parameters(), 0.01)
        plain.step()

    for one, other in zip(*(net.parameters() for net in nets), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert not hasattr(fused, "grad_scale")


def test_f2_norms_are_exact_for_any_number_of_threads(threads):
    generator = torch.Generator().manual_seed(3)
    gradient = torch.randn(1_000_003, generator=generator) * 1e-3
    exact = math.sqrt(math.fsum(number * number for number in gradient.tolist()))
    owner = gradients.parameter(gradient)

    norms = set()
    for count in (1, 2, 3, 7):
        threads(count)
        norms.add(gradcore.Guard([owner]).apply().norm)
    assert len(norms) == 1
    assert norms.pop() == pytest.approx(exact, rel=1e-12)


def test_f2_norms_neither_overflow_nor_underflow():
    huge = gradients.parameter(torch.full((4,), 1e200, dtype=torch.float64))
    tiny = gradients.parameter(torch.full((4,), 1e-200, dtype=torch.float64))

    assert gradcore.Guard([huge]).apply().norm == pytest.approx(2e200, rel=1e-12)
    assert gradcore.Guard([tiny]).apply().norm == pytest.approx(2e-200, rel=1e-12)


def test_f3_a_skip_leaves_every_bit():
    net = training.model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.1)
    training.backward(net)
    gradcore.safe_step(optimizer)
    frozen = training.state(net, optimizer)

    training.backward(net)
    training.plant(net[2].weight, -math.inf)
    assert gradcore.safe_step(optimizer).skipped
    assert training.state(net, optimizer) == frozen


def test_f4_a_fault_cannot_poison_the_memory_of_a_strategy():
    class Average(nn.Module):
        name = "average"

        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.ones((), dtype=torch.float64))

        def forward(self, statistics):
            learned = 0.5 * self.mean + 0.5 * statistics.norm
            self.mean = torch.where(statistics.trusted, learned, self.mean)
            return gradcore.Scale((2 * self.mean / statistics.norm).clamp(max=1.0))

    owner = nn.Parameter(torch.zeros(1))
    strategy = Average()
    guard = gradcore.Guard([owner], clip=strategy)
    optimizer = torch.optim.SGD([owner], lr=0.1)
    for value in (3.0, math.nan, math.inf, 1.0):
        owner.grad = torch.tensor([value])
        guard.step(optimizer)
    owner.grad = torch.ones(1)
    guard.step(optimizer, loss=math.nan)

    assert strategy.mean.item() == 0.5 * (0.5 * 1.0 + 0.5 * 3.0) + 0.5 * 1.0
    restored = Average()
    gradcore.Guard([owner], clip=restored).load_state_dict(guard.state_dict())
    assert restored.mean.item() == strategy.mean.item()


@pytest.mark.parametrize("clip", ["percentile", "ema", "adaptive"])
def test_f4_memory_is_what_it_would_be_without_the_faults_and_goes_on_from_a_checkpoint(clip):
    """Two models see the same batches, one of them with faults in between; a third continues."""

    def step(net, guard, seed, fault=0.0, loss=None):
        training.backward(net, seed)
        if fault:
            training.plant(net[2].weight, fault)
        return guard.apply(loss=loss)

    nets = [training.model() for _ in range(3)]
    faulty, clean, restored = (gradcore.Guard(net, clip=clip) for net in nets)
    for seed in range(60):
        step(nets[0], faulty, seed)
        step(nets[1], clean, seed)
        step(nets[0], faulty, seed, fault=(math.nan, math.inf, -math.inf)[seed % 3])
        step(nets[0], faulty, seed, loss=math.nan)
    memory = faulty.state_dict()["clip"]["memory"]
    assert training.freeze(memory) == training.freeze(clean.state_dict()["clip"]["memory"])

    file = io.BytesIO()
    torch.save(faulty.state_dict(), file)
    file.seek(0)
    restored.load_state_dict(torch.load(file, weights_only=True))
    scales = [
        [step(net, guard, seed, fault=1e3).scale for seed in range(60, 100)]
        for net, guard in ((nets[0], faulty), (nets[2], restored))
    ]
    assert scales[0] == scales[1]
    assert min(scales[0]) < 0.1


def test_f5_every_kind_of_gradient_in_one_list():
    layouts = [layout for layout in gradients.LAYOUTS if layout != "empty"]
    tensors = [
        gradients.LAYOUTS[layout](gradients.make([3.0, 1 + 2j, -0.5, 2.0], dtype))
        for dtype in gradients.DTYPES
        for layout in layouts
    ]
    tensors.append(torch.empty(0, 3))
    owners = gradients.parameters(tensors)
    everything = [element for tensor in tensors for element in gradients.elements(tensor)]
    norm = math.sqrt(math.fsum(abs(element) ** 2 for element in everything))
    missing = nn.Parameter(torch.ones(2))

    report = gradcore.Guard([*owners, missing, owners[0]], max_norm=1.0).apply()
    assert report.norm == pytest.approx(norm, rel=1e-12)
    after = [element for owner in owners for element in gradients.elements(owner.grad)]
    left = math.sqrt(math.fsum(abs(element) ** 2 for element in after))
    assert left == pytest.approx(1.0, rel=1e-3)


def test_f9_parameter_and_module_are_named_on_the_step_it_happened():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    guard = gradcore.Guard(model)
    with gradcore.monitors.trace_nonfinite(model, action="log") as tracer:
        for step in range(6):
            optimizer.zero_grad()
            if step == 4:
                model[2].weight.register_hook(lambda gradient: gradient * math.nan)
            model(torch.randn(3, 4)).square().sum().backward()
            guard.step(optimizer)

    (bad,) = [report for report in guard.history if report.nonfinite.total][:1]
    assert (bad.step, bad.first_nonfinite, bad.last_clean) == (4, "2.weight", "2.bias")
    assert tracer.event is None  # no module's doing: a hook on the parameter

    model[3] = nn.Hardtanh()
    nn.init.constant_(model[2].weight, math.inf)
    with gradcore.monitors.trace_nonfinite(model, action="log") as tracer:
        model(torch.randn(3, 4))
    assert (tracer.event.module, tracer.event.last_clean) == ("2", "1")
