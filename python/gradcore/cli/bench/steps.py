"""Whole steps: what a guard adds to an optimizer, and its share of a training step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

import gradcore
from gradcore.cli.bench.resnet import ResNet50
from gradcore.cli.bench.timing import compare
from gradcore.cli.bench.workloads import WORKLOADS, gradients_of, parameters_of
from gradcore.cli.demo.text import CHARACTERS
from gradcore.cli.demo.training import BATCH, CONTEXT, initial_model

if TYPE_CHECKING:
    from torch import Tensor

IMAGES: Final = 4


@dataclass(frozen=True, slots=True)
class Fact:
    """One number about whole steps, and the bound that is aimed at."""

    what: str
    value: float
    unit: str
    at_most: float
    noisy: bool

    @property
    def met(self) -> bool:
        """Whether the bound holds."""
        return self.value <= self.at_most


def added_to_a_small_step(rounds: int) -> Fact:
    """What `safe_step` adds to a bare ``step()`` of 20 small tensors, in microseconds."""
    parameters = parameters_of(WORKLOADS["tiny"](), torch.float32)
    optimizer = torch.optim.SGD(parameters, lr=0.0)
    guard = gradcore.Guard(optimizer, max_norm=1e9)
    times = compare(
        {"bare": optimizer.step, "guarded": lambda: guard.step(optimizer)},
        before=lambda: None,
        rounds=50 * rounds,
        budget=5.0,
    )
    added = (times["guarded"].minimum - times["bare"].minimum) * 1e6
    noisy = any(timing.noisy for timing in times.values())
    return Fact("safe_step, added to a step of 20 small tensors", added, "us", 60.0, noisy)


def adamw(workload: str, rounds: int) -> Fact:
    """`safe_step` with fused AdamW against torch's clipping and the same step, as a ratio."""
    parameters = parameters_of(WORKLOADS[workload](), torch.float32)
    gradients = gradients_of(parameters)
    saved = [gradient.clone() for gradient in gradients]
    optimizer = torch.optim.AdamW(parameters, lr=1e-9, fused=True)
    guard = gradcore.Guard(optimizer, max_norm=1.0)

    def with_torch() -> None:
        clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    times = compare(
        {"gradcore": lambda: guard.step(optimizer), "torch": with_torch},
        before=lambda: torch._foreach_copy_(gradients, saved),
        rounds=rounds,
        budget=12.0,
    )
    ratio = times["gradcore"].minimum / times["torch"].minimum
    noisy = any(timing.noisy for timing in times.values())
    return Fact(f"clip and fused AdamW, {workload}", ratio, "x torch", 0.86, noisy)


def share_of_training(rounds: int) -> list[Fact]:
    """What a guard's work takes of forward and backward of real models, in percent."""
    facts = []
    text = torch.randint(len(CHARACTERS), (BATCH, CONTEXT + 1))
    transformer = initial_model(0)
    facts.append(_share("demo's transformer", transformer, lambda: transformer.loss(text), rounds))
    resnet = ResNet50()
    images, labels = torch.randn(IMAGES, 3, 224, 224), torch.randint(1000, (IMAGES,))
    name = f"ResNet-50, {IMAGES} images"
    loss = nn.CrossEntropyLoss()
    facts.append(_share(name, resnet, lambda: loss(resnet(images), labels), rounds))
    return facts


def _share(name: str, model: nn.Module, loss: Callable[[], Tensor], rounds: int) -> Fact:
    guard = gradcore.Guard(model, max_norm=1e9)

    def train() -> None:
        model.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]

    train()
    times = compare(
        {"training": train, "guard": guard.apply}, before=lambda: None, rounds=rounds, budget=10.0
    )
    share = 100.0 * times["guard"].minimum / times["training"].minimum
    noisy = any(timing.noisy for timing in times.values())
    return Fact(f"guard, of forward and backward: {name}", share, "%", 1.0, noisy)
