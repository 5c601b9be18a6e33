"""Whether a fused optimizer had better scale gradients itself, in float32 shapes of GPT-2.

Torch's fused optimizers divide gradients by their ``grad_scale``, which a `torch.amp.GradScaler`
sets: what it divides them by may be what clipping divides by.  Three guarded steps take turns, each
reads the gradients once to measure them:

* "unclipped": nothing more is done to gradients;
* "clipped": the guard multiplies them by one factor, and the optimizer steps;
* "in the step": nothing but that the optimizer divides them by the inverse of the same factor.

The table shows the least milliseconds of each, and the last as a ratio of the one before.  Said as
well is whether the optimizer writes what it has divided back to ``.grad``.

    OMP_NUM_THREADS=1 python benchmarks/fused_scaling.py [rounds]
"""

from __future__ import annotations

import sys
from functools import partial

import torch
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from gradcore import Guard
from gradcore.cli.bench.timing import compare
from gradcore.cli.bench.workloads import gpt2, gradients_of, parameters_of

OPTIMIZERS = {
    "SGD": partial(SGD, momentum=0.0),
    "SGD, momentum": partial(SGD, momentum=0.9),
    "Adagrad": Adagrad,
    "Adam": Adam,
    "AdamW": AdamW,
}
MAX_NORM = 1.0


def main(rounds: int) -> None:
    """Print the table."""
    print(f"{'fused':14} unclipped   clipped  in the step   ratio  noise  .grad is written")
    parameters = parameters_of(gpt2(), torch.float32)
    gradients = gradients_of(parameters)
    saved = [gradient.clone() for gradient in gradients]
    norm = torch.linalg.vector_norm(torch.stack([g.double().norm() for g in saved]))
    scale = (norm / MAX_NORM).to(torch.float32)
    for name, kind in OPTIMIZERS.items():
        optimizer = kind(parameters, lr=1e-9, fused=True)
        plain, clipping = Guard(optimizer), Guard(optimizer, max_norm=MAX_NORM)
        times = compare(
            {
                "unclipped": partial(plain.step, optimizer),
                "clipped": partial(step_of_clipped, clipping, optimizer),
                "in the step": partial(step_that_scales, plain, optimizer, scale),
            },
            before=lambda: torch._foreach_copy_(gradients, saved),
            rounds=rounds,
            budget=10.0,
        )
        torch._foreach_copy_(gradients, saved)
        step_that_scales(plain, optimizer, scale)
        written = not all(map(torch.equal, gradients, saved))
        least = [timing.minimum * 1e3 for timing in times.values()]
        noise = max(timing.noise for timing in times.values())
        numbers = f"{least[0]:9.1f} {least[1]:9.1f} {least[2]:12.1f} {least[2] / least[1]:7.2f}"
        print(f"{name:14} {numbers} {noise:6.0%}  {'yes' if written else 'no'}", flush=True)


def step_of_clipped(guard: Guard, optimizer: Optimizer) -> None:
    """What `Guard.step` does where it leaves nothing to the optimizer."""
    guard.apply(optimizer=optimizer)
    optimizer.step()


def step_that_scales(guard: Guard, optimizer: Optimizer, scale: torch.Tensor) -> None:
    """A guarded step of an optimizer that divides gradients by ``scale``."""
    optimizer.grad_scale, optimizer.found_inf = scale, torch.zeros(())
    try:
        guard.step(optimizer)
    finally:
        del optimizer.grad_scale, optimizer.found_inf


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 10)
