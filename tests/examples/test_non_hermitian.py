"""The non-Hermitian model is right, and is trained for real under planted faults."""

from __future__ import annotations

import math
import re
import sys

import pytest
import torch

import gradcore


@pytest.fixture
def chain(example):
    return example("non_hermitian")


def energies(sites, dtype, *, batch=3, decay=0.05):
    """Random levels within a band, and decay rates above a least one."""
    real = torch.float32 if dtype == torch.complex64 else torch.float64
    level = 4.0 * torch.rand(batch, sites, dtype=real) - 2.0
    return torch.complex(level, -(decay + torch.rand(batch, sites, dtype=real)))


def dense(diagonal, hopping, z):
    """The same by inverting the matrix."""
    sites = diagonal.shape[-1]
    beside = torch.full((sites - 1,), hopping, dtype=diagonal.dtype)
    matrix = torch.diag_embed(diagonal - z) + torch.diag(beside, 1) + torch.diag(beside, -1)
    return torch.linalg.inv(matrix).diagonal(dim1=-2, dim2=-1)


@pytest.mark.parametrize("sites", [1, 2, 3, 64, 257])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.complex64, 1e-4), (torch.complex128, 1e-10)]
)
def test_the_recursion_agrees_with_the_inverse_of_the_matrix(
    chain, sites, dtype, tolerance, threads
):
    threads(1)  # with two, MKL 2024.2 refuses complex matrices of more than 256 rows, or errs
    diagonal = energies(sites, dtype)

    found = chain.resolvent_diagonal(diagonal, torch.tensor(1.0), torch.tensor(0.25))
    expected = dense(diagonal, 1.0, 0.25)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_ten_thousand_sites_neither_overflow_nor_underflow(chain, size):
    """Determinants of so many sites are far beyond float32; no element is above 1 / decay."""
    diagonal = size * energies(10_000, torch.complex64, batch=1, decay=0.5)

    found = chain.resolvent_diagonal(diagonal, torch.tensor(1.0), torch.tensor(0.0))
    assert found.isfinite().all()
    assert found.abs().max().item() <= 1 / (0.5 * size) * (1 + 1e-5)
    assert (found.imag > 0).all()


def test_gradcheck_of_the_resolvent(chain):
    diagonal = energies(7, torch.complex128, decay=0.3).requires_grad_()
    hopping, z = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.8, 0.1))

    assert torch.autograd.gradcheck(chain.resolvent_diagonal, (diagonal, hopping, z))


def test_gradcheck_of_the_layer_through_potential_and_resolvent(chain):
    layer = chain.DissipativeBKLayer(4, 2).double()
    layer.output = torch.nn.Linear(2, 4, dtype=torch.complex128)
    features = torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(layer, (features,))


def test_the_potential_is_complex_and_always_decays(chain):
    potential = chain.NonHermitianPotential(8, 3, least_decay=0.05)

    values = potential(100.0 * torch.randn(4, 10, 8))
    assert values.dtype == torch.complex64
    assert values.shape == (4, 10, 3)
    assert values.imag.max().item() <= -0.05


@pytest.mark.parametrize("part", ["real", "imag"])
def test_gradients_flow_from_either_part_to_its_own_weights(chain, part):
    potential = chain.NonHermitianPotential(8, 3)

    getattr(potential(torch.randn(4, 10, 8)), part).square().sum().backward()
    level, decay = potential.parts.weight.grad.chunk(2)
    assert level.any().item() == (part == "real")
    assert decay.any().item() == (part == "imag")


def test_both_parts_of_complex_weights_get_gradients_and_are_treated_as_one_number(chain):
    """A NaN in the imaginary part alone takes the whole element along."""
    layer = chain.DissipativeBKLayer(8, 3)
    layer(torch.randn(4, 10, 8)).square().sum().backward()
    gradient = layer.output.weight.grad
    assert gradient.dtype == torch.complex64
    assert gradient.real.any()
    assert gradient.imag.any()

    gradient[0, 0] = complex(1.0, math.nan)
    report = gradcore.Guard(layer, nonfinite="zero").apply()
    assert report.repaired == 1
    assert gradient[0, 0].item() == 0.0


def test_kinds_are_those_of_pythons_tokenizer(example):
    source = 'if x == 10:\n    y = "no"  # yes\n'
    names = "kk.n.oo.ddo\n....n.o.ssss..ccccc\n"

    letters = {"blank": ".", "name": "n", "keyword": "k", "number": "d", "string": "s"}
    letters |= {"comment": "c", "operator": "o"}
    code = example("source_code")
    found = "".join(letters[code.KINDS[kind]] for kind in code.kinds_of(source))
    assert found == names.replace("\n", ".")


def test_it_trains_under_faults_and_draws_a_picture(chain, monkeypatch, capsys, tmp_path):
    """A tenth of the real run: the real data, the real model, real faults."""
    picture = tmp_path / "run.png"
    options = ["--steps", "40", "--seed", "0", "--picture", str(picture)]
    monkeypatch.setattr(sys, "argv", ["non_hermitian.py", *options])

    chain.main()
    out = capsys.readouterr().out
    losses = [float(x) for x in re.findall(r"^loss (\S+)$", out, re.MULTILINE)]
    assert len(losses) == 5
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[0] == pytest.approx(math.log(7), abs=0.3)  # seven kinds, nothing known
    assert losses[-1] < 0.7 * losses[0]
    right, alone = (float(x) for x in re.findall(r"([\d.]+)% (?:of|by)", out))
    assert right > alone > 50.0
    assert "model finite: yes" in out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_every_kind_of_fault_is_survived(chain):
    """One at every step: NaN and infinities are skipped, spikes are clipped."""
    text, kinds = torch.randint(128, (400,)), torch.randint(7, (400,))
    model = chain.Reader(width=8, chains=2)

    losses, planted, history = chain.train(model, text, kinds, steps=20, seed=0, rate=1.0)
    assert set(planted.values()) == {"nan", "inf", "-inf", "1e+25"}
    assert all(math.isfinite(loss) for loss in losses)
    skipped = [report.skipped for report in history]
    assert skipped == [value != "1e+25" for value in planted.values()]
    assert all(parameter.isfinite().all() for parameter in model.parameters())
