"""Tells a policy and a strategy which parameters the rows are of, and on which device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

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
            ValueError: A part has no use for these names; it is asked again the next time.
        """
        if names is not self.names and names != self.names:
            for part in self._parts:
                bind = getattr(part, "bind", None)
                if bind is not None:
                    bind(names)
            self.names, self._device = names, None  # what was bound may hold new tensors
        if device is not None and device != self._device:
            for part in self._parts:
                if isinstance(part, nn.Module):
                    part.to(device)
            self._device = device
