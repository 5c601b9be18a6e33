"""A program of a user, and a plugin, for type checkers: ``nox -s typed``.  Also runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

import gradcore
from gradcore.testing import check_policy, check_strategy


class Halve:
    """Halve gradients whose norm is above 1."""

    name: ClassVar[str] = "halve"

    def __call__(self, statistics: gradcore.Statistics) -> gradcore.Plan:
        return gradcore.Scale(torch.where(statistics.norm > 1.0, 0.5, 1.0))


class Largest(nn.Module):
    """Bound the norm by the largest that was seen."""

    name: ClassVar[str] = "largest"
    largest: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("largest", torch.tensor(1.0, dtype=torch.float64))

    def forward(self, statistics: gradcore.Statistics) -> gradcore.Plan:
        seen = torch.maximum(self.largest, statistics.norm)
        self.largest.copy_(torch.where(statistics.learnable, seen, self.largest))
        return gradcore.Keep()


class SkipAll:
    """Skip a step in which anything is not finite."""

    name: ClassVar[str] = "skip_all"

    def __call__(self, statistics: gradcore.Statistics) -> gradcore.Plan:
        return gradcore.Skip(~statistics.trusted)


class Large:
    """Say when a norm is above 100."""

    name: ClassVar[str] = "large"

    def __call__(
        self, report: gradcore.Report, history: gradcore.History
    ) -> Iterable[gradcore.Finding]:
        if report.norm > 100.0 and len(history):
            yield gradcore.Finding(self.name, "warning", "It is large.", "Clip it.")


class Print:
    """Print every report."""

    name: ClassVar[str] = "print"

    def __call__(self, report: gradcore.Report) -> None:
        print(report)


@gradcore.hookimpl
def gradcore_clip_strategies() -> Sequence[type[gradcore.ClipStrategy]]:
    return [Halve, Largest]


@gradcore.hookimpl
def gradcore_nonfinite_policies() -> Sequence[type[gradcore.NonfinitePolicy]]:
    return [SkipAll]


@gradcore.hookimpl
def gradcore_health_checks() -> Sequence[type[gradcore.HealthCheck]]:
    return [Large]


@gradcore.hookimpl
def gradcore_sinks() -> Sequence[type[gradcore.Sink]]:
    return [Print]


def main() -> None:
    """Use most of what is public."""
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradcore.Guard(model, clip=Halve(), nonfinite=SkipAll(), checks=[Large()]) as guard:
        loss: Tensor = model(torch.ones(1, 2)).sum()
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]  # torch's own
        report: gradcore.Report = guard.step(optimizer, loss=loss)
        norm: float = report.norm
        skipped: bool = report.skipped
        names: tuple[str, ...] = guard.names
        steps: int = guard.steps
        history: gradcore.History = guard.history
        rates: dict[str, float] = history.summary()
    total: Tensor = gradcore.clip_grad_norm_(model.parameters(), 1.0)
    counts: gradcore.Counts = gradcore.repair_(model.parameters())
    statistics: gradcore.Statistics = gradcore.measure(model.parameters())
    strategy: gradcore.ClipStrategy = gradcore.Registry().create("clip", "value", limit=1.0)
    flow = gradcore.monitors.gradient_flow(report)
    with gradcore.monitors.trace_nonfinite(model) as tracer:
        print(tracer.event, flow, strategy.name, statistics.norm, counts.total, total, rates)
    print(norm, skipped, names, steps, gradcore.safe_step(optimizer, max_norm=1.0))
    check_strategy(Halve)
    check_strategy(Largest)
    check_policy(SkipAll)


if __name__ == "__main__":
    main()
