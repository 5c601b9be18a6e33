"""Graphs of a device, like CUDA's: work that is captured once and replayed without the host."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch
from torch import nn

from gradcore.errors import GradcoreError

if TYPE_CHECKING:
    from collections.abc import Iterator


def in_a_graph() -> bool:
    """Whether what is queued now is captured in a graph, and not done."""
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is None:
        return False
    asks = getattr(torch.get_device_module(accelerator), "is_current_stream_capturing", None)
    return asks is not None and bool(asks())


def refuse_in_a_graph(what: str) -> None:
    """Raise the `GradcoreError` for ``what`` if a graph is being captured."""
    if in_a_graph():
        raise GradcoreError(f"{what} cannot be captured in a graph.")


@contextlib.contextmanager
def memory_stays(*parts: object) -> Iterator[None]:
    """Write memory that parts assign to where it was: there the next replay looks for it.

    Raises:
        GradcoreError: Memory changes its shape, which a graph cannot hold.
    """
    modules = [each for part in parts if isinstance(part, nn.Module) for each in part.modules()]
    before = [(each, *item) for each in modules for item in each.named_buffers(recurse=False)]
    yield
    for module, name, was in before:
        now = getattr(module, name)
        if now is was:
            continue
        if now.shape != was.shape:
            raise GradcoreError(
                f"{type(module).__name__}.{name} went from shape {list(was.shape)} to "
                f"{list(now.shape)} while a graph was captured, which holds one shape only."
            )
        was.copy_(now)
        setattr(module, name, was)
