"""What watching costs: forward and backward under each monitor, against the same without it.

The bare pass and the watched ones take turns, so that a change of the machine's clock hits all of
them alike.  What counts is the time of the processor, so that other work on the machine counts
less.  The table shows ratios of medians, and the spread of the bare pass.

    OMP_NUM_THREADS=1 python benchmarks/monitors.py [rounds]
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn import functional

from gradcore.monitors import GradientGainMonitor, trace_nonfinite

Watch = Callable[[], AbstractContextManager[object]]


class Residual(nn.Module):
    """A basic block of a ResNet, with the activations in place, as torchvision has them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2)
        )
        self.first_norm, self.second_norm = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, width, H, W]`` to the same shape."""
        y = self.activation(self.first_norm(self.first(x)))
        return self.activation(self.second_norm(self.second(y)) + x)


def resnet() -> tuple[nn.Module, nn.ModuleList, Callable[[], Tensor]]:
    """Eight residual blocks of 32 channels on 16 images of 32 by 32 pixels."""
    blocks = nn.Sequential(*(Residual(32) for _ in range(8)))
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )
    images, labels = torch.randn(16, 3, 32, 32), torch.randint(10, (16,))
    return model, blocks, lambda: functional.cross_entropy(model(images), labels)


class Language(nn.Module):
    """Embedding, pre-norm transformer blocks, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, 256)
        layer = nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
        self.head = nn.Linear(256, 256)

    def forward(self, ids: Tensor) -> Tensor:
        """Map ``[N, length]`` to logits."""
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        return self.head(self.encoder(self.embedding(ids), mask=mask, is_causal=True))


def transformer() -> tuple[nn.Module, nn.ModuleList, Callable[[], Tensor]]:
    """Six blocks of width 256 on eight sequences of 64 bytes."""
    model = Language()
    ids = torch.randint(256, (8, 65))

    def loss() -> Tensor:
        return functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())

    return model, model.encoder.layers, loss


def compare(
    model: nn.Module, blocks: nn.ModuleList, loss: Callable[[], Tensor], rounds: int
) -> None:
    """Print a row a monitor."""
    watches: dict[str, Watch] = {
        "bare": contextlib.nullcontext,
        "trace_nonfinite": lambda: trace_nonfinite(model),
        "GradientGainMonitor": lambda: GradientGainMonitor(blocks),
        "torch's detect_anomaly": torch.autograd.detect_anomaly,
    }
    seconds: dict[str, list[float]] = {name: [] for name in watches}
    for turn in range(rounds + 2):
        for name, watch in watches.items():
            model.zero_grad()
            with watch():
                begun = time.process_time()
                loss().backward()
                took = time.process_time() - begun
            if turn >= 2:  # noqa: PLR2004 - the first ones warm up
                seconds[name].append(took)
    bare = statistics.median(seconds["bare"])
    low, _, high = statistics.quantiles(seconds["bare"], n=4)
    print(f"  {'bare':32} {bare * 1e3:7.1f} ms   quartiles {low / bare:.3f} … {high / bare:.3f}")
    for name in list(watches)[1:]:
        print(f"  {name:32} {statistics.median(seconds[name]) / bare:7.3f} of that")


def main() -> None:
    """Both models."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {rounds} rounds")
    for make in (transformer, resnet):
        print(make.__doc__)
        compare(*make(), rounds)


if __name__ == "__main__":
    main()
