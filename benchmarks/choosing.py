"""Which strategy and which policy: one small training under faults, with each of them.

    pip install scikit-learn ./plugins/gradcore-strategies
    OMP_NUM_THREADS=1 python benchmarks/choosing.py [--seeds 5] [--save benchmarks/results]

A network of three layers learns real handwritten digits, 300 steps of 64 images.  Only what is done
about gradients differs between runs of one seed: weights, batches and faults are the same.  With
``--save`` the tables go to ``choosing.md``, which ``docs/which.md`` quotes.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

import gradcore

STEPS, BATCH, TRAINED = 300, 64, 1400
RARE, OFTEN = 0.02, 0.05
"""Shares of the steps with a broken batch, and with a fault in the gradients."""

LATE = 150
"""The step after which a weight is NaN, in the training where one is."""

STRATEGIES: dict[str, Any] = {
    "none": None,
    **{f"`{name}`": name for name in ("value", "global_norm", "per_parameter_norm", "percentile")},
    **{f"`{name}`": name for name in ("ema", "adaptive", "agc", "adagc", "autoclip", "median")},
    **{f"`{name}`": name for name in ("spike_skip", "zclip")},
    "`zclip`, `max_norm=None`": ("zclip", {"max_norm": None}),
}
POLICIES: dict[str, dict[str, Any]] = {
    f"`{name}`": {"nonfinite": name}
    for name in (
        *("propagate", "detect", "raise", "skip", "zero", "replace"),
        *("zero_parameter", "scale", "restore", "adaptive"),
    )
} | {
    "`restore`, `snapshot_every=10`": {"nonfinite": ("restore", {"snapshot_every": 10})},
    "`zero`, `check_parameters=True`": {"nonfinite": "zero", "check_parameters": True},
}


@dataclass(frozen=True)
class Training:
    """What goes wrong, and in what unit gradients come."""

    title: str
    broken_batches: float = 0.0
    scale: float = 1.0
    """Factor of the loss; the learning rate is divided by it, so that it changes nothing else."""

    strike: Callable[[nn.Module, int, torch.Generator], None] | None = None
    """What is done to gradients or weights after ``backward()``."""

    infinite_pixels: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of one run."""

    wrong: float
    """Percent of the held-out digits; 90 is what guessing gets."""

    guard: gradcore.Guard
    ended: int | None
    """The step at which it was stopped by an error."""


def element(model: nn.Module, step: int, generator: torch.Generator) -> None:
    """One element of one gradient is NaN."""
    del step
    struck = gradient(model, generator)
    if struck is not None:
        struck.view(-1)[0] = torch.nan


def tensor(model: nn.Module, step: int, generator: torch.Generator) -> None:
    """A whole gradient is infinite."""
    del step
    struck = gradient(model, generator)
    if struck is not None:
        struck.fill_(torch.inf)


def gradient(model: nn.Module, generator: torch.Generator) -> Tensor | None:
    """A gradient to be struck in this step, if any."""
    chance, which = torch.rand(2, generator=generator).tolist()
    parameters = list(model.parameters())
    return parameters[int(which * len(parameters))].grad if chance < OFTEN else None


def weight(model: nn.Module, step: int, generator: torch.Generator) -> None:
    """A weight is NaN from one step on, as after a fault of memory."""
    del generator
    if step == LATE:
        next(model.parameters()).data.view(-1)[0] = torch.nan


BOUNDING = (
    Training("nothing goes wrong"),
    Training("2 % of batches 100 times too bright", broken_batches=RARE),
    Training("the same, loss summed", broken_batches=RARE, scale=BATCH),
)
BREAKING = (
    Training("an element NaN, in 5 % of steps", strike=element),
    Training("a tensor Inf, in 5 % of steps", strike=tensor),
    Training("an infinite pixel, in 5 % of steps", infinite_pixels=OFTEN),
    Training(f"a weight NaN, from step {LATE} on", strike=weight),
)


def digits() -> tuple[Tensor, Tensor]:
    """All images ``[1797, 64]`` from 0 to 1, and their classes."""
    given = load_digits()
    return torch.tensor(given.data, dtype=torch.float32) / 16, torch.tensor(given.target)


