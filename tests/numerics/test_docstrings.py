"""The examples in docstrings run and print what they show."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest
import torch

from gradcore import numerics

MODULES = [
    f"{numerics.__name__}.{module.name}" for module in pkgutil.iter_modules(numerics.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name):
    assert doctest.testmod(importlib.import_module(name), extraglobs={"torch": torch}).failed == 0


def test_every_function_that_is_offered_has_one():
    for name in ("normalize", "safe_sqrt", "nway_similarity", "nway_contrastive_loss"):
        assert ">>> " in getattr(numerics, name).__doc__
