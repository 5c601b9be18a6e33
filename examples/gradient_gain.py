"""Pre-LN against Post-LN: the same transformer, with its layer norms in two places.

Where the norm stands decides how gradients reach the first blocks, and so why Post-LN wants its
learning rate warmed up (Xiong et al., "On Layer Normalization in the Transformer Architecture",
ICML 2020).  Both models are built from one seed and trained without warm-up on the same text,
Python's own documentation of its builtins; a monitor measures the gradient at the output of every
block, at the first step and at the last.

    python examples/gradient_gain.py [--blocks 12] [--steps 30] [--out gradient_gain.png]
"""

from __future__ import annotations

import argparse
import builtins

import torch
from torch import Tensor, nn
from torch.nn import functional

import gradcore
from gradcore.monitors import GradientGainMonitor
from gradcore.plots import plot_gain

WIDTH, HEADS, CONTEXT, SENTENCES = 64, 4, 48, 8
LEARNING_RATE = 3e-3


class Language(nn.Module):
    """Predicts the next byte; ``norm_first`` says where the norms of its blocks stand."""

    def __init__(self, blocks: int, *, norm_first: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, WIDTH)
        self.position = nn.Parameter(0.02 * torch.randn(CONTEXT, WIDTH))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                *(WIDTH, HEADS, 4 * WIDTH),
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=norm_first,
            )
            for _ in range(blocks)
        )
        # A stack of Pre-LN blocks ends with a norm; one of Post-LN blocks has it in the last block.
        self.norm = nn.LayerNorm(WIDTH) if norm_first else nn.Identity()
        self.head = nn.Linear(WIDTH, 256)

    def forward(self, text: Tensor) -> Tensor:
        """Map bytes ``[batch, length]`` to logits ``[batch, length, 256]``."""
        mask = nn.Transformer.generate_square_subsequent_mask(text.shape[1])
        x = self.embedding(text) + self.position[: text.shape[1]]
        for block in self.blocks:
            x = block(x, src_mask=mask, is_causal=True)
        return self.head(self.norm(x))


def sample() -> Tensor:
    """Some stretches of text, one byte a character and one more than the context."""
    words = "\n".join(value.__doc__ or "" for value in vars(builtins).values())
    text = torch.frombuffer(bytearray(words.encode("ascii", "ignore")), dtype=torch.uint8).long()
    starts = torch.randint(len(text) - CONTEXT - 1, (SENTENCES, 1))
    return text[starts + torch.arange(CONTEXT + 1)]


def train(blocks: int, steps: int, *, norm_first: bool) -> tuple[GradientGainMonitor, ...]:
    """Train a new model; returns what was measured at the first step and at the last."""
    torch.manual_seed(0)
    model = Language(blocks, norm_first=norm_first)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for step in range(steps):
        text = sample()
        with GradientGainMonitor(model.blocks) as monitor:
            logits = model(text[:, :-1])
            loss = functional.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())
            loss.backward()
        gradcore.safe_step(optimizer, max_norm=1.0)
        optimizer.zero_grad()
        if step == 0:
            first = monitor
    return first, monitor


def main() -> None:
    """Measure both, print what the gains amount to, and draw them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--blocks", type=int, default=12, help="depth of both models")
    parser.add_argument("--steps", type=int, default=30, help="steps of training")
    parser.add_argument("--out", default="gradient_gain.png", help="the picture to write")
    options = parser.parse_args()
    monitors: dict[str, GradientGainMonitor] = {}
    for name, norm_first in (("Pre-LN", True), ("Post-LN", False)):
        first, last = train(options.blocks, options.steps, norm_first=norm_first)
        monitors |= {f"{name}, step 1": first, f"{name}, step {options.steps}": last}
    for name, monitor in monitors.items():
        numbers = monitor.summary_stats()
        norms = [norm or 0.0 for norm in monitor.norms()]
        print(
            f"{name:17} mean gain {numbers['mean_gain']:.2f}, smallest {numbers['min_gain']:.2f}; "
            f"norm {norms[-1]:.0e} at the last block, {norms[0]:.0e} at the first"
        )
    plot_gain(
        monitors, options.out, title="Where the layer norm stands, and what becomes of gradients"
    )
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
