"""What is known of the moment when something turned non-finite."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from gradcore.printable import printable

INPUT: Final = "(input)"
"""Stands for a module where the batch was not finite to begin with."""

LOSS: Final = "(loss)"
"""Stands for a module where the gradient was not finite when it came to the model's output."""

Direction = Literal["forward", "backward"]


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The values of one tensor, in numbers."""

    name: str
    """``weight`` for a parameter; ``input 0``, ``output 0`` … for what passed by."""

    shape: tuple[int, ...]
    dtype: str

    smallest: float
    """Of the finite elements (of a complex one the modulus); NaN if there are none."""

    largest: float
    """As for ``smallest``."""

    nan: int
    """Elements that are NaN."""

    posinf: int
    """Elements that are +Inf; of a complex tensor all infinite ones."""

    neginf: int
    """Elements that are -Inf."""

    @property
    def finite(self) -> bool:
        """True if every element is."""
        return self.nan + self.posinf + self.neginf == 0

    def __str__(self) -> str:
        counts = {"NaN": self.nan, "+Inf": self.posinf, "-Inf": self.neginf}
        bad = "".join(f", {count} {kind}" for kind, count in counts.items() if count)
        values = f"{self.smallest:.4g} … {self.largest:.4g}"
        if math.isnan(self.smallest):
            values = "nothing finite"
        return f"{printable(self.name)} {list(self.shape)} {self.dtype}: {values}{bad}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NonfiniteEvent:
    """Where, and on the way in which direction, something turned non-finite first."""

    module: str
    """Name in ``model.named_modules()``, so ``""`` for the model's own code; ``"(input)"`` or
    ``"(loss)"`` where it was none of the model's doing."""

    direction: Direction
    """``"forward"``, or ``"backward"``: the gradients were not finite while the outputs were."""

    operation: str | None = None
    """The node of the backward graph, such as ``SqrtBackward0``; None in the forward direction."""

    inputs: tuple[ValueRange, ...] = ()
    """What went in: in the backward direction the gradients of what the operation returned.  Empty
    where the tensors were gone by the time they were looked at (see `trace_nonfinite`)."""

    outputs: tuple[ValueRange, ...] = ()
    """What came out: in the backward direction the gradients of what the operation was given."""

    last_clean: str | None = None
    """The module before it, in the order of execution, whose values were all finite; None if it was
    the first."""

    parameters: tuple[ValueRange, ...] = ()
    """Parameters and buffers of the module and of ``last_clean``, by their names in the model, as
    they are when the event is found."""

    def __str__(self) -> str:
        """What happened, the numbers, and what to do."""
        lines = [self._headline() + (f" Last clean: {_named(self.last_clean)}.")]
        for title, ranges in (
            ("in", self.inputs),
            ("out", self.outputs),
            ("parameters", self.parameters),
        ):
            lines += [f"  {title}: {each}" for each in ranges]
        return "\n".join([*lines, f"  {self._advice()}"])

    def _headline(self) -> str:
        if self.module == INPUT:
            return "What the model was given is not finite."
        if self.module == LOSS:
            return "The gradient of the loss with respect to the model's output is not finite."
        where = f"{_named(self.module)} turned non-finite in the {self.direction} pass"
        return f"{where}, in {self.operation}." if self.operation else f"{where}."

    def _advice(self) -> str:
        if not all(each.finite for each in self.parameters):
            return (
                "Parameters or buffers are not finite themselves: look for the step that made them "
                "so, and guard the optimizer's steps (gradcore.safe_step)."
            )
        if self.module == INPUT:
            return "Look at the batch and at what prepared it."
        if self.module == LOSS:
            return "Look at the loss function, and at the scale of the loss under AMP."
        return (
            "Look for a division by zero, a root or logarithm at zero, an exponential, or a value "
            "beyond the range of the dtype."
        )


def value_range(name: str, tensor: Tensor) -> ValueRange:
    """Describe one tensor.  On a GPU this waits for it."""
    values = plain(tensor.detach())
    nan, infinite = values.isnan(), values.isinf()
    kept = values[~(nan | infinite)]
    smallest, largest = kept.aminmax() if kept.numel() else (math.nan, math.nan)
    return ValueRange(
        name=name,
        shape=tuple(tensor.shape),
        dtype=str(tensor.dtype).removeprefix("torch."),
        smallest=float(smallest),
        largest=float(largest),
        nan=int(nan.sum()),
        posinf=int((infinite & (values > 0)).sum()),
        neginf=int((infinite & (values < 0)).sum()),
    )


def value_ranges(kind: str, tensors: Iterable[Tensor]) -> tuple[ValueRange, ...]:
    """Describe tensors that have no names."""
    return tuple(value_range(f"{kind} {i}", tensor) for i, tensor in enumerate(tensors))


def plain(tensor: Tensor) -> Tensor:
    """The tensor as real strided numbers that arithmetic exists for; this process's shard of it."""
    local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    if local.layout is torch.strided:
        values = local
    else:  # a sparse tensor's, or a nested one's
        values = (local.coalesce() if local.layout is torch.sparse_coo else local).values()
    real = values.abs() if values.is_complex() else values
    return real.float() if real.element_size() == 1 else real


def _named(module: str | None) -> str:
    if module is None:
        return "nothing"
    return repr(module) if module else "the model's own code"
