"""Every strategy of the package keeps to the rules that gradcore has for strategies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import gradcore_strategies
from gradcore.testing import check_strategy

if TYPE_CHECKING:
    from gradcore import ClipStrategy

OFFERED = tuple(gradcore_strategies.gradcore_clip_strategies())


@pytest.mark.parametrize("offered", OFFERED, ids=lambda offered: offered.name)
def test_a_strategy_keeps_to_the_rules(offered: type[ClipStrategy]) -> None:
    check_strategy(offered)


def test_there_are_strategies_to_be_checked() -> None:
    assert {"agc", "zclip"} <= {offered.name for offered in OFFERED}
