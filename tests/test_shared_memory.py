"""Memory counts once only where it is the same elements, not wherever it starts at the same one."""

from __future__ import annotations

import math

import pytest
import torch

import gradcore
from gradients import parameter, parameters


def test_a_row_and_a_column_from_the_same_corner_are_two_gradients():
    buffer = torch.zeros(4, 4)
    buffer[2, 0] = math.nan
    row, column = parameters([buffer[0], buffer[:, 0]])

    statistics = gradcore.measure([row, column])
    assert statistics.nan.tolist() == [0.0, 1.0]
    assert statistics.total("nan").item() == 1.0
    guard = gradcore.Guard([("row", row), ("column", column)])
    assert guard.apply().first_nonfinite == "column"


def test_the_start_and_every_second_element_of_a_buffer_are_two_gradients():
    """1 + 4 + 9 + 16 = 30 and 1 + 9 + 25 + 49 = 84."""
    buffer = torch.arange(1.0, 9.0)

    statistics = gradcore.measure(parameters([buffer[:4], buffer[::2]]))
    assert statistics.l2.square().tolist() == pytest.approx([30.0, 84.0], rel=1e-12)
    assert statistics.norm.item() == pytest.approx(math.sqrt(114.0), rel=1e-12)


def test_a_fault_between_the_elements_of_the_first_is_repaired_in_the_second():
    buffer = torch.ones(8)
    buffer[6] = math.inf

    counts = gradcore.repair_(parameters([buffer[:4], buffer[::2]]))
    assert counts.posinf == 1
    assert buffer.tolist() == [1.0] * 6 + [0.0, 1.0]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["row first", "column first"])
def test_both_of_two_crossing_gradients_are_clamped(order):
    buffer = torch.full((4, 4), 3.0)
    crossing = parameters([buffer[0], buffer[:, 0]])

    gradcore.clip_grad_value_([crossing[i] for i in order], 1.0)
    for owner in crossing:
        assert owner.grad.tolist() == [1.0] * 4
    assert buffer.sum().item() == 7 * 1.0 + 9 * 3.0


def test_a_gradient_and_its_transpose_are_counted_and_scaled_once():
    gradient = torch.tensor([[1.0, 2.0], [4.0, 10.0]])
    owners = parameters([gradient, gradient.t()])

    assert gradcore.measure(owners).norm.item() == 11.0
    report = gradcore.Guard(owners, max_norm=5.5).apply()
    assert (report.norm, report.scale) == (11.0, 0.5)
    assert gradient.tolist() == [[0.5, 1.0], [2.0, 5.0]]


def test_faults_in_a_gradient_and_its_transpose_are_counted_once():
    gradient = torch.tensor([[1.0, math.nan], [2.0, 3.0]])

    assert gradcore.repair_(parameters([gradient, gradient.t()])).nan == 1
    assert gradient.tolist() == [[1.0, 0.0], [2.0, 3.0]]


def duplicates() -> torch.Tensor:
    """Two entries for the first of two elements: 3 and 4, which make 7."""
    indices, values = torch.tensor([[0, 0]]), torch.tensor([3.0, 4.0])
    return torch.sparse_coo_tensor(indices, values, (2,), check_invariants=True)


def test_a_sparse_gradient_of_two_parameters_is_counted_once():
    shared = duplicates()
    owners = [parameter(shared, like=torch.zeros(2)) for _ in range(2)]

    assert gradcore.measure(owners).norm.item() == 7.0


def test_a_sparse_gradient_of_two_parameters_is_scaled_once():
    shared = duplicates()
    owners = [parameter(shared, like=torch.zeros(2)) for _ in range(2)]

    report = gradcore.Guard(owners, max_norm=3.5).apply()
    assert (report.norm, report.scale) == (7.0, 0.5)
    assert [owner.grad.to_dense().tolist() for owner in owners] == [[3.5, 0.0]] * 2


def test_equal_sparse_gradients_of_their_own_count_each():
    owners = [parameter(duplicates(), like=torch.zeros(2)) for _ in range(2)]

    assert gradcore.measure(owners).norm.item() == pytest.approx(math.sqrt(98.0), rel=1e-12)
