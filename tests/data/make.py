"""Writes what gradcore saves into a folder, from four steps that one can work out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import gradcore

STEPS = (
    ([3.0, 4.0], 2.0),
    ([float("nan"), 4.0], 1.5),
    ([6.0, 8.0], 1.0),
    ([0.0, float("inf")], 0.5),
)
"""Gradient and loss of each: norm 5, a NaN, norm 10, an infinite one at the end."""


def main(folder: Path) -> None:
    """Take the steps, and save the guard, its history and its log."""
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([("encoder.weight", weight)], lr=0.1)
    with gradcore.Guard(
        optimizer,
        clip=("percentile", {"window": 4, "warmup": 1}),
        nonfinite="adaptive",
        sinks=[("jsonl", {"path": folder / "sink-1.jsonl"})],
    ) as guard:
        for gradient, loss in STEPS:
            weight.grad = torch.tensor(gradient)
            guard.step(optimizer, loss=loss)
        guard.history.save(folder / "history-1.jsonl")
        torch.save(guard.state_dict(), folder / "guard-1.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
