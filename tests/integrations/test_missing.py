"""An integration whose framework is missing names the extra that brings it."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    ("name", "framework"),
    [
        ("lightning", "lightning.pytorch"),
        ("transformers", "transformers"),
        ("accelerate", "accelerate"),
    ],
)
def test_the_extra_is_named(monkeypatch, name, framework):
    monkeypatch.delitem(sys.modules, f"gradcore.integrations.{name}", raising=False)
    monkeypatch.setitem(sys.modules, framework, None)

    with pytest.raises(ImportError, match=rf"pip install 'gradcore\[{name}\]'"):
        import_module(f"gradcore.integrations.{name}")
