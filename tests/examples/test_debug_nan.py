"""The example finds the layer that it broke, and the mended one trains."""

from __future__ import annotations

import re
import sys


def test_the_layer_behind_the_nan_is_found_and_mended(example, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["debug_nan.py", "--steps", "40"])

    example("debug_nan").main()
    broken, mended = capsys.readouterr().out.split("with eps = 1e-6:")
    assert re.search(r"the first bad step: step \d+: .* loss \d\.\d+, .* skipped", broken)
    assert "first in module 'norm', forward; clean until 'embedding'" in broken
    came_out = int(re.search(r"came out: (\d+) NaN", broken)[1])
    assert came_out == int(re.search(r"paddings of 48 numbers: (\d+)", broken)[1]) > 0
    before, after = map(float, re.search(r"loss (\S+) -> (\S+),", mended).groups())
    assert after < before - 2.0
    assert "0% of 40 steps skipped" in mended
