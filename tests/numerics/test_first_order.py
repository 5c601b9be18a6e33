"""A gradient made by hand refuses to be differentiated."""

from __future__ import annotations

import pytest
import torch

from gradcore.numerics.first_order import require_first_order


def test_it_raises_where_gradients_are_recorded_and_only_there():
    with torch.no_grad():
        require_first_order()
    with pytest.raises(RuntimeError, match="differentiated once"):
        require_first_order()
