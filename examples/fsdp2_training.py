"""FSDP2 on several ranks, one of which is handed a sentence that ends early.

The small model of text of `debug_nan.py`, with the norm that somebody wrote without an epsilon, is
trained with `fully_shard`.  All sentences fill the context but those of one batch on one rank:
their padding is divided by zero.  The loss leaves padding out and looks fine, and the reduction of
gradients hands NaN to every rank.  With torch's clipping the run is lost there and then; a guard
skips that step on all ranks, says so, and the training ends well.  What differs is two lines.

    torchrun --standalone --nproc-per-node 2 examples/fsdp2_training.py [--torch] [--steps 60]
"""

from __future__ import annotations

import argparse
import logging
import os
import sys

import torch
from debug_nan import BATCH, CONTEXT, PADDING, Language, loss_of, sentences
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import gradcore

SHORT = 20
"""The step in which the sentences of the last rank end early."""


def batch_of(text: Tensor, step: int) -> Tensor:
    """What this rank reads in a step: other sentences than the other ranks."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    first = (step * ranks + rank) * BATCH
    batch = text[torch.arange(first, first + BATCH) % len(text)]
    if (step, rank) == (SHORT, ranks - 1):
        batch[:, CONTEXT // 2 :] = PADDING
    return batch


def train(steps: int, *, guarded: bool) -> tuple[list[float], nn.Module]:
    """Train; returns the loss of every step, the mean over ranks, and the model."""
    torch.manual_seed(0)
    model, text = Language(eps=0.0), sentences()
    text = text[(text != PADDING).all(1)]
    fully_shard(model, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    guard = gradcore.Guard(model, max_norm=1.0)
    losses = []
    for step in range(steps):
        optimizer.zero_grad()
        loss = loss_of(model, batch_of(text, step))
        loss.backward()
        if guarded:
            report = guard.step(optimizer, loss=loss)
            if report.skipped and dist.get_rank() == 0:
                print(report)
        else:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        losses.append(mean.item() / dist.get_world_size())
    return losses, model


def main() -> None:
    """Train, and say on the first rank what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--torch", action="store_true", help="clip by torch, without a guard")
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    losses, model = train(options.steps, guarded=not options.torch)
    whole = [parameter.full_tensor() for parameter in model.parameters()]
    lost = sum(int((~tensor.isfinite()).sum()) for tensor in whole)
    if dist.get_rank() == 0:
        total = sum(tensor.numel() for tensor in whole)
        print(f"loss {losses[0]:.2f} -> {losses[-1]:.2f}; {lost} of {total} parameters lost")
    dist.barrier()
    sys.stdout.flush()
    os._exit(0)  # gloo's threads sometimes abort a process that is taken down


if __name__ == "__main__":
    logging.getLogger("gradcore").setLevel(logging.ERROR)  # said here in other words
    main()