def batches(training: Training, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images ``[BATCH, 64]`` from 0 to 1, some of them broken, and their classes."""
    generator = torch.Generator().manual_seed(seed)
    images, classes = (part[:TRAINED] for part in digits())
    for _ in range(STEPS):
        chosen = torch.randint(TRAINED, (BATCH,), generator=generator)
        batch = images[chosen].clone()
        bright, infinite = torch.rand(2, generator=generator).tolist()
        if bright < training.broken_batches:
            batch *= 100
        if infinite < training.infinite_pixels:
            batch[0, 0] = torch.inf
        yield batch, classes[chosen]


def run(training: Training, seed: int, **options: Any) -> Outcome:
    """Train once under a guard with these options."""
    torch.manual_seed(seed)
    hidden = nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU()
    model = nn.Sequential(*hidden, nn.Linear(128, 10))
    rate = 0.1 / training.scale
    optimizer = torch.optim.SGD(model.named_parameters(), lr=rate, momentum=0.9)
    generator = torch.Generator().manual_seed(1000 + seed)
    guard = gradcore.Guard(model, history=STEPS, **options)
    for step, (images, classes) in enumerate(batches(training, seed)):
        optimizer.zero_grad()
        loss = training.scale * functional.cross_entropy(model(images), classes)
        loss.backward()
        if training.strike is not None:
            training.strike(model, step, generator)
        try:
            guard.step(optimizer, loss=loss)
        except gradcore.NonfiniteGradientError:
            return Outcome(wrong(model), guard, step)
    return Outcome(wrong(model), guard, None)


def wrong(model: nn.Module) -> float:
    """Percent of the held-out digits that are taken for another one; NaN is no digit."""
    images, classes = (part[TRAINED:] for part in digits())
    with torch.no_grad():
        scores = model(images)
    right = (scores.argmax(-1) == classes) & scores.isfinite().all(-1)
    return 100 * (1 - right.float().mean().item())


def strategies_table(seeds: int) -> list[str]:
    """A row a strategy: errors, the worst seed's in brackets, and how often it acted."""
    lines = [row(["strategy", *(training.title for training in BOUNDING)]), row(["---"] * 4)]
    for name, clip in STRATEGIES.items():
        cells = []
        for training in BOUNDING:
            outcomes = [run(training, seed, clip=clip) for seed in range(seeds)]
            summaries = [outcome.guard.history.summary() for outcome in outcomes]
            acted = fmean(each["clip_rate"] + each["skip_rate"] for each in summaries)
            errors = [outcome.wrong for outcome in outcomes]
            cells.append(f"{median(errors):.1f} ({max(errors):.1f}) · {100 * acted:.0f} %")
        lines.append(row([name, *cells]))
    return lines


def policies_table(seeds: int) -> list[str]:
    """A row a policy: errors, and steps that were lost, or where the run was stopped."""
    lines = [row(["policy", *(training.title for training in BREAKING)]), row(["---"] * 5)]
    for name, options in POLICIES.items():
        cells = []
        for training in BREAKING:
            outcomes = [run(training, seed, clip="global_norm", **options) for seed in range(seeds)]
            error = f"{median(outcome.wrong for outcome in outcomes):.1f}"
            ends = [outcome.ended for outcome in outcomes if outcome.ended is not None]
            skips = fmean(outcome.guard.history.seen.skipped for outcome in outcomes)
            lost = f"stopped at {median(ends):.0f}" if ends else f"{skips:.0f} lost"
            cells.append(f"{error} · {lost}")
        lines.append(row([name, *cells]))
    return lines


def row(cells: list[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def page(seeds: int) -> str:
    """Both tables with what they need to be read."""
    policies = "\n".join(policies_table(seeds))
    strategies = "\n".join(strategies_table(seeds))
    return f"""# One training under faults

gradcore {gradcore.__version__}, torch {torch.__version__}. Percent of 397 held-out digits that are
taken for another one, the median of {seeds} seeds; 90 is guessing, 100 a model of NaN.

## Policies

With `clip="global_norm"`. *Lost*: steps that were skipped or rolled back.

{policies}

## Strategies

In brackets the worst seed; then the share of steps that were bounded or skipped.

{strategies}

Made by `python benchmarks/choosing.py --seeds {seeds} --save FOLDER`.
"""


def main() -> None:
    """Run all of it, and print or save the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--save", type=Path, help="folder for choosing.md")
    arguments = parser.parse_args()
    logging.getLogger("gradcore").setLevel(logging.ERROR)  # faults are what this is about
    print(made := page(arguments.seeds))
    if arguments.save is not None:
        (arguments.save / "choosing.md").write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
