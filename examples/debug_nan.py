"""Find the layer behind a NaN: the loss looks fine, and yet no step can be taken.

A small model of text has a norm that somebody wrote by hand, without an epsilon.  Sentences that
are shorter than the context are filled up with a padding whose embedding is zero, and zero divided
by zero is NaN.  The loss leaves padding out, so it stays finite; the gradients do not.  The guard
says when and in which parameters; the tracer says in which module, and what went in; with the norm
mended the same training ends well.

    python examples/debug_nan.py [--steps 60] [--log run.jsonl]
    gradcore report run.jsonl -o debug_nan.png
"""

from __future__ import annotations

import argparse
import builtins
import logging

import torch
from torch import Tensor, nn
from torch.nn import functional

import gradcore
from gradcore.monitors import trace_nonfinite

PADDING, WIDTH, CONTEXT, BATCH = 0, 48, 64, 16


class RootMeanSquareNorm(nn.Module):
    """Divides by the root of the mean square (Zhang and Sennrich, 2019), plus ``eps`` below it."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., WIDTH]`` to the same shape."""
        return self.gain * x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt()


class Language(nn.Module):
    """Predicts the next byte from the eight before it."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, WIDTH, padding_idx=PADDING)
        self.norm = RootMeanSquareNorm(eps)
        self.mix = nn.Conv1d(WIDTH, 4 * WIDTH, 8)
        self.head = nn.Linear(4 * WIDTH, 256)

    def forward(self, text: Tensor) -> Tensor:
        """Map bytes ``[batch, length]`` to logits ``[batch, length, 256]``."""
        x = self.norm(self.embedding(text)).transpose(1, 2)
        x = self.mix(functional.pad(x, (7, 0))).transpose(1, 2)  # sees what came before alone
        return self.head(functional.gelu(x))


def sentences() -> Tensor:
    """Python's own words about its builtins: bytes ``[sentences, CONTEXT + 1]``, filled up."""
    texts = [getattr(builtins, name).__doc__ or "" for name in sorted(dir(builtins))]
    lines = [line.strip().encode() for text in texts for line in text.splitlines()]
    long_first = sorted((line for line in lines if len(line) > CONTEXT // 2), key=len, reverse=True)
    rows = [torch.tensor(list(line[: CONTEXT + 1])) for line in long_first]
    return nn.utils.rnn.pad_sequence([torch.zeros(CONTEXT + 1).long(), *rows], batch_first=True)[1:]


def loss_of(model: Language, text: Tensor) -> Tensor:
    """Mean cross-entropy in nats a byte; padding does not count."""
    logits = model(text[:, :-1])
    return functional.cross_entropy(
        logits.flatten(0, 1), text[:, 1:].flatten(), ignore_index=PADDING
    )


def train(eps: float, steps: int, log: str | None = None) -> tuple[Language, Tensor | None]:
    """Train; returns the model and the first batch whose gradients were not finite."""
    torch.manual_seed(0)
    model, text = Language(eps), sentences()
    optimizer = torch.optim.AdamW(model.named_parameters(), lr=3e-3)
    sinks = [] if log is None else [("jsonl", {"path": log})]
    guard = gradcore.Guard(model, max_norm=1.0, checks="default", sinks=sinks)
    struck = None
    for step in range(steps):
        batch = text[torch.arange(step * BATCH, (step + 1) * BATCH) % len(text)]
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        report = guard.step(optimizer, loss=loss)
        if report.skipped and struck is None:
            struck = batch
            print(f"the first bad step: {report}")
    guard.close()
    summary = guard.history.summary()
    print(f"loss {guard.history[0].loss:.2f} -> {guard.history[-1].loss:.2f}, ", end="")
    print(f"{summary['skip_rate']:.0%} of {steps} steps skipped")
    return model, struck


def explain(model: Language, batch: Tensor) -> None:
    """Run the batch once more, and say where it breaks."""
    with trace_nonfinite(model, action="log") as tracer:
        loss_of(model, batch).backward()
    event = tracer.event
    if event is None:
        print("nothing turned non-finite")
        return
    before, after = event.inputs[0], event.outputs[0]
    print(f"first in module {event.module!r}, {event.direction}; clean until {event.last_clean!r}")
    print(f"went in: all finite: {before.finite}; came out: {after.nan} NaN")
    padded = batch[:, :-1].eq(PADDING).sum().item()
    print(f"the batch has {padded} paddings of {WIDTH} numbers: {padded * WIDTH}")


def main() -> None:
    """Break it, find it, mend it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--log", help="where the log of the broken run goes, if anywhere")
    options = parser.parse_args()
    print("with eps = 0:")
    model, struck = train(0.0, options.steps, options.log)
    if struck is not None:
        explain(model, struck)
    print("with eps = 1e-6:")
    train(1e-6, options.steps)


if __name__ == "__main__":
    logging.getLogger("gradcore").setLevel(logging.ERROR)  # said here in other words
    main()
