"""`nway_contrastive_loss` is the cross-entropy along each axis, however it is computed."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional

import joint
from gradcore.numerics import nway_contrastive_loss, nway_similarity

SIZES = {2: 7, 3: 5, 4: 4, 5: 4, 6: 3, 7: 2, 8: 2}
CHUNKS = (None, 1, 2, 3, 100)


def sets(n, count, width=6, dtype=torch.float64):
    return [torch.randn(count, width, dtype=dtype).requires_grad_() for _ in range(n)]


def full(features, method, scale, **options):
    """The loss by autograd through the whole joint tensor."""
    logits = scale * nway_similarity(*features, method=method, **options)
    n, count = logits.ndim, len(logits)
    target = torch.arange(count)
    losses = []
    for axis in range(n):
        rows = logits.movedim(axis, 0).reshape(count, -1)
        aligned = sum(target * count**k for k in range(n - 1))
        losses.append(functional.cross_entropy(rows, aligned))
    return sum(losses) / n


def gradients(value, *inputs):
    return torch.autograd.grad(value, inputs)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("method", joint.FORMS)
def test_it_agrees_with_its_definition_in_double_precision(method, n, chunk):
    features = sets(n, SIZES[n])

    arrays = [x.detach().numpy() for x in features]
    expected = joint.loss(joint.similarity(joint.directions(arrays), method), 14.0)
    result = nway_contrastive_loss(*features, method=method, logit_scale=14.0, chunk=chunk)
    tolerance = 1e-6 if method == "geometric_cosine" else 1e-13
    assert result.item() == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("chunk", [None, 3])
def test_two_sets_give_the_symmetric_loss_of_clip(chunk):
    image, text = sets(2, 8, dtype=torch.float32)

    logits = 30.0 * functional.normalize(image) @ functional.normalize(text).T
    target = torch.arange(8)
    clip = (
        functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
    ) / 2
    result = nway_contrastive_loss(image, text, logit_scale=30.0, chunk=chunk)
    torch.testing.assert_close(result, clip)
    torch.testing.assert_close(gradients(result, image, text), gradients(clip, image, text))


@pytest.mark.parametrize("chunk", [None, 1, 4])
@pytest.mark.parametrize("n", [3, 4, 5])
@pytest.mark.parametrize("method", joint.FORMS)
def test_float32_gradients_agree_with_those_through_the_joint_tensor(method, n, chunk):
    features = sets(n, 6, width=16, dtype=torch.float32)
    scale = torch.tensor(20.0, requires_grad=True)

    whole = full(features, method, scale)
    result = nway_contrastive_loss(*features, method=method, logit_scale=scale, chunk=chunk)
    assert result.item() == pytest.approx(whole.item(), abs=1e-5)
    for ours, expected in zip(
        gradients(result, *features, scale), gradients(whole, *features, scale), strict=True
    ):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize("method", joint.FORMS)
def test_gradcheck(method, chunk):
    features = sets(3, 3, width=4)
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)

    def function(scale, *features):
        return nway_contrastive_loss(*features, method=method, logit_scale=scale, chunk=chunk)

    assert torch.autograd.gradcheck(function, (scale, *features))


@pytest.mark.parametrize("method", [form for form in joint.FORMS if form != "distance"])
def test_without_chunk_it_can_be_differentiated_twice(method):
    features = sets(3, 3, width=4)

    assert torch.autograd.gradgradcheck(
        lambda *x: nway_contrastive_loss(*x, method=method, logit_scale=3.0), features
    )


@pytest.mark.parametrize("chunk", [None, 1, 3])
@pytest.mark.parametrize("method", joint.FORMS)
def test_a_clamp_that_cuts_is_respected(method, chunk):
    """Bounds chosen so that most similarities lie beyond them: contraction would be wrong."""
    features = sets(3, 5)
    scale = torch.tensor(9.0, dtype=torch.float64, requires_grad=True)
    middle = nway_similarity(*features, method=method).median().item()
    clamp = (middle - 0.01, middle + 0.01)

    options = {"method": method, "clamp": clamp}
    whole = full(features, scale=scale, **options)
    result = nway_contrastive_loss(*features, logit_scale=scale, chunk=chunk, **options)
    assert result.item() == pytest.approx(whole.item(), abs=1e-12)
    for ours, expected in zip(
        gradients(result, *features, scale), gradients(whole, *features, scale), strict=True
    ):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("chunk", [None, 1])
@pytest.mark.parametrize("method", joint.FORMS)
@pytest.mark.parametrize("logit_scale", [100.0, 1e4, -50.0])
def test_large_logit_scales_neither_overflow_nor_underflow(method, logit_scale, chunk):
    features = [x.detach().requires_grad_() for x in sets(3, 6, dtype=torch.float32)]

    arrays = [x.detach().double().numpy() for x in features]
    expected = joint.loss(joint.similarity(joint.directions(arrays), method), logit_scale)
    result = nway_contrastive_loss(*features, method=method, logit_scale=logit_scale, chunk=chunk)
    assert result.item() == pytest.approx(expected, rel=1e-5, abs=1e-4)
    assert all(x.isfinite().all() for x in gradients(result, *features))


@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize("method", joint.FORMS)
def test_equal_features_give_the_logarithm_of_the_number_of_choices(method, chunk):
    features = [torch.ones(5, 3, requires_grad=True) for _ in range(4)]

    result = nway_contrastive_loss(*features, method=method, logit_scale=10.0, chunk=chunk)
    assert result.item() == pytest.approx(3 * math.log(5), rel=1e-6)
    assert all(x.abs().max() < 1e-5 for x in gradients(result, *features))


@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize("method", joint.FORMS)
@pytest.mark.parametrize("size", [0.0, 1e-40, 1e38])
def test_gradients_are_finite_in_bfloat16_autocast(method, size, chunk):
    features = [(size * torch.randn(4, 8).sign()).requires_grad_() for _ in range(3)]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = nway_contrastive_loss(*features, method=method, logit_scale=50.0, chunk=chunk)
        assert result.dtype == torch.float32
        result.backward()
    assert all(x.grad.isfinite().all() for x in features)


@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize("method", joint.FORMS)
def test_autocast_does_not_cost_precision(method, chunk):
    features = [x.detach() for x in sets(3, 6, width=32, dtype=torch.float32)]

    arrays = [x.double().numpy() for x in features]
    expected = joint.loss(joint.similarity(joint.directions(arrays), method), 50.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = nway_contrastive_loss(*features, method=method, logit_scale=50.0, chunk=chunk)
    assert result.item() == pytest.approx(expected, rel=1e-5)


def test_a_nan_is_passed_on_and_not_swallowed():
    for method, chunk in itertools.product(joint.FORMS, (None, 2)):
        features = sets(3, 4)
        features[1].data[2, 1] = math.nan

        assert nway_contrastive_loss(*features, method=method, chunk=chunk).isnan()


def test_features_without_gradients_are_fine():
    first, *rest = sets(3, 4)
    rest = [x.detach() for x in rest]

    for method in joint.FORMS:
        whole = full([first, *rest], method, 3.0)
        result = nway_contrastive_loss(first, *rest, method=method, logit_scale=3.0, chunk=2)
        torch.testing.assert_close(gradients(result, first), gradients(whole, first))
        with torch.no_grad():
            result = nway_contrastive_loss(first, *rest, method=method, logit_scale=3.0, chunk=2)
        torch.testing.assert_close(result, whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chunk": 0}, "chunk must be a whole number of at least 1; got 0"),
        ({"logit_scale": torch.ones(2)}, r"logit_scale must be a number or hold one; .* \[2\]"),
        ({"clamp": (2.0, 1.0)}, "clamp must be None or two numbers"),
        ({"method": "sum"}, "method must be one of"),
        ({"eps": -1.0}, "eps must be finite"),
    ],
)
def test_options_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        nway_contrastive_loss(*sets(2, 3), **change)


@pytest.mark.parametrize("logit_scale", [1j, torch.tensor(1j), "large", None])
def test_a_logit_scale_that_is_not_real_is_refused(logit_scale):
    with pytest.raises(TypeError, match="logit_scale must be a real number or hold one; got"):
        nway_contrastive_loss(*sets(2, 3), logit_scale=logit_scale)
