"""Dead units, saturation, and distributions that move."""

from __future__ import annotations

import weakref
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gradcore.monitors.activation_record import (
    DEAD,
    ActivationRecord,
    ActivationStatistics,
    wide,
)
from gradcore.monitors.event import plain
from gradcore.monitors.finiteness import floating, version_of
from gradcore.monitors.tensors import tensors_in
from gradcore.monitors.units import bounds_of, by_unit, unit_axis
from gradcore.validation import require_count, require_threshold

if TYPE_CHECKING:
    from types import TracebackType

    from torch.utils.hooks import RemovableHandle
    from typing_extensions import Self


class ActivationMonitor:
    """Keeps statistics of what every module of a model returns, on sampled forward passes.

    A module's units are its features: the channels of convolutions and batch norms, the last axis
    of linear layers, layer norms, embeddings, attention and recurrent layers.  Another module has
    the units of the module whose output it was given, as an activation has; failing that, the
    second axis of a tensor of four or five axes, and the last of others.  ``unit_dim`` says
    otherwise.

    Of a module that returns several tensors the first floating-point or complex one counts.  A
    module that only hands on a tensor, as containers do, is left out, and one that is used several
    times in a pass appears as ``name``, ``name:2``, …  Recomputation by gradient checkpointing does
    not count.

    A model that is compiled as a whole is one module to it: watch what `torch.compile` returned.

    Kept are sums a unit, on the module's device, and no activation; a GPU is waited for only where
    results are read.

    Args:
        model: What to watch.  A forward pass is a call of it.
        every: Look at every k-th forward pass, beginning with the first; the others cost a call a
            module.
        window: Sampled passes in the reference window, which is the first, and in each window that
            is compared with it.
        unit_dim: The axis of the units in every tensor; None: as above.

    Raises:
        TypeError: ``model`` is not a module.
        ValueError: ``every`` or ``window`` is not a whole number of at least 1.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 4), nn.ReLU())
        >>> model[0].bias.data = torch.tensor([9.0, 9.0, 9.0, -9.0])
        >>> with ActivationMonitor(model) as monitor:
        ...     for _ in range(3):
        ...         _ = model(torch.randn(8, 2).clamp(-1, 1))
        >>> monitor.detect_dead_neurons()
        {'0': 0.0, '1': 0.25}
    """

    def __init__(
        self, model: nn.Module, *, every: int = 1, window: int = 10, unit_dim: int | None = None
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a module; got {type(model).__name__}.")
        self._model = model
        self._every = require_count("every", every)
        self._window = require_count("window", window)
        self._unit_dim = unit_dim
        self._handles: list[RemovableHandle] = []
        self._records: dict[str, ActivationRecord] = {}
        self._begun = 0
        self._sampling = False
        self._calls: Counter[str] = Counter()
        self._seen: dict[int, tuple[weakref.ref[Tensor], int, int | None]] = {}

    def register_hooks(self) -> None:
        """Begin to watch.  Does nothing if it does already."""
        if self._handles:
            return
        self._handles.append(self._model.register_forward_pre_hook(self._begin))
        for name, module in self._model.named_modules():
            watch = partial(self._watch, name)
            self._handles.append(module.register_forward_hook(watch))
        self._handles.append(self._model.register_forward_hook(self._end, always_call=True))

    def get_statistics(self) -> dict[str, ActivationStatistics]:
        """What was seen of each module, by its name, in the order in which they first ran."""
        return {name: record.statistics() for name, record in self._records.items()}

    def detect_dead_neurons(self, threshold: float = DEAD) -> dict[str, float]:
        """The share of each module's units that were dead in all sampled passes.

        Args:
            threshold: A unit is dead whose magnitude never exceeded it; > 0.

        Raises:
            ValueError: ``threshold`` cannot be.
        """
        require_threshold("threshold", threshold)
        return {name: record.dead(threshold) for name, record in self._records.items()}

    def reset(self) -> None:
        """Forget what was seen, the reference window included."""
        self._records.clear()
        self._begun = 0

    def close(self) -> None:
        """Remove every hook.  What was seen can still be read."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._end()

    def __enter__(self) -> Self:
        self.register_hooks()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _begin(self, _module: nn.Module, _args: object) -> None:
        self._sampling = self._begun % self._every == 0
        self._begun += 1
        self._calls.clear()

    def _end(self, *_: object) -> None:
        self._sampling = False
        self._seen.clear()

    def _watch(self, name: str, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        if torch.compiler.is_compiling() or not self._sampling:
            return
        tensor = next(iter(floating(tensors_in(output))), None)
        if tensor is None or tensor.layout is not torch.strided or self._is_seen(tensor):
            return
        given = next(iter(floating(tensors_in(args))), None)
        inherited = None
        if given is not None and given.ndim == tensor.ndim:
            inherited = self._axis_of(given)
        axis = unit_axis(module, tensor, inherited) if self._unit_dim is None else self._unit_dim
        self._seen[id(tensor)] = (weakref.ref(tensor), version_of(tensor), axis)
        self._calls[name] += 1
        key = name if self._calls[name] == 1 else f"{name}:{self._calls[name]}"
        values = wide(by_unit(plain(tensor.detach()), axis))
        record = self._records.get(key)
        if record is None or record.units != values.shape[0]:
            record = ActivationRecord(values, bounds_of(module), self._window)
            self._records[key] = record
        record.add(values)

    def _is_seen(self, tensor: Tensor) -> bool:
        """Whether a module within this one has returned it, and nothing wrote to it since."""
        entry = self._seen.get(id(tensor))
        return entry is not None and entry[0]() is tensor and entry[1] == version_of(tensor)

    def _axis_of(self, tensor: Tensor) -> int | None:
        entry = self._seen.get(id(tensor))
        return entry[2] if entry is not None and entry[0]() is tensor else None
