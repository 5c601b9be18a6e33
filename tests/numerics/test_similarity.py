"""`nway_similarity` is what its table says, and its gradients are finite wherever its input is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import joint
from gradcore.numerics import nway_similarity

SIZES = {2: 7, 3: 5, 4: 4, 5: 4, 6: 3, 7: 2, 8: 2}


def sets(n, count, width=6, dtype=torch.float64):
    return [torch.randn(count, width, dtype=dtype) for _ in range(n)]


def arrays(features):
    return [x.double().numpy() for x in features]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("method", joint.FORMS)
def test_every_form_agrees_with_its_definition_in_double_precision(method, n):
    features = sets(n, SIZES[n])

    expected = joint.similarity(joint.directions(arrays(features)), method)
    result = nway_similarity(*features, method=method)
    assert result.shape == (SIZES[n],) * n
    tolerance = 1e-7 if method == "geometric_cosine" else 1e-14  # eps = 1e-8 is in the definition
    assert np.abs(result.numpy() - expected).max() < tolerance


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("method", joint.FORMS)
def test_features_can_be_taken_as_they_are(method, n):
    features = sets(n, SIZES[n])

    expected = joint.similarity(arrays(features), method)
    result = nway_similarity(*features, method=method, normalize=False, clamp=None)
    tolerance = 1e-7 if method == "geometric_cosine" else 1e-12
    assert np.abs(result.numpy() - expected).max() < tolerance


@pytest.mark.parametrize("method", ["product", "cosine", "geometric_cosine"])
def test_two_sets_give_the_matrix_of_cosines_of_clip(method):
    image, text = sets(2, 9, width=16, dtype=torch.float32)

    cosines = (image / image.norm(dim=1, keepdim=True)) @ (text / text.norm(dim=1, keepdim=True)).T
    torch.testing.assert_close(
        nway_similarity(image, text, method=method), cosines, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("n", [2, 3, 5])
def test_log_space_gives_the_same_product(n):
    features = [*sets(n - 1, 4), torch.tensor([[0.0, 1, -2, 0, 3, -1]] * 4, dtype=torch.float64)]

    expected = joint.similarity(joint.directions(arrays(features)), "product")
    result = nway_similarity(*features, log_space=True)
    assert np.abs(result.numpy() - expected).max() < 1e-14


def test_log_space_survives_products_that_overflow_or_underflow_on_the_way():
    """1e30 * 1e30 and 1e-30 * 1e-30 are beyond float32; the four together are 1."""
    sizes = (1e30, 1e30, 1e-30, 1e-30)
    features = [torch.tensor([[size, -size]]) for size in sizes]

    assert not nway_similarity(*features, normalize=False, clamp=None).isfinite().all()
    result = nway_similarity(*features, normalize=False, clamp=None, log_space=True)
    assert result.item() == pytest.approx(2.0, rel=1e-4)


def test_log_space_reaches_the_clamp_with_finite_gradients():
    features = [torch.full((1, 3), 1e30, requires_grad=True) for _ in range(4)]

    result = nway_similarity(*features, normalize=False, log_space=True)
    result.backward()
    assert result.item() == 100.0
    assert all(torch.equal(x.grad, torch.zeros(1, 3)) for x in features)


def test_log_space_of_huge_vectors_at_right_angles_is_zero():
    """Next to 1e50, even 1e-20 in the place of a zero would make 1e30."""
    x = torch.tensor([[1e25, 0.0]], requires_grad=True)
    y = torch.tensor([[0.0, 1e25]])

    result = nway_similarity(x, y, normalize=False, clamp=None, log_space=True)
    result.backward()
    assert result.item() == 0.0
    assert x.grad.isfinite().all()


def test_log_space_of_sparse_features_agrees_with_double_precision():
    features = [1e4 * torch.randn(3, 8).relu() for _ in range(6)]

    expected = joint.similarity([x.double().numpy() for x in features], "product")
    result = nway_similarity(*features, normalize=False, clamp=None, log_space=True)
    assert (expected == 0.0).any()
    assert result.double().numpy() == pytest.approx(expected, rel=1e-5)
    assert (result.numpy()[expected == 0.0] == 0.0).all()


def test_log_space_gives_small_results_of_huge_features():
    """The largest elements would make 1e45, beyond float32; what there is, is 2e30."""
    x, y = torch.tensor([[1e30, 1e15]]), torch.tensor([[1e0, 1e15]])

    result = nway_similarity(x, y, normalize=False, clamp=None, log_space=True)
    assert result.item() == pytest.approx(2e30, rel=1e-5)


def test_the_clamp_bounds_similarities_and_stops_their_gradients():
    x = torch.tensor([[3.0, 0.0], [0.0, 1.0]], requires_grad=True)

    result = nway_similarity(x, torch.eye(2), normalize=False, clamp=(-2.0, 2.0))
    assert result.tolist() == [[2.0, 0.0], [0.0, 1.0]]
    result.sum().backward()
    assert x.grad.tolist() == [[0.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    "options", [{"method": form} for form in joint.FORMS] + [{"log_space": True}], ids=str
)
def test_gradcheck(options):
    features = [x.requires_grad_() for x in sets(3, 3, width=4)]

    assert torch.autograd.gradcheck(lambda *x: nway_similarity(*x, **options), features)


def test_log_space_has_the_right_gradient_at_zero_elements():
    x = torch.tensor([[0.0, 2.0]], requires_grad=True)
    y, z = torch.tensor([[3.0, 5.0]]), torch.tensor([[-7.0, 1.0]])

    nway_similarity(x, y, z, normalize=False, log_space=True).backward()
    assert x.grad[0].tolist() == pytest.approx([-21.0, 5.0], rel=1e-5)


HARD = {
    "zero rows": lambda: torch.zeros(3, 4),
    "equal rows": lambda: torch.ones(3, 4),
    "huge rows": lambda: torch.full((3, 4), 1e38) * torch.randn(3, 4).sign(),
    "tiny rows": lambda: torch.full((3, 4), 1e-40) * torch.randn(3, 4).sign(),
    "opposite rows": lambda: torch.tensor([[1.0], [-1.0], [1.0]]).expand(3, 4),
}


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16 autocast"])
@pytest.mark.parametrize("hard", HARD)
@pytest.mark.parametrize("method", joint.FORMS)
def test_gradients_are_finite(method, hard, autocast):
    features = [HARD[hard]().clone().requires_grad_() for _ in range(3)]

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        result = nway_similarity(*features, method=method)
    result.sum().backward()
    assert result.dtype == torch.float32
    assert result.isfinite().all()
    assert all(x.grad.isfinite().all() for x in features)


@pytest.mark.parametrize("method", joint.FORMS)
def test_autocast_does_not_cost_precision(method):
    """Features come in bfloat16, as a linear layer under autocast gives them."""
    features = [x.bfloat16() for x in sets(3, 5, width=64)]
    expected = joint.similarity(joint.directions(arrays(features)), method)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = nway_similarity(*features, method=method)
    assert np.abs(result.numpy() - expected).max() < 2e-6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "dot"}, "method must be one of product, norm, .*; got 'dot'"),
        ({"clamp": (1.0, -1.0)}, "clamp must be None or two numbers, smaller first"),
        ({"clamp": 5.0}, "clamp must be None or two numbers, smaller first; got 5.0"),
        ({"clamp": "no"}, "clamp must be None or two numbers, smaller first; got 'no'"),
        ({"clamp": (0.0, 1.0, 2.0)}, "clamp must be None or two numbers, smaller first"),
        ({"eps": 0.0}, "eps must be finite and greater than 0; got 0.0"),
        (
            {"method": "norm", "log_space": True},
            "log_space is for method=\"product\"; got method='norm'",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        nway_similarity(*sets(2, 3), **change)


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        ([torch.ones(2, 3)], ValueError, "features must be 2 to 8 tensors; got 1"),
        ([torch.ones(2, 3)] * 9, ValueError, "features must be 2 to 8 tensors; got 9"),
        ([torch.ones(2, 3), torch.ones(3, 2)], ValueError, r"features 1 are \[3, 2\]"),
        ([torch.ones(2), torch.ones(2)], ValueError, r"of one shape \[B, D\]"),
        ([torch.ones(0, 3)] * 2, ValueError, "neither of them 0"),
        ([torch.ones(2, 3, dtype=torch.int32)] * 2, TypeError, "features 0 must be of a floating"),
        ([torch.ones(2, 3, dtype=torch.complex64)] * 2, TypeError, "features 0 must be real"),
        ([[1.0], [2.0]], TypeError, "features 0 must be a tensor; got list"),
    ],
)
def test_features_that_cannot_be_are_refused(features, error, message):
    with pytest.raises(error, match=message):
        nway_similarity(*features)
