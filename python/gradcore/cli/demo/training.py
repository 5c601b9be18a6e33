"""One run of the demo: the same model, the same batches, and one of two ways to step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import torch
from torch.nn.utils import clip_grad_norm_

import gradcore
from gradcore.cli.demo.model import CharacterTransformer
from gradcore.cli.demo.outcome import Run
from gradcore.cli.demo.text import CHARACTERS, Text, windows

if TYPE_CHECKING:
    from torch import Tensor

    from gradcore.cli.demo.faults import Fault
    from gradcore.report import Report

MAX_NORM: Final = 1.0
"""Bound on the joint norm of all gradients, in all three runs."""

CONTEXT: Final = 32
BATCH: Final = 32
PEAK_RATE: Final = 5e-3
WARM_UP: Final = 20
VALIDATION_WINDOWS: Final = 256


class Step(Protocol):
    """Clips and steps; returns the norm before clipping, and a report if there is one."""

    def __call__(self, loss: Tensor, /) -> tuple[float, Report | None]:
        """Do what stands between ``loss.backward()`` and the next batch."""
        ...


MakeStep: TypeAlias = Callable[[CharacterTransformer, torch.optim.Optimizer], Step]


def torch_step(model: CharacterTransformer, optimizer: torch.optim.Optimizer) -> Step:
    """Step as most training loops do."""

    def step(_loss: Tensor, /) -> tuple[float, None]:
        norm = clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        return norm.item(), None

    return step


def gradcore_step(policy: str) -> MakeStep:
    """Step through a guard with this policy."""

    def make(model: CharacterTransformer, optimizer: torch.optim.Optimizer) -> Step:
        guard = gradcore.Guard(model, max_norm=MAX_NORM, nonfinite=policy)

        def step(loss: Tensor, /) -> tuple[float, Report]:
            report = guard.step(optimizer, loss=loss)
            return report.norm, report

        return step

    return make


def initial_model(seed: int) -> CharacterTransformer:
    """Return the untrained model of this seed; torch's global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CharacterTransformer(len(CHARACTERS), CONTEXT, width=64, depth=2, heads=4)


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to a tenth of the peak."""
    cosine = 0.55 + 0.45 * math.cos(math.pi * step / steps)
    return PEAK_RATE * min(1.0, (step + 1) / WARM_UP) * cosine


def train(
    name: str,
    make_step: MakeStep,
    *,
    text: Text,
    steps: int,
    seed: int,
    faults: Mapping[int, Fault],
    tell: Callable[[float], None],
) -> Run:
    """Train the seed's model on the seed's batches, and plant ``faults`` after backward.

    Args:
        name: What the run is called.
        make_step: Makes what clips and steps.
        text: What to learn.
        steps: Batches to train on.
        seed: Of the model and the batches; runs of one seed differ in ``make_step`` and
            ``faults`` alone.
        faults: By step.
        tell: Called with the training loss after every step.
    """
    model = initial_model(seed)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters)
    step = make_step(model, optimizer)
    batches = torch.Generator().manual_seed(seed)
    held_out = windows(
        text.validation, VALIDATION_WINDOWS, CONTEXT + 1, torch.Generator().manual_seed(seed)
    )
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    run = Run(name, sizes, before=evaluate(model, held_out))
    began = time.perf_counter()
    for number in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(number, steps)
        optimizer.zero_grad()
        loss = model.loss(windows(text.training, BATCH, CONTEXT + 1, batches))
        loss.backward()  # type: ignore[no-untyped-call]
        if number in faults:
            faults[number].plant(parameters)
            run.planted.append(faults[number])
        try:
            norm, report = step(loss)
        except gradcore.NonfiniteGradientError as error:
            run.stopped = str(error)
            break
        run.losses.append(loss.item())
        run.norms.append(norm)
        if report is not None:
            run.reports.append(report)
        tell(run.losses[-1])
    run.seconds = time.perf_counter() - began
    run.after = evaluate(model, held_out)
    run.nonfinite_parameters = sum(int((~p.isfinite()).sum()) for p in parameters)
    return run


@torch.no_grad()
def evaluate(model: CharacterTransformer, held_out: Tensor) -> float:
    """Return the loss on text that was never trained on, in nats per character."""
    return model.loss(held_out).item()
