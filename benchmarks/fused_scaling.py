"""Whether a fused optimizer had better scale gradients itself, by shapes, dtype and threads.

Torch's fused optimizers divide gradients by their ``grad_scale``, which a `torch.amp.GradScaler`
sets: what it divides them by may be what clipping divides by.  Four ways of a step take turns:

* "torch": `torch.nn.utils.clip_grad_norm_`, and the optimizer steps;
* "unclipped": a guarded step that measures, and has nothing more to do to gradients;
* "clipped": the guard measures and multiplies by one factor, and the optimizer steps;
* "in the step": the guard measures and leaves it to the optimizer to divide by the inverse.

The last is what `Guard.step` does wherever it can, however short the list; for 16-bit parameters,
of which it leaves none to optimizers, the same is done by hand.  The table shows the least
milliseconds of each, and ratios, with those of medians in brackets.

    python benchmarks/fused_scaling.py                    # gpt2, float32, one thread
    python benchmarks/fused_scaling.py --shapes resnet50 --dtype bfloat16 --threads 2
    python benchmarks/fused_scaling.py --shapes 100x4096  # a hundred gradients of 4096 elements
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from gradcore import Guard, dividing
from gradcore.cli.bench.timing import Timing, compare
from gradcore.cli.bench.workloads import WORKLOADS, gradients_of, parameters_of

OPTIMIZERS = {
    "SGD": partial(SGD, momentum=0.0),
    "SGD, momentum": partial(SGD, momentum=0.9),
    "Adagrad": Adagrad,
    "Adam": Adam,
    "AdamW": AdamW,
}
HEAD = """\
| shapes | dtype | threads | fused | torch | unclipped | clipped | in the step | of clipped | of torch | noise |
|---|---|---:|---|---:|---:|---:|---:|---:|---:|---:|"""  # noqa: E501 - a row of a table


def main() -> None:
    """Print the table."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--shapes", default="gpt2", help=f"{', '.join(WORKLOADS)}, or 100x4096")
    asked.add_argument("--dtype", default="float32")
    asked.add_argument("--threads", type=int, default=1)
    asked.add_argument("--rounds", type=int, default=10)
    asked.add_argument("--budget", type=float, default=10.0, help="seconds an optimizer, at most")
    asked.add_argument("--only", choices=OPTIMIZERS, help="one optimizer")
    given = asked.parse_args()
    torch.set_num_threads(given.threads)
    dividing.WORTH = 0  # type: ignore[misc] - to see where it would pay
    print(HEAD)
    for name in [given.only] if given.only else OPTIMIZERS:
        times = measured(name, given)
        least = [f"{timing.minimum * 1e3:.3g}" for timing in times.values()]
        noise = max(timing.noise for timing in times.values())
        ratios = [ratio(times["in the step"], times[of]) for of in ("clipped", "torch")]
        where = (given.shapes, given.dtype, str(given.threads), name)
        print("|", " | ".join([*where, *least, *ratios, f"{noise:.0%}"]), "|", flush=True)


def measured(name: str, given: argparse.Namespace) -> dict[str, Timing]:
    """The four ways of one optimizer."""
    dtype: torch.dtype = getattr(torch, given.dtype)
    parameters = parameters_of(shapes_of(given.shapes), dtype)
    gradients = gradients_of(parameters)
    saved = [gradient.clone() for gradient in gradients]
    norm = torch.linalg.vector_norm(torch.stack([g.double().norm() for g in saved]))
    bound = norm.item() / 2.0
    optimizer = OPTIMIZERS[name](parameters, lr=1e-9, fused=True)
    plain, clipping = Guard(optimizer), Guard(optimizer, max_norm=bound)
    by_hand = partial(step_that_scales, plain, optimizer, (norm / bound).to(torch.float32))
    scales_itself = clipping.step(optimizer).scaled_by_optimizer
    return compare(
        {
            "torch": partial(step_of_torch, parameters, optimizer, bound),
            "unclipped": partial(plain.step, optimizer),
            "clipped": partial(step_of_clipped, clipping, optimizer),
            "in the step": partial(clipping.step, optimizer) if scales_itself else by_hand,
        },
        before=lambda: torch._foreach_copy_(gradients, saved),
        rounds=given.rounds,
        budget=given.budget,
    )


def shapes_of(name: str) -> list[tuple[int, ...]]:
    """Those of a workload, or so many tensors of so many elements."""
    if name in WORKLOADS:
        return WORKLOADS[name]()
    tensors, elements = map(int, name.split("x"))
    return [(elements,)] * tensors


def ratio(one: Timing, other: Timing) -> str:
    """Of minima, and of medians."""
    return f"{one.minimum / other.minimum:.2f} ({one.median / other.median:.2f})"


def step_of_torch(parameters: list[torch.Tensor], optimizer: Optimizer, bound: float) -> None:
    """What people write without gradcore."""
    clip_grad_norm_(parameters, bound)
    optimizer.step()


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
    main()
