"""`repair_` replaces what is not finite, in place, and nothing else."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gradcore
import gradients
import oracle
from gradients import COMPLEX, DTYPES, REAL, make, name_of, parameter, parameters

VALUES = {"nan": 0.25, "posinf": 1e6, "neginf": -1e6}


@given(st.lists(gradients.gradients(), max_size=4))
def test_every_nonfinite_element_becomes_zero_as_a_whole(tensors):
    owners = parameters(tensors)
    before = [gradients.elements(tensor) for tensor in tensors]

    counts = gradcore.repair_(owners)
    for owner, values in zip(owners, before, strict=True):
        assert gradients.differences(owner.grad, [oracle.zeroed(value) for value in values]) == []
    everything = oracle.facts([value for values in before for value in values])
    assert (counts.nan, counts.posinf, counts.neginf) == (
        everything.nan,
        everything.posinf,
        everything.neginf,
    )


@given(st.lists(gradients.gradients(), max_size=4))
def test_values_replace_part_by_part(tensors):
    owners = parameters(tensors)
    before = [gradients.elements(tensor) for tensor in tensors]

    gradcore.repair_(owners, **VALUES)
    for owner, values in zip(owners, before, strict=True):
        form = gradients.FORMATS[owner.grad.dtype]
        wanted = [oracle.replaced(value, tuple(VALUES.values()), form) for value in values]
        assert gradients.differences(owner.grad, wanted) == []


@pytest.mark.parametrize("dtype", REAL, ids=name_of)
def test_the_values_asked_for_are_those_of_the_report(dtype):
    owner = parameter(make([1.0, math.inf, -math.inf, math.nan, 2.0], dtype))

    counts = gradcore.repair_([owner], nan=0.0, posinf=10.0, neginf=-10.0)
    assert gradients.elements(owner.grad) == [1.0, 10.0, -10.0, 0.0, 2.0]
    assert (counts.nan, counts.posinf, counts.neginf, counts.total) == (1, 1, 1, 3)


@pytest.mark.parametrize("dtype", COMPLEX, ids=name_of)
def test_complex_elements_keep_their_good_part_where_values_are_given(dtype):
    planted = [3 + 4j, complex(math.nan, 1), complex(1, math.inf), complex(math.inf, math.nan)]
    owner = parameter(make(planted, dtype))

    counts = gradcore.repair_([owner], nan=0.0, posinf=2.0, neginf=-2.0)
    assert gradients.elements(owner.grad) == [3 + 4j, 1j, 1 + 2j, 2 + 0j]
    assert (counts.nan, counts.posinf, counts.neginf) == (2, 1, 0)


@pytest.mark.parametrize("dtype", COMPLEX, ids=name_of)
def test_complex_elements_go_as_a_whole_otherwise(dtype):
    planted = [3 + 4j, complex(math.nan, 1), complex(1, math.inf), complex(-math.inf, 5)]
    owner = parameter(make(planted, dtype))

    counts = gradcore.repair_([owner])
    assert gradients.elements(owner.grad) == [3 + 4j, 0, 0, 0]
    assert (counts.nan, counts.posinf, counts.neginf) == (1, 1, 1)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_a_gradient_without_faults_keeps_every_bit(dtype):
    values = [-0.0, 1.5, *gradients.EXTREMES[gradients.PART.get(dtype, dtype)]]
    clean, faulty = parameters([make(values, dtype), make([math.nan, 1.0], dtype)])
    before = gradients.memory(clean.grad)

    gradcore.repair_([clean, faulty])
    assert gradients.memory(clean.grad) == before


def test_the_gradient_stays_the_same_tensor():
    """Optimizers and buckets of gradients may hold on to it."""
    gradient = torch.tensor([math.nan, 1.0])
    owner = parameter(gradient)

    gradcore.repair_(owner)
    assert owner.grad is gradient


@pytest.mark.parametrize("dtype", REAL, ids=name_of)
@pytest.mark.parametrize("count", [5, 70001])
@pytest.mark.parametrize("every", [1, 3, 100])
def test_faults_in_any_density_are_all_repaired(dtype, count, every):
    gradient = torch.ones(count, dtype=dtype)
    gradient[::every] = math.nan
    gradient[every // 2 :: every] = -math.inf
    owner = parameter(gradient)
    planted = int((~torch.isfinite(gradient)).sum())

    counts = gradcore.repair_([owner])
    assert counts.total == planted
    assert owner.grad.sum(dtype=torch.float64).item() == count - planted


@pytest.mark.parametrize("dtype", REAL, ids=name_of)
def test_values_left_out_are_those_of_torch(dtype):
    """Zero, and the largest finite number of the dtype."""
    planted = torch.tensor([math.nan, math.inf, -math.inf, 1.5], dtype=dtype)
    for values in ({"nan": 0.5}, {"posinf": 2.0}, {"neginf": -2.0}):
        owner = parameter(planted.clone())
        gradcore.repair_([owner], **values)
        assert gradients.bits(owner.grad) == gradients.bits(torch.nan_to_num(planted, **values))


def test_one_tensor_a_generator_and_nothing_at_all_can_be_given():
    owner = parameter(torch.tensor([math.inf]))

    assert gradcore.repair_(owner).posinf == 1
    assert gradcore.repair_(iter([owner, torch.nn.Parameter(torch.ones(1))])).total == 0
    assert gradcore.repair_([]).total == 0


def test_a_parameter_listed_twice_is_counted_once():
    owner = parameter(torch.tensor([math.nan, 1.0]))

    assert gradcore.repair_([owner, owner]).nan == 1


def test_parameters_themselves_are_repaired_and_their_gradients_are_not():
    model = torch.nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[math.nan, 3.0]]))
        model.bias.fill_(-math.inf)
    model.weight.grad = torch.tensor([[math.nan, 1.0]])

    counts = gradcore.repair_parameters_(model, nan=0.0, posinf=1e6, neginf=-1e6)
    assert model.weight.tolist() == [[0.0, 3.0]]
    assert model.bias.tolist() == [-1e6]
    assert math.isnan(model.weight.grad[0, 0])
    assert (counts.nan, counts.posinf, counts.neginf) == (1, 0, 1)


def test_parameters_can_be_given_one_by_one():
    bad = torch.nn.Parameter(torch.tensor([math.inf, 2.0]))

    assert gradcore.repair_parameters_([bad]).posinf == 1
    assert bad.tolist() == [0.0, 2.0]
    assert bad.requires_grad


@pytest.mark.parametrize("name", ["nan", "posinf", "neginf"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=name_of)
def test_a_repair_never_leaves_anything_infinite(name, dtype):
    """Whatever is left out, and however large the value."""
    owner = parameter(make([math.nan, math.inf, -math.inf], dtype))

    gradcore.repair_([owner], **{name: 1e308})
    assert torch.isfinite(owner.grad).all()
