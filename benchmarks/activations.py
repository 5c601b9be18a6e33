"""How gradients grow or shrink through fifty layers, by activation function.

    python benchmarks/activations.py

Fully connected networks of 50 layers of 256 units read real handwritten digits; the loss is the
cross-entropy of the ten classes.  `GradientGainMonitor` tells the norm of the gradient at the
output of every layer, before any training.  Prints the table of ``docs/activations.md``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from statistics import fmean

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from gradcore.monitors import GradientGainMonitor
from gradcore.numerics import activations

LAYERS = 50
WIDTH = 256
BATCH = 256
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "ReLU": nn.ReLU,
    "LeakyReLU": activations.LeakyReLU,
    "GELU": activations.GELU,
    "SiLU": activations.SiLU,
    "Mish": activations.Mish,
    "tanh": nn.Tanh,
}


class Residual(nn.Module):
    """``x + f(normalised x)``, as in a transformer."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(WIDTH), inner

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, WIDTH]`` to the same shape."""
        return x + self.inner(self.norm(x))


def layer(activation: Callable[[], nn.Module], gain: float) -> nn.Module:
    """One layer whose weights have the variance ``gain^2 / WIDTH``."""
    linear = nn.Linear(WIDTH, WIDTH)
    nn.init.normal_(linear.weight, std=gain / math.sqrt(WIDTH))
    nn.init.zeros_(linear.bias)
    return nn.Sequential(linear, activation())


def preserving_gain(activation: Callable[[], nn.Module]) -> float:
    """The gain with which ``E f(gain u)^2 = 1`` for u normal: the forward pass keeps its size."""
    u = torch.special.ndtri(torch.linspace(0.0, 1.0, 20_003, dtype=torch.float64)[1:-1])
    low, high = 1e-3, 1e3
    for _ in range(60):
        middle = math.sqrt(low * high)
        small = activation()(middle * u).square().mean() < 1.0
        low, high = (middle, high) if small else (low, middle)
    return middle


def gain_of(blocks: nn.Sequential, images: Tensor, labels: Tensor) -> float:
    """Natural logarithm of what the gradient is multiplied by, back through all blocks."""
    head, tail = nn.Linear(64, WIDTH), nn.Linear(WIDTH, 10)
    with GradientGainMonitor(blocks) as monitor:
        functional.cross_entropy(tail(blocks(head(images))), labels).backward()
        return sum(monitor.log_gains())


def main() -> None:
    """Measure every activation with several seeds, and print means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    digits = load_digits()
    images = torch.tensor(digits.data[:BATCH], dtype=torch.float32)
    images = (images - images.mean()) / images.std()
    labels = torch.tensor(digits.target[:BATCH])
    print("| activation | preserving gain | torch's default | He | preserving | residual |")
    print("|---|---|---|---|---|---|")
    for name, activation in ACTIVATIONS.items():
        # Of a bounded function no gain preserves the size: the customary one.
        best = nn.init.calculate_gain("tanh") if name == "tanh" else preserving_gain(activation)
        ways: list[Callable[[], nn.Module]] = [
            lambda f=activation: layer(f, 1 / math.sqrt(3.0)),
            lambda f=activation: layer(f, math.sqrt(2.0)),
            lambda f=activation, g=best: layer(f, g),
            lambda f=activation, g=best: Residual(layer(f, g)),
        ]
        cells = []
        for make in ways:
            logs = []
            for seed in range(options.seeds):
                torch.manual_seed(seed)
                blocks = nn.Sequential(*(make() for _ in range(LAYERS)))
                logs.append(gain_of(blocks, images, labels))
            cells.append(f"{math.exp(fmean(logs)):.1e}")
        print(f"| {name} | {best:.3f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
