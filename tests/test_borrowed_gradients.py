"""What is read or written stays in memory, whatever becomes of the parameters meanwhile."""

from __future__ import annotations

import math
import threading
import weakref
from contextlib import contextmanager

import pytest
import torch

import gradcore
from gradients import parameter, parameters

ELEMENTS = 1 << 18


def ones() -> torch.Tensor:
    return torch.ones(ELEMENTS)


def expanded() -> torch.Tensor:
    return torch.ones(ELEMENTS // 4).expand(4, -1)


def with_gaps() -> torch.Tensor:
    return torch.ones(2 * ELEMENTS)[::2]


def sparse() -> torch.Tensor:
    """Not coalesced: measuring puts another gradient in its place."""
    indices = torch.arange(ELEMENTS).expand(1, -1)
    return torch.sparse_coo_tensor(indices, torch.ones(ELEMENTS), check_invariants=True)


@contextmanager
def replaced_all_the_time(owners, make):
    """Another thread gives the parameters new gradients, and fills what they leave with NaN.

    One for another, never None in between: torch 2.13 lets go of the interpreter's lock while a
    gradient that None replaces is destroyed, before the parameter has forgotten it.
    """
    begun, done = threading.Event(), threading.Event()

    def replace() -> None:
        while not done.is_set():
            for owner in owners:
                owner.grad = make()
                torch.full((ELEMENTS,), math.nan)
                begun.set()

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        assert begun.wait(60)
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("make", [ones, expanded, with_gaps, sparse])
def test_gradients_that_are_replaced_while_they_are_measured_are_measured_whole(make):
    owners = [parameter(make(), like=torch.zeros(make().shape)) for _ in range(4)]

    with replaced_all_the_time(owners, make):
        for _ in range(40):
            statistics = gradcore.measure(owners, ("l1",))
            assert statistics.nan.sum() == 0
            assert statistics.l1.tolist() == [ELEMENTS] * 4


def test_gradients_that_are_replaced_while_they_are_clipped_are_never_torn():
    """Each is all ones, or has been clipped with what stood beside it at the time."""
    owners = parameters([ones() for _ in range(4)])

    with replaced_all_the_time(owners, ones):
        for _ in range(40):
            gradcore.clip_grad_norm_(owners, 1e-3)
            for gradient in [owner.grad for owner in owners]:
                assert gradient.isfinite().all()
                assert gradient.min() == gradient.max()


@pytest.mark.parametrize("make", [ones, expanded, with_gaps, sparse])
def test_nothing_keeps_a_gradient_that_was_measured_and_clipped(make):
    owner = parameter(make(), like=torch.zeros(make().shape))

    for _ in range(3):
        gradcore.clip_grad_norm_([owner, owner], 0.5)
        gradcore.measure([owner], "all")
    alive = weakref.ref(owner.grad)
    owner.grad = None
    assert alive() is None


@pytest.mark.parametrize("norm", [0.5, 2.0], ids=["within the bound", "beyond it"])
def test_a_gradient_that_cannot_be_clipped_is_refused_whatever_the_norm(norm):
    """Nothing was measured here, so nothing else would notice."""
    owner = torch.nn.Parameter(torch.zeros(2, device="meta"))
    owner.grad = torch.zeros(2, device="meta")

    with pytest.raises(TypeError, match="meta device"):
        gradcore.clip_grads_with_norm_([owner], 1.0, torch.tensor(norm))
