"""The tensors in what a module takes or returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from torch import Tensor


def tensors_in(value: object) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists, mappings and dataclasses, in their order.

    The outputs of Hugging Face models are mappings.  Other objects, such as key-value caches, are
    not looked into.
    """
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from tensors_in(getattr(value, field.name))
