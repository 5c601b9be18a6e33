"""From what passed through a model, in order, to the first thing that turned non-finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from gradcore.monitors.event import (
    INPUT,
    LOSS,
    Direction,
    NonfiniteEvent,
    ValueRange,
    value_range,
    value_ranges,
)
from gradcore.monitors.finiteness import Mark, floating, on_host


@dataclass(slots=True)
class Passage:
    """What went through a module, or through a node of the backward graph."""

    module: str
    direction: Direction
    operation: str | None
    given: Sequence[Mark]
    """What went in.  May be left out where ``returned`` is clean, or follows from the order."""

    returned: Sequence[Mark]
    outermost: bool = False
    """True for the forward pass of the model as a whole."""

    @property
    def late(self) -> bool:
        """True if a device has to be waited for to know."""
        return any(isinstance(mark, Tensor) for mark in self.returned)


class Judge:
    """Takes passages in the order of execution, and reports what turned non-finite.

    Args:
        model: For the values of parameters.
        found: Told of every event; may raise.
    """

    def __init__(self, model: nn.Module, found: Callable[[NonfiniteEvent], None]) -> None:
        self._model = model
        self._found = found
        self._last_clean: dict[Direction, str | None] = {"forward": None, "backward": None}
        self._unseen: list[Passage] = []

    def forget(self) -> None:
        """Begin anew, without a look at what was put off."""
        self._unseen.clear()
        self._last_clean = {"forward": None, "backward": None}

    def take(self, passage: Passage, given: Sequence[Tensor], returned: Sequence[Tensor]) -> None:
        """Judge a passage, or put that off until `look_back` if the device is not to wait."""
        if passage.late:
            self._unseen.append(passage)
        else:
            self._judge(passage, given, returned)

    def look_back(self) -> None:
        """Wait for the device, once, and judge everything that was put off."""
        passages, self._unseen = self._unseen, []
        marks = iter(on_host(mark for p in passages for mark in (*p.given, *p.returned)))
        for passage in passages:
            passage.given = [next(marks) for _ in passage.given]
            passage.returned = [next(marks) for _ in passage.returned]
        for passage in passages:
            self._judge(passage, (), ())

    def _judge(self, passage: Passage, given: Sequence[Tensor], returned: Sequence[Tensor]) -> None:
        if clean(passage.returned):
            self._last_clean[passage.direction] = passage.module
            return
        module, operation = passage.module, passage.operation
        if not clean(passage.given):
            if passage.direction == "forward" and not passage.outermost:
                return  # it came from the code around this module, or from before
            module, operation = (INPUT if passage.direction == "forward" else LOSS), None
        last_clean = self._last_clean[passage.direction]
        self._found(
            NonfiniteEvent(
                module=module,
                direction=passage.direction,
                operation=operation,
                inputs=value_ranges("input", given),
                outputs=value_ranges("output", returned),
                last_clean=last_clean,
                parameters=self._parameters(module, last_clean),
            )
        )

    def _parameters(self, *names: str | None) -> tuple[ValueRange, ...]:
        """Ranges of what the modules hold themselves, without the modules within them."""
        modules = dict(self._model.named_modules())
        return tuple(
            value_range(f"{name}.{key}" if name else key, tensor)
            for name in dict.fromkeys(names)
            if name is not None and name in modules
            for kind in (modules[name].named_parameters, modules[name].named_buffers)
            for key, tensor in kind(recurse=False)
            if floating([tensor])
        )


def clean(marks: Sequence[Mark]) -> bool:
    """True if nothing non-finite is among the marks."""
    return all(math.isfinite(mark) for mark in marks)
