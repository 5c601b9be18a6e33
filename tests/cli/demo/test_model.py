"""The demo's model is a causal language model."""

from __future__ import annotations

import math

import torch

from gradcore.cli.demo.text import CHARACTERS
from gradcore.cli.demo.training import CONTEXT, initial_model


def test_a_prediction_depends_on_no_later_character():
    model = initial_model(0)
    text = torch.zeros(1, CONTEXT, dtype=torch.int64)
    other = text.clone()
    other[0, 20:] = 5

    here, there = model(text), model(other)

    torch.testing.assert_close(here[0, :20], there[0, :20])
    assert not torch.allclose(here[0, 20:], there[0, 20:])


def test_an_untrained_model_guesses():
    text = torch.randint(97, (64, CONTEXT + 1), generator=torch.Generator().manual_seed(0))

    loss = initial_model(0).loss(text).item()

    assert abs(loss - math.log(len(CHARACTERS))) < 0.5


def test_the_seed_decides_on_the_model_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()

    one, same, other = (initial_model(seed).output.weight for seed in (1, 1, 2))

    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)
