"""Tells a policy and a strategy which parameters the rows are of, and on which device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from gradcore.capturing import in_a_graph
from gradcore.errors import GradcoreError

if TYPE_CHECKING:
    import torch


class Binding:
    """Parts that decide, and the parameters they decide on.

    Args:
        *parts: Whatever may have a method ``bind(names)``, or be a module with memory.
    """

    def __init__(self, *parts: object) -> None:
        self._parts = parts
        self.names: tuple[str, ...] = ()
        """What they are bound to."""
        self._device: torch.device | None = None

    def __call__(self, names: tuple[str, ...], device: torch.device | None = None) -> None:
        """Say what changed: the names to who has ``bind``, the device, once known, to modules.

        Raises:
            GradcoreError: A graph is being captured, which can hold no memory that moves.
            ValueError: A part has no use for these names; it is asked again the next time.
        """
        if names is not self.names and names != self.names:
            for part in self._parts:
                bind = getattr(part, "bind", None)
                if bind is not None:
                    bind(names)
            self.names, self._device = names, None  # what was bound may hold new tensors
        if device is not None and device != self._device:
            modules = [part for part in self._parts if isinstance(part, nn.Module)]
            if modules and in_a_graph():
                raise GradcoreError(
                    f"The memory of {type(modules[0]).__name__} is not on {device} yet: take a "
                    "step before one is captured in a graph."
                )
            for module in modules:
                module.to(device)
            self._device = device
