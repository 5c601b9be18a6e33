"""AGC bounds each unit of real layers by the paper's formula, as numpy works it out."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn

import gradcore
from gradcore_strategies import AGC


class Net(nn.Module):
    """Layers of every layout, and a gain without dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 6)
        self.convolution = nn.Conv2d(3, 4, kernel_size=(2, 1), bias=True)
        self.channels_last = nn.Conv2d(2, 3, 2, bias=False)
        self.channels_last.weight.data = self.channels_last.weight.data.contiguous(
            memory_format=torch.channels_last
        )
        self.zeros = nn.Linear(4, 5)
        nn.init.zeros_(self.zeros.weight)
        self.gain = nn.Parameter(torch.tensor(0.3))
        self.head = nn.Linear(5, 2)


def clipped(
    weight: np.ndarray[Any, Any],
    gradient: np.ndarray[Any, Any],
    lam: float = 0.01,
    eps: float = 1e-3,
    unit_axis: int = 0,
) -> np.ndarray[Any, Any]:
    """The formula, unit by unit, in float64."""
    result = gradient.copy()
    if weight.ndim < 2:
        units = [(weight, result)]
    else:
        pairs = np.moveaxis(weight, unit_axis, 0), np.moveaxis(result, unit_axis, 0)
        units = list(zip(*pairs, strict=True))
    for w, g in units:
        bound = lam * max(math.sqrt((w**2).sum()), eps)
        norm = math.sqrt((g**2).sum())
        if norm > bound:
            np.multiply(g, bound / max(norm, 1e-6), out=g)
    return result


def array(tensor: Tensor) -> np.ndarray[Any, Any]:
    return tensor.detach().double().numpy().copy()


OPTIONS: list[dict[str, Any]] = [
    {},
    {"lam": 0.5, "eps": 0.1, "unit_axis": 1},
    {"unit_axis": -1, "lam": 0.05},
    {"exclude": ["head.*", "gain"]},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_gradient_of_a_training_is_clipped_by_the_formula(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = Net().double()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    guard = gradcore.Guard(net, clip=AGC(**options), nonfinite="zero", max_consecutive=None)
    rule = {name: value for name, value in options.items() if name != "exclude"}
    random = np.random.default_rng(0)
    shrunk = np.zeros(2)
    for _ in range(200):
        expected = {}
        for name, parameter in net.named_parameters():
            gradient = 10.0 ** random.uniform(-6, 2) * random.standard_normal(parameter.shape)
            gradient = np.asarray(gradient)
            if random.random() < 0.05:
                gradient = np.asarray(gradient * 1e60)
            if random.random() < 0.1:
                parameter.grad = None
                continue
            parameter.grad = torch.from_numpy(gradient.copy())
            if random.random() < 0.05:
                parameter.grad.view(-1)[0] = math.nan
                gradient = gradient.copy()
                gradient.reshape(-1)[0] = 0.0
            excluded = any(fnmatchcase(name, p) for p in options.get("exclude", ()))
            expected[name] = gradient if excluded else clipped(array(parameter), gradient, **rule)
            shrunk += [not np.array_equal(expected[name], gradient), 1]
        guard.apply()
        for name, parameter in net.named_parameters():
            assert (parameter.grad is None) == (name not in expected)
            if parameter.grad is not None:
                assert_allclose(array(parameter.grad), expected[name], rtol=1e-11)
                parameter.grad.clamp_(-1e3, 1e3)  # excluded ones would end the training
        optimizer.step()
    assert 0.3 < shrunk[0] / shrunk[1] < 0.95


def test_a_unit_within_its_bound_keeps_every_bit() -> None:
    layer = nn.Linear(8, 3, bias=False)
    layer.weight.grad = 1e-4 * torch.randn(3, 8)
    layer.weight.grad[1] = 5.0
    before = layer.weight.grad.clone()
    report = gradcore.Guard(layer, clip=AGC()).apply()

    assert torch.equal(layer.weight.grad[[0, 2]], before[[0, 2]])
    assert float(layer.weight.grad[1].norm()) == pytest.approx(
        0.01 * float(layer.weight[1].detach().norm()), rel=1e-6
    )
    assert report.clipped


def test_weights_of_zeros_train() -> None:
    layer = nn.Linear(2, 1)
    nn.init.zeros_(layer.weight)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    guard = gradcore.Guard(layer, clip=AGC())
    for _ in range(50):
        optimizer.zero_grad()
        (layer(torch.ones(1, 2)).square() - layer(torch.ones(1, 2))).sum().backward()
        guard.step(optimizer)

    assert float(layer.weight.detach().abs().min()) > 1e-4


def test_it_can_be_compiled_as_one_graph() -> None:
    net = Net()
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    statistics = gradcore.measure(list(net.parameters()), AGC.needs)
    eager = AGC(exclude="head.*")
    eager.bind([name for name, _ in net.named_parameters()])

    graph: Any = torch.compile(eager, fullgraph=True, backend="aot_eager")
    assert graph(statistics).factors.tolist() == eager(statistics).factors.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lam": 0.0}, "lam must be finite and greater than 0; got 0.0"),
        ({"eps": -1.0}, "eps must be finite and greater than 0; got -1.0"),
        ({"unit_axis": 0.5}, "unit_axis must be a whole number; got 0.5"),
    ],
)
def test_an_option_that_cannot_be_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AGC(**options)


def test_a_pattern_that_matches_nothing_is_refused_when_the_guard_is_made() -> None:
    with pytest.raises(ValueError, match="the pattern 'fc' matches no parameter of gain"):
        gradcore.Guard(Net(), clip=AGC(exclude=["head.*", "fc"]))
