"""Mistakes people make are answered with what was wrong and what to do, and change nothing."""

from __future__ import annotations

import math

import pytest
import torch

import gradcore


@pytest.fixture
def parameter():
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, 4.0])
    return parameter


@pytest.fixture
def optimizer(parameter):
    return torch.optim.SGD([parameter], lr=1.0)


def test_a_misspelt_option_is_answered_with_the_closest(optimizer, parameter):
    with pytest.raises(TypeError, match="no option 'max_nrom'. Did you mean 'max_norm'"):
        gradcore.safe_step(optimizer, max_nrom=1.0)
    assert parameter.tolist() == [0.0, 0.0]


def test_a_model_in_place_of_an_optimizer_is_answered_with_what_to_pass(parameter):
    with pytest.raises(TypeError, match="steps an optimizer; got a Linear. Pass the torch.optim"):
        gradcore.safe_step(torch.nn.Linear(2, 2))


def test_a_guard_must_be_one(optimizer):
    with pytest.raises(TypeError, match="guard must be a Guard; got a Linear"):
        gradcore.safe_step(optimizer, guard=torch.nn.Linear(2, 2))
    with pytest.raises(TypeError, match="takes a loss and a guard; got a Tensor and a SGD"):
        gradcore.safe_backward(torch.zeros((), requires_grad=True), optimizer)


def test_a_guard_that_is_attached_is_not_applied_twice(optimizer, parameter):
    guard = gradcore.Guard(optimizer)
    handle = guard.attach(optimizer)
    with pytest.raises(gradcore.GradcoreError, match="is applied in its step"):
        gradcore.safe_backward(parameter.sum(), guard)

    handle.remove()
    assert gradcore.safe_backward(parameter.sum(), guard).norm == pytest.approx(math.hypot(4, 5))


@pytest.mark.parametrize("loss", ["nan", 1j, [1.0]])
def test_a_loss_must_be_one_number(optimizer, loss):
    with pytest.raises(TypeError, match="loss must be a tensor of one number; got"):
        gradcore.safe_step(optimizer, loss=loss)


def test_a_bound_given_twice_is_an_error(optimizer):
    with pytest.raises(ValueError, match="max_norm is given twice: 2.0, and 1.0"):
        gradcore.Guard(optimizer, max_norm=2.0, clip=("global_norm", {"max_norm": 1.0}))


def test_names_must_differ(parameter):
    other = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(ValueError, match="'a' names two of them"):
        gradcore.Guard([("a", parameter), ("a", other)])


def test_an_optimizer_that_needs_a_closure_is_refused_before_anything_is_changed(parameter):
    class Own(torch.optim.SGD):
        def step(self, closure):
            return super().step(closure)

    with pytest.raises(TypeError, match="cannot be called without a closure"):
        gradcore.safe_step(Own([parameter], lr=1.0), max_norm=1.0)
    assert parameter.grad.tolist() == [3.0, 4.0]


def test_a_state_of_another_model_is_refused(optimizer):
    other = gradcore.Guard(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="a guard of 2 parameters; this one has 1"):
        gradcore.Guard(optimizer).load_state_dict(other.state_dict())


def test_the_order_of_a_norm_may_be_written_as_torch_takes_it(parameter):
    assert gradcore.clip_grad_norm_([parameter], 10.0, norm_type="inf").item() == 4.0
