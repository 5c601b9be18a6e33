"""Train within an asyncio program: batches arrive from a coroutine, steps run in a thread.

The event loop stays free for whatever else the program does, here a heartbeat that tells how long
it ever had to wait.  The guard belongs to the thread that steps; its log can be read by anyone at
any time, such as with ``gradcore watch``.  The learning rate falls when the validation loss stands
still, and training stops when it does so for long.  Some batches are broken, as they are in life.

    python examples/async_training.py run.jsonl
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

import gradcore

STEPS = 600
BROKEN = 97
"""Every so-manieth batch holds a NaN."""
LOOK = 20
"""Steps between two looks at the validation loss."""
PATIENCE = 4
"""Looks without an improvement after which training stops."""


def batch(generator: torch.Generator, size: int = 64) -> tuple[Tensor, Tensor]:
    """Points of a wave with some noise."""
    x = torch.rand(size, 1, generator=generator) * 2 - 1
    noise = torch.randn(size, 1, generator=generator) * 0.05
    return x, torch.sin(4 * x) + noise


@dataclass
class Trainer:
    """A model in training; everything here runs in one thread at a time."""

    path: str
    model: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)
        self.schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, patience=1)
        sinks = [("jsonl", {"path": self.path})]
        self.guard = gradcore.Guard(self.model, max_norm=1.0, history=100, sinks=sinks)
        self.validation = batch(torch.Generator().manual_seed(1), 256)

    def step(self, x: Tensor, y: Tensor) -> gradcore.Report:
        """One guarded step."""
        self.optimizer.zero_grad()
        loss = nn.functional.mse_loss(self.model(x), y)
        loss.backward()
        return self.guard.step(self.optimizer, loss=loss)

    @torch.no_grad()
    def validate(self) -> float:
        """The validation loss, which the learning rate follows."""
        x, y = self.validation
        loss = nn.functional.mse_loss(self.model(x), y).item()
        self.schedule.step(loss)
        return loss


async def produce(queue: asyncio.Queue[tuple[Tensor, Tensor]]) -> None:
    """Put batches into the queue, as they would come from a network."""
    generator = torch.Generator().manual_seed(2)
    for number in range(1, STEPS + 1):
        x, y = batch(generator)
        if number % BROKEN == 0:
            x[0] = math.nan
        await queue.put((x, y))


async def train(trainer: Trainer, queue: asyncio.Queue[tuple[Tensor, Tensor]]) -> float:
    """Take steps until the validation loss improves no more; returns the best one."""
    best, waited = math.inf, 0
    for number in range(1, STEPS + 1):
        x, y = await queue.get()
        await asyncio.to_thread(trainer.step, x, y)
        if number % LOOK:
            continue
        loss = await asyncio.to_thread(trainer.validate)
        rate = trainer.optimizer.param_groups[0]["lr"]
        print(f"step {number}: validation loss {loss:.4f}, learning rate {rate:.0e}")
        best, waited = (loss, 0) if loss < 0.99 * best else (best, waited + 1)
        if waited == PATIENCE:
            print(f"stopped early at step {number}")
            break
    return best


async def beat(longest: list[float], interval: float = 0.005) -> None:
    """Do something else now and then, and note how long it ever had to wait for its turn."""
    while True:
        due = time.perf_counter() + interval
        await asyncio.sleep(interval)
        longest.append(time.perf_counter() - due)


async def main(path: str) -> None:
    """Run all of it together."""
    trainer, waits = Trainer(path), [0.0]
    queue: asyncio.Queue[tuple[Tensor, Tensor]] = asyncio.Queue(maxsize=8)
    others = [asyncio.create_task(produce(queue)), asyncio.create_task(beat(waits))]
    with trainer.guard:
        best = await train(trainer, queue)
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)

    history = await asyncio.to_thread(gradcore.History.load, path)
    summary = history.summary()
    print(f"loss {history[0].loss:.4f} -> {best:.4f} in {summary['steps_seen']} steps")
    print(f"skipped {round(summary['skip_rate'] * summary['steps_seen'])} broken batches")
    print(f"{len(waits) - 1} heartbeats, the longest wait was {1000 * max(waits):.0f} ms")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "run.jsonl"))
