"""A copy of tensors and optimizer state to go back to, bit for bit."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from gradcore.distributed.sharding import is_sharded, local_of, placing
from gradcore.errors import GradcoreError

if TYPE_CHECKING:
    from torch.optim import Optimizer

Writes: TypeAlias = list[tuple[Tensor, Tensor]]
"""Tensors to be written to, and what with."""


@dataclass(frozen=True, slots=True)
class Held:
    """A copy of what this process holds of a tensor, and how to make a tensor of it anew."""

    copy: Tensor
    device: torch.device
    placed: Callable[[Tensor], Tensor] | None
    """Makes a DTensor of what this rank holds; None for a plain tensor."""


class Snapshot:
    """What tensors and optimizer states were at one time.

    Args:
        device: Where copies are held; None for the device of each tensor.
    """

    def __init__(self, device: torch.device | None) -> None:
        self._device = device
        self._tensors: dict[str, tuple[Tensor, Held]] = {}
        self._states: dict[weakref.ref[Optimizer], Any] = {}

    @property
    def nbytes(self) -> int:
        """Bytes that all copies take together."""
        held = [copied for _, copied in self._tensors.values()]
        copies = [tensor for _, tensor in leaves([held, list(self._states.values())])]
        return sum(tensor.numel() * tensor.element_size() for tensor in copies)

    def take(self, tensors: dict[str, Tensor], optimizers: list[Optimizer]) -> None:
        """Hold these instead; what memory fits is used again, so that no peak comes of it."""
        writes: Writes = []
        of_tensors = {}
        for name, tensor in tensors.items():
            before = self._tensors.get(name, (None, None))[1]
            of_tensors[name] = tensor, self._held(_own_elements(tensor), before, writes)
        of_states = {}
        for optimizer in optimizers:
            key = weakref.ref(optimizer)
            of_states[key] = self._copied(dict(optimizer.state), self._states.get(key), writes)
        _carry_out(writes)
        self._tensors, self._states = of_tensors, of_states

    def restore(self) -> None:
        """Write everything back in place: all of it, or nothing if a tensor no longer fits.

        State that came to be since then is gone, as it was; tensors keep their memory.

        Raises:
            GradcoreError: A tensor was given another shape or dtype.
        """
        writes: Writes = []
        for name, (tensor, held) in self._tensors.items():
            elements = local(_own_elements(tensor))
            if not _fit(elements, held.copy):
                raise GradcoreError(
                    f"{name!r} is {tensor.dtype} of shape {list(tensor.shape)} now and was "
                    f"{held.copy.dtype} of shape {list(held.copy.shape)} in the snapshot. Make a "
                    "new guard after changing a model."
                )
            writes.append((elements, held.copy))
        states = [
            (optimizer, _original(saved, dict(optimizer.state), writes))
            for reference, saved in self._states.items()
            if (optimizer := reference()) is not None
        ]
        _carry_out(writes)
        for optimizer, state in states:
            optimizer.state.clear()
            optimizer.state.update(state)

    def _held(self, tensor: Tensor, before: Any, writes: Writes) -> Held:
        """The same of a tensor: of a DTensor what this rank holds of it."""
        value = local(tensor)
        if isinstance(before, Held) and _fit(value, before.copy):
            kept = before.copy
        else:
            kept = torch.empty_like(value, device=self._device, requires_grad=False)
        writes.append((kept, value))
        return Held(kept, value.device, placing(tensor) if is_sharded(tensor) else None)

    def _copied(self, value: Any, before: Any, writes: Writes) -> Any:
        """A copy of ``value`` for as long as it is held, in the memory of ``before`` if it fits."""
        if isinstance(value, Tensor):
            return self._held(value, before, writes)
        if isinstance(value, dict):
            old = before if isinstance(before, dict) else {}
            return {key: self._copied(item, old.get(key), writes) for key, item in value.items()}
        if isinstance(value, list):
            return [self._copied(item, None, writes) for item in value]
        return copy.deepcopy(value)


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in nested dicts and lists, each with the keys that lead to it."""
    if isinstance(value, Held):
        value = value.copy
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{name} {key}".strip() if isinstance(key, str) else name)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, name)


def _original(saved: Any, now: Any, writes: Writes) -> Any:
    """What ``saved`` is a copy of, in the memory of ``now`` where that fits."""
    if isinstance(saved, Held):
        if isinstance(now, Tensor) and _fit(local(now), saved.copy):
            writes.append((local(now), saved.copy))
            return now
        tensor = torch.empty_like(saved.copy, device=saved.device)
        writes.append((tensor, saved.copy))
        return tensor if saved.placed is None else saved.placed(tensor)
    if isinstance(saved, dict):
        old = now if isinstance(now, dict) else {}
        return {key: _original(item, old.get(key), writes) for key, item in saved.items()}
    if isinstance(saved, list):
        return [_original(item, None, writes) for item in saved]
    return copy.deepcopy(saved)


def _fit(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and one.layout == other.layout


def local(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor, in the memory of the tensor itself."""
    return local_of(tensor) if is_sharded(tensor) else tensor


def _own_elements(tensor: Tensor) -> Tensor:
    """The elements at an address of their own: an expanded tensor repeats some."""
    if is_sharded(tensor):
        return tensor
    if tensor.layout is torch.strided:
        for axis, stride in enumerate(tensor.stride()):
            if stride == 0 and tensor.shape[axis] > 1:
                tensor = tensor.narrow(axis, 0, 1)
    return tensor


@torch.no_grad()
def _carry_out(writes: Writes) -> None:
    for tensor, source in writes:
        tensor.copy_(source)
