"""Every layout a gradient can have is measured, repaired and scaled where it lies."""

from __future__ import annotations

import math

import pytest
import torch

import gradcore
import gradients
import oracle
from gradients import DTYPES, LAYOUTS, name_of, parameter, parameters

VALUES = [3.0, -0.0, 2.5, -4.0, 1 + 2j, 0.25, 7.0, -1.0]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_clipping_scales_each_element_once(layout, dtype):
    owner = parameter(LAYOUTS[layout](gradients.make(VALUES, dtype)))
    before = gradients.elements(owner.grad)
    norm = oracle.facts(before).l2

    got = gradcore.clip_grad_norm_([owner], norm / 2)
    factor = min(1.0, norm / 2 / (norm + 1e-6))
    form = gradients.FORMATS[dtype]
    wanted = [oracle.scaled(value, factor, form) for value in before]
    assert gradients.differences(owner.grad, wanted, ulps=1) == []
    assert got.item() == pytest.approx(norm, rel=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_repair_reaches_each_fault(layout, dtype):
    planted = [math.nan, -0.0, math.inf, -4.0, complex(1, -math.inf), 0.25, -math.inf, -1.0]
    owner = parameter(LAYOUTS[layout](gradients.make(planted, dtype)))
    before = gradients.elements(owner.grad)

    values = (0.5, 8.0, -16.0)
    gradcore.repair_([owner], nan=0.5, posinf=8.0, neginf=-16.0)
    form = gradients.FORMATS[dtype]
    wanted = [oracle.replaced(value, values, form) for value in before]
    assert gradients.differences(owner.grad, wanted) == []


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_clamping_reaches_each_element(layout, dtype):
    owner = parameter(LAYOUTS[layout](gradients.make(VALUES, dtype)))
    form = gradients.FORMATS[dtype]
    wanted = [oracle.clamped(value, 2.0, form) for value in gradients.elements(owner.grad)]

    gradcore.clip_grad_value_([owner], 2.0)
    assert gradients.differences(owner.grad, wanted, ulps=2) == []


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_a_gradient_within_its_bound_keeps_every_bit(layout, dtype):
    owner = parameter(LAYOUTS[layout](gradients.make(VALUES, dtype)))
    before = gradients.bits(owner.grad)

    gradcore.clip_grad_norm_([owner], 1e4)
    gradcore.clip_grad_value_([owner], 1e4)
    gradcore.repair_([owner])
    assert gradients.bits(owner.grad) == before


@pytest.mark.parametrize("layout", ["gaps", "offset"])
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_memory_between_and_beside_the_elements_is_neither_read_nor_written(layout, dtype):
    """It is full of NaN and Inf here."""
    gradient = LAYOUTS[layout](gradients.make(VALUES, dtype))
    owner = parameter(gradient)
    count = gradient.untyped_storage().nbytes() // dtype.itemsize
    whole = torch.as_strided(gradient, (count,), (1,), 0)
    before = [value for value in gradients.elements(whole) if oracle.kind(value) != "finite"]

    counts = gradcore.repair_([owner])
    gradcore.clip_grad_norm_([owner], 1.0)
    assert counts.total == 0
    after = [value for value in gradients.elements(whole) if oracle.kind(value) != "finite"]
    assert str(after) == str(before)
    assert len(before) == count - gradient.numel() > 0


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "sparse"])
def test_a_dense_gradient_stays_the_same_tensor(layout):
    owner = parameter(LAYOUTS[layout](torch.arange(8.0)))
    gradient = owner.grad

    gradcore.clip_grad_norm_([owner], 1.0)
    assert owner.grad is gradient


def sparse(rows, values):
    return torch.sparse_coo_tensor(torch.tensor([rows]), values, (4,), check_invariants=True)


def test_a_sparse_gradient_is_bound_by_the_sums_of_its_duplicates():
    """Rows 0 and 0 hold 3 and 4: the gradient is 7, not a vector of length 5."""
    owner = parameter(sparse([0, 0, 2], torch.tensor([3.0, 4.0, 24.0])))

    assert gradcore.clip_grad_norm_([owner], 1.0).item() == 25.0
    assert owner.grad.to_dense().tolist() == pytest.approx([0.28, 0.0, 0.96, 0.0], abs=1e-6)


def test_duplicates_of_a_sparse_gradient_may_overflow_together():
    owner = parameter(sparse([1, 1, 0], torch.tensor([60000.0, 60000.0, 2.0]).half()))

    assert gradcore.measure([owner]).posinf.tolist() == [1]
    assert gradcore.repair_([owner]).posinf == 1
    assert owner.grad.to_dense().tolist() == [2.0, 0.0, 0.0, 0.0]


def test_gradients_of_an_embedding_are_clipped():
    table = torch.nn.Embedding(5, 2, sparse=True)
    table(torch.tensor([1, 1, 4])).sum().backward()

    assert gradcore.clip_grad_norm_(table.parameters(), 1.0).item() == pytest.approx(math.sqrt(10))
    rows = table.weight.grad.to_dense()
    assert rows.norm().item() == pytest.approx(1.0, rel=1e-5)
    assert rows[1].tolist() == pytest.approx((2 * rows[4]).tolist())


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
def test_gradients_with_a_graph_of_their_own_are_clipped():
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    (weight**2).sum().backward(create_graph=True)

    assert weight.grad.requires_grad
    assert gradcore.clip_grad_norm_([weight], 1.0).item() == 10.0
    assert weight.grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-6)
    weight.grad = None  # break the cycle that create_graph makes


def test_a_parameter_listed_twice_is_clipped_once():
    owner = parameter(torch.full((4,), 3.0))

    assert gradcore.clip_grad_norm_([owner, owner], 3.0).item() == 6.0
    assert owner.grad.tolist() == pytest.approx([1.5] * 4)


def test_parameters_that_share_one_gradient_tensor_are_clipped_once():
    first, second = parameters([torch.full((4,), 3.0), torch.zeros(4)])
    second.grad = first.grad

    assert gradcore.clip_grad_norm_([first, second], 3.0).item() == 6.0
    assert first.grad.tolist() == pytest.approx([1.5] * 4)


def test_gradients_that_are_views_of_one_buffer_are_clipped_each():
    buffer = torch.full((8,), 3.0)
    owners = parameters([buffer[:3], buffer[3:7]])

    assert gradcore.clip_grad_norm_(owners, 1.0).item() == pytest.approx(math.sqrt(63))
    assert buffer.tolist() == pytest.approx([3 / math.sqrt(63)] * 7 + [3.0])


def unsupported():
    yield "Sparse", torch.eye(2).to_sparse_csr()
    yield "quantized|qint8", torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    yield "int|Int|Long", torch.ones(2, dtype=torch.int64)
    yield "meta", torch.ones(2, device="meta")
    yield "bool|Bool", torch.ones(2, dtype=torch.bool)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.filterwarnings("ignore:.*quantiz")
@pytest.mark.parametrize("place", range(5))
def test_what_cannot_be_measured_is_a_type_error_that_says_so(place):
    said, tensor = list(unsupported())[place]

    with pytest.raises(TypeError, match=said):
        gradcore.get_total_norm([torch.ones(1), tensor])
