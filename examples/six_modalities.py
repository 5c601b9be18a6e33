"""Align six views of handwritten digits by the loss of all six at once.

Six encoders learn one space for the image of a digit, the image turned by a right angle, its row
sums, its column sums, the magnitudes of its Fourier transform, and its name in letters.  A batch
of 32 has 32^6 joint logits, a billion, of which none is ever held.

    python examples/six_modalities.py --steps 150

Prints the loss, then how often each view of digits that were never trained on finds another view
of the same digit, out of all of them.
"""

from __future__ import annotations

import argparse
import math
import string
from itertools import permutations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import gradcore
from gradcore.numerics import normalize, nway_contrastive_loss
from gradcore.numerics.activations import GELU

VIEWS = ("image", "turned", "rows", "columns", "spectrum", "name")
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
BATCH = 32
HELD_OUT = 300
WIDTH = 32


def views_of(images: Tensor, labels: Tensor) -> list[Tensor]:
    """Make the six views of images ``[N, 8, 8]`` in [0, 1]: ``[N, …]`` each."""
    spectrum = torch.fft.fft2(images, norm="ortho").abs()
    letters = torch.zeros(len(NAMES), max(map(len, NAMES)), 26)
    for number, name in enumerate(NAMES):
        for place, letter in enumerate(name):
            letters[number, place, string.ascii_lowercase.index(letter)] = 1.0
    return [
        images.flatten(1),
        images.rot90(dims=(1, 2)).flatten(1),
        images.sum(2),
        images.sum(1),
        spectrum.flatten(1),
        letters[labels].flatten(1),
    ]


class Encoders(nn.Module):
    """One encoder a view, into one space, and the scale of the logits."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(
            nn.Sequential(nn.Linear(size, 128), GELU(), nn.Linear(128, WIDTH)) for size in sizes
        )
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, views: list[Tensor]) -> list[Tensor]:
        """Map each view to features ``[N, WIDTH]``."""
        return [encoder(view) for encoder, view in zip(self.encoders, views, strict=True)]


def train(model: Encoders, views: list[Tensor], steps: int, batch: int = BATCH) -> list[float]:
    """Train on random batches; return the loss of every step, in nats."""
    optimizer = torch.optim.AdamW(model.named_parameters(), lr=3e-3)
    guard = gradcore.Guard(model, max_norm=1.0)
    losses = []
    for step in range(steps):
        chosen = torch.randperm(len(views[0]))[:batch]
        features = model([view[chosen] for view in views])
        # CLIP's limit of the scale: sharper, and one mistake outweighs the rest of the batch.
        scale = model.log_scale.exp().clamp(max=100.0)
        loss = nway_contrastive_loss(*features, method="cosine", logit_scale=scale)
        optimizer.zero_grad()
        loss.backward()
        gradcore.safe_step(optimizer, guard=guard, loss=loss)
        losses.append(loss.item())
        if step % 10 == 0 or step == steps - 1:
            print(f"loss {losses[-1]:.4f}")
    return losses


@torch.no_grad()
def retrieval(features: list[Tensor]) -> float:
    """Share of features whose nearest, among all of another view, is of the same digit.

    The mean over the ordered pairs of views but the name, which many digits share.
    """
    rows = [normalize(x) for x in features[:-1]]
    own = torch.arange(len(rows[0]))
    pairs = list(permutations(rows, 2))
    return sum(((x @ y.T).argmax(1) == own).float().mean().item() for x, y in pairs) / len(pairs)


@torch.no_grad()
def naming(model: Encoders, image: Tensor, labels: Tensor) -> float:
    """Share of images whose nearest name is theirs: reading digits without a classifier."""
    every = views_of(torch.zeros(len(NAMES), 8, 8), torch.arange(len(NAMES)))[-1]
    names = normalize(model.encoders[-1](every))
    guesses = (normalize(model.encoders[0](image)) @ names.T).argmax(1)
    return (guesses == labels).float().mean().item()


def main() -> None:
    """Train, and print what was learned about digits that were held out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    digits = load_digits()
    order = torch.randperm(len(digits.target))
    images = torch.tensor(digits.images, dtype=torch.float32)[order] / 16.0
    labels = torch.tensor(digits.target)[order]
    views = views_of(images, labels)
    model = Encoders([view.shape[1] for view in views])
    train(model, [view[HELD_OUT:] for view in views], options.steps, options.batch)
    unseen = [view[:HELD_OUT] for view in views]
    found = retrieval(model(unseen))
    print(f"retrieval {found:.1%} (chance {1 / HELD_OUT:.1%})")
    print(f"naming {naming(model, unseen[0], labels[:HELD_OUT]):.1%} (chance 10.0%)")


if __name__ == "__main__":
    main()
