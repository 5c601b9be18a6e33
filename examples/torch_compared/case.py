"""A case: the same work done by torch, by gradcore and in float64, each put into words."""

from __future__ import annotations

import inspect
import math
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Iterable
from types import ModuleType
from typing import ClassVar

import torch
from torch import Tensor

import gradcore

SIDES = ("reference", "gradcore", "torch")


class Case(ABC):
    """What is done is the docstring of the subclass; what comes of it is what the methods say."""

    ranks: ClassVar[int] = 1
    """Processes that do it together; each says what it saw."""

    @classmethod
    def title(cls) -> str:
        """The docstring as one line without a full stop."""
        return " ".join((inspect.getdoc(cls) or "").split()).rstrip(".")

    @abstractmethod
    def torch(self) -> str:
        """What torch makes of it."""

    @abstractmethod
    def gradcore(self) -> str:
        """What gradcore makes of it."""

    @abstractmethod
    def reference(self) -> str:
        """What there is to be, from float64 on whole tensors."""


class DropIn(Case):
    """The same lines, with the functions of either."""

    @abstractmethod
    def run(self, library: ModuleType) -> str:
        """Do it by ``library.clip_grad_norm_`` and the like."""

    def torch(self) -> str:
        return self.run(torch.nn.utils)

    def gradcore(self) -> str:
        return self.run(gradcore)


def number(value: float | Tensor, digits: int = 7) -> str:
    """Seven digits, which float32 has."""
    return f"{float(value):.{digits}g}"


def exact_norm(elements: Iterable[float], order: float = 2.0) -> float:
    """The norm of numbers that are finite, from a sum that is rounded once."""
    sizes = [abs(element) for element in elements]
    largest = max(sizes, default=0.0)
    if largest == 0.0 or math.isinf(order):
        return largest
    return largest * math.fsum((size / largest) ** order for size in sizes) ** (1.0 / order)


def with_gradients(*gradients: Tensor) -> list[Tensor]:
    """A parameter of zeros for each gradient."""
    parameters = [torch.zeros_like(gradient, requires_grad=True) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    return parameters


def error_of(error: Exception) -> str:
    """The kind of an error and the beginning of what it says."""
    said, _, _ = " ".join(str(error).split()).partition(". ")
    return f"`{type(error).__name__}`: {textwrap.shorten(said.rstrip('.'), 80, placeholder=' …')}"
