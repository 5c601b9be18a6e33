"""Strategies and policies are told which parameters the rows are of, once each time they change."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gradcore
import training


class Bound(nn.Module):
    """A strategy, or a policy, with a row of memory a parameter."""

    name = "bound"
    needs = ()

    def __init__(self):
        super().__init__()
        self.heard = []

    def bind(self, names):
        self.heard.append(list(names))
        self.register_buffer("largest", torch.zeros(len(names), dtype=torch.float64))

    def forward(self, statistics):
        learned = torch.maximum(self.largest, statistics.l2)
        self.largest.copy_(torch.where(statistics.trusted, learned, self.largest))
        return gradcore.Keep()


class Picky:
    """A policy that has no use for parameters of some name."""

    name = "picky"

    def bind(self, names):
        if "frozen" in names:
            raise ValueError("No pattern matches 'frozen'.")

    def __call__(self, statistics):
        return gradcore.Propagate()


def owner(value: float = 1.0) -> nn.Parameter:
    parameter = nn.Parameter(torch.zeros(1))
    parameter.grad = torch.tensor([value])
    return parameter


@pytest.mark.parametrize("option", ["clip", "nonfinite"])
def test_names_are_said_when_the_guard_is_made_and_not_again(option):
    part = Bound()
    guard = gradcore.Guard([("a", owner()), ("b", owner())], **{option: part})
    guard.apply()
    guard.apply()

    assert part.heard == [["a", "b"]]


def test_names_are_said_again_when_parameters_are_added():
    first, second = owner(), owner()
    optimizer = torch.optim.SGD([("a", first)], lr=0.1)
    part = Bound()
    guard = gradcore.Guard(optimizer, clip=part)
    guard.step(optimizer)
    optimizer.add_param_group({"params": [("b", second)]})
    guard.step(optimizer)
    guard.step(optimizer)

    assert part.heard == [["a"], ["a", "b"]]
    assert part.largest.tolist() == [1.0, 1.0]


def test_the_first_step_of_an_optimizer_is_no_change():
    net, part = training.model(), Bound()
    guard = gradcore.Guard(net, clip=part)
    training.backward(net)
    guard.step(torch.optim.SGD(net.parameters(), lr=0.1))

    assert part.heard == [["0.weight", "0.bias", "2.weight"]]


def test_what_bind_refuses_is_refused_when_the_guard_is_made():
    with pytest.raises(ValueError, match="No pattern matches 'frozen'"):
        gradcore.Guard([("frozen", owner())], nonfinite=Picky())


def test_what_bind_refuses_later_changes_nothing_and_is_refused_again():
    first, second = owner(), owner()
    optimizer = torch.optim.SGD([("a", first)], lr=0.1)
    guard = gradcore.Guard(optimizer, nonfinite=Picky())
    optimizer.add_param_group({"params": [("frozen", second)]})
    before = training.freeze([first, second])

    for _ in range(2):
        with pytest.raises(ValueError, match="No pattern matches 'frozen'"):
            guard.step(optimizer)
    assert training.freeze([first, second]) == before
    assert guard.steps == 0


def test_memory_of_a_row_a_parameter_is_saved_as_a_copy_and_goes_on():
    """A state is loaded into a guard just made, so the rows must be there by then."""
    first, second = (gradcore.Guard([("a", owner(5.0))], clip=Bound()) for _ in range(2))
    first.apply()
    state = first.state_dict()
    first.parameters.tensors[0].grad.fill_(9.0)
    first.apply()

    second.load_state_dict(state)
    assert second.clip.largest.tolist() == [5.0]


def test_memory_is_moved_to_where_the_statistics_are():
    """A build without a GPU has one other device: this only sees that modules are asked to move."""
    moved = []

    class Moving(Bound):
        def to(self, device):
            moved.append(device)
            return super().to(device)

    guard = gradcore.Guard([("a", owner())], clip=Moving())
    assert moved == []
    guard.apply()
    guard.apply()

    assert moved == [torch.device("cpu")]
