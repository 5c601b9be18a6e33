"""Functions that are offered have examples, which run with those of all other docstrings."""

from __future__ import annotations

from gradcore import numerics


def test_every_function_that_is_offered_has_one():
    for name in ("normalize", "safe_sqrt", "nway_similarity", "nway_contrastive_loss"):
        assert ">>> " in getattr(numerics, name).__doc__
