"""A long training under faults of every kind, with every policy that protects: does it survive?

    python tests/soak.py --steps 20000 >docs/soak.md

A small classifier learns scikit-learn's digits with AdamW.  Three steps in ten carry a fault; the
strategy changes six times.  After every step all parameters and optimizer state are looked at.
"""

from __future__ import annotations

import argparse
import logging
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import gradcore

POLICIES = (
    "raise",
    "zero",
    "replace",
    "zero_parameter",
    "scale",
    "skip",
    ("restore", {"snapshot_every": 20}),
    ("adaptive", {"snapshot_every": 20}),
)
STRATEGIES = (
    ("global_norm", {"max_norm": 1.0}),
    ("value", {"limit": 0.1}),
    ("per_parameter_norm", {"max_norm": 0.5}),
    "ema",
    "percentile",
    "adaptive",
)
SHARE = 0.3
"""Of steps with a fault."""


def fill(value: float, share: float = 0.0) -> Callable[[Tensor], None]:
    """Write ``value`` to one element of a gradient, or to a share of them."""

    def plant(gradient: Tensor) -> None:
        flat = gradient.view(-1)
        flat[: max(1, int(share * flat.numel()))] = value

    return plant


GRADIENT_FAULTS: dict[str, Callable[[Tensor], object]] = {
    "one NaN": fill(math.nan),
    "one +Inf": fill(math.inf),
    "one -Inf": fill(-math.inf),
    "half NaN": fill(math.nan, 0.5),
    "all Inf": fill(math.inf, 1.0),
    "huge": lambda gradient: gradient.mul_(1e15),
    "denormal": lambda gradient: gradient.mul_(1e-40),
    "zero": lambda gradient: gradient.zero_(),
}
OTHER_FAULTS = ("missing gradient", "NaN input", "overflowing loss", "NaN loss")


@dataclass
class Outcome:
    """What became of one training."""

    policy: str
    steps: int
    faults: int = 0
    events: int = 0
    """Steps in which the guard found something that is not finite."""
    skipped: int = 0
    restored: int = 0
    raised: int = 0
    repaired: int = 0
    clipped: int = 0
    poisoned: int = 0
    """Steps after which a parameter, or the optimizer's state, was not finite."""
    first_loss: float = math.nan
    last_loss: float = math.nan
    accuracy: float = 0.0


class Training:
    """A model on digits, and faults planted in its gradients."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.random = random.Random(seed)  # noqa: S311 - which fault comes next
        digits = load_digits()
        self.x = torch.tensor(digits.data, dtype=torch.float32) / 16
        self.y = torch.tensor(digits.target)
        self.model = nn.Sequential(
            nn.Linear(64, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 10)
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)

    def backward(self, fault: str | None) -> Tensor:
        """One batch, with a fault or without; the loss."""
        rows = torch.randint(len(self.x), (32,))
        x = self.x[rows]
        if fault == "NaN input":
            x[0, 0] = math.nan
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(x), self.y[rows])
        (loss * 1e38 * 1e3 if fault == "overflowing loss" else loss).backward()
        parameter = self.random.choice(list(self.model.parameters()))
        if fault == "missing gradient":
            parameter.grad = None
        elif fault in GRADIENT_FAULTS:
            GRADIENT_FAULTS[fault](parameter.grad)
        return loss.detach() * math.nan if fault == "NaN loss" else loss.detach()

    def tensors(self) -> Iterator[Tensor]:
        """Everything that must stay finite."""
        yield from self.model.parameters()
        for state in self.optimizer.state.values():
            yield from state.values()

    @torch.no_grad()
    def judge(self) -> tuple[float, float]:
        """Loss and accuracy on all digits."""
        scores = self.model(self.x)
        loss = nn.functional.cross_entropy(scores, self.y).item()
        return loss, (scores.argmax(1) == self.y).double().mean().item()


def soak(policy: str | tuple[str, dict[str, int]], steps: int, seed: int = 0) -> Outcome:
    """Train for so many steps under one policy."""
    training = Training(seed)
    outcome = Outcome(policy if isinstance(policy, str) else policy[0], steps)
    outcome.first_loss = training.judge()[0]
    faults = [*GRADIENT_FAULTS, *OTHER_FAULTS]
    for strategy in STRATEGIES:
        with gradcore.Guard(
            training.model, clip=strategy, nonfinite=policy, checks="default", max_consecutive=None
        ) as guard:
            for _ in range(math.ceil(steps / len(STRATEGIES))):
                fault = None
                if training.random.random() < SHARE:
                    fault = training.random.choice(faults)
                outcome.faults += fault is not None
                loss = training.backward(fault)
                try:
                    report = guard.step(training.optimizer, loss=loss)
                except gradcore.NonfiniteGradientError:
                    outcome.raised += 1
                    report = guard.history[-1]
                outcome.events += report.nonfinite.total > 0 or not math.isfinite(loss)
                outcome.skipped += report.skipped
                outcome.restored += report.restored
                outcome.repaired += report.repaired
                outcome.clipped += report.clipped
                finite = all(bool(tensor.isfinite().all()) for tensor in training.tensors())
                outcome.poisoned += not finite
    outcome.last_loss, outcome.accuracy = training.judge()
    return outcome


def table(outcomes: list[Outcome]) -> str:
    """All trainings as a Markdown table."""
    columns = (
        "policy | steps | faults planted | non-finite steps | not taken | rolled back | raised |"
        " elements repaired | clipped | **steps after which anything was non-finite** | loss before"
        " | loss after | accuracy"
    )
    rows = [
        f"| `{o.policy}` | {o.steps:,} | {o.faults:,} | {o.events:,} | {o.skipped:,} | "
        f"{o.restored:,} | {o.raised:,} | {o.repaired:,} | {o.clipped:,} | **{o.poisoned}** | "
        f"{o.first_loss:.3f} | {o.last_loss:.3f} | {o.accuracy:.1%} |"
        for o in outcomes
    ]
    rule = "|---" * (columns.count("|") + 1) + "|"
    return "\n".join([f"| {columns} |", rule, *rows])


def main() -> None:
    """Print the page that docs/soak.md is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    arguments = parser.parse_args()
    logging.getLogger("gradcore").setLevel(logging.ERROR)  # a warning for every streak otherwise
    strategies = ", ".join(s if isinstance(s, str) else s[0] for s in STRATEGIES)
    faults = ", ".join([*GRADIENT_FAULTS, *OTHER_FAULTS])
    print(  # noqa: T201 - the page
        f"# Soak\n\nA classifier of digits in training, {arguments.steps:,} steps a policy with "
        f"AdamW, a fault in {SHARE:.0%} of the steps: {faults}. The strategy changes: "
        f"{strategies}. Every parameter and all of the optimizer's state are looked at after every "
        "step. `python tests/soak.py` repeats it.\n"
    )
    print(table([soak(policy, arguments.steps) for policy in POLICIES]))  # noqa: T201


if __name__ == "__main__":
    main()
