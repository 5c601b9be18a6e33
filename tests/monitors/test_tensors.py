"""Tensors in what modules take and return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from transformers.modeling_outputs import BaseModelOutputWithPast

from gradcore.monitors.tensors import tensors_in

ONE, TWO, THREE = torch.tensor(1), torch.tensor(2), torch.tensor(3)


@dataclass
class Output:
    first: torch.Tensor
    name: str
    others: list


class Pair(NamedTuple):
    a: Output
    b: str


def test_tensors_come_in_the_order_of_the_structure():
    nested = {"x": [ONE, None], "y": Pair(Output(TWO, "two", [THREE]), "text")}

    assert [tensor.item() for tensor in tensors_in(nested)] == [1, 2, 3]


def test_hugging_face_outputs_are_looked_into():
    output = BaseModelOutputWithPast(last_hidden_state=ONE, hidden_states=(TWO, THREE))

    assert [tensor.item() for tensor in tensors_in(output)] == [1, 2, 3]


def test_what_holds_no_tensors_gives_none():
    assert list(tensors_in([None, 1.5, "text", Output])) == []
