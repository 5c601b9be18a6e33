"""Six views of real digits are aligned by the loss of all six, far beyond chance."""

from __future__ import annotations

import re
import sys

import pytest
import torch


@pytest.fixture
def digits(example):
    return example("six_modalities")


def test_the_views_are_what_they_are_called(digits):
    image = torch.arange(64.0).reshape(1, 8, 8)

    views = dict(zip(digits.VIEWS, digits.views_of(image, torch.tensor([3])), strict=True))
    assert views["image"][0].tolist() == list(range(64))
    assert views["turned"][0, :8].tolist() == list(range(7, 64, 8))
    assert views["rows"][0].tolist() == [28.0 + 64 * row for row in range(8)]
    assert views["columns"][0].tolist() == [224.0 + 8 * column for column in range(8)]
    assert views["spectrum"][0, 0].item() == pytest.approx(image.sum().item() / 8)
    assert views["name"].sum().item() == len("three")


def test_retrieval_counts_the_nearest_of_every_other_view(digits):
    x = torch.eye(4)
    swapped = x[[1, 0, 2, 3]]

    assert digits.retrieval([x, x, x, swapped]) == 1.0
    assert digits.retrieval([x, swapped, x]) == 0.5


def test_it_beats_chance_by_far(digits, monkeypatch, capsys):
    """A shorter run on smaller batches, of the real digits: 3 million joint logits a step."""
    options = ["--steps", "120", "--batch", "12"]
    monkeypatch.setattr(sys, "argv", ["six_modalities.py", *options])

    digits.main()
    out = capsys.readouterr().out
    losses = [float(x) for x in re.findall(r"^loss (\S+)$", out, re.MULTILINE)]
    assert losses[-1] < 0.7 * losses[0]
    found, chance = (
        float(x) for x in re.search(r"retrieval (\S+)% \(chance (\S+)%\)", out).groups()
    )
    assert found > 20 * chance
    assert float(re.search(r"naming (\S+)%", out)[1]) > 60.0
