"""The numbers in a page are those of the run."""

from __future__ import annotations

import base64
import json
import math

import numpy as np

import recorded
from gradcore.page.payload import payload


def read(text, kind):
    return np.frombuffer(base64.b64decode(text), kind)


def test_curves_and_map_are_read_back():
    run = recorded.run(
        recorded.step(0, [1.0, 10.0, 100.0], loss=2.0), recorded.step(1, bad=[1], loss=math.nan)
    )
    data = json.loads(json.dumps(payload(run), allow_nan=False))

    np.testing.assert_array_equal(read(data["curves"]["loss"], "<f8"), [2.0, math.nan])
    assert read(data["curves"]["lost"], "<f8").tolist() == [0.0, 1.0]
    assert read(data["curves"]["nonfinite"], "<f8").tolist() == [0.0, 1.0]
    grid = read(data["map"]["logNorm"], "<f4").reshape(3, 2)
    np.testing.assert_allclose(grid[:, 0], [0.0, 1.0, 2.0], atol=1e-6)
    assert read(data["map"]["nonfinite"], "<u2").reshape(3, 2).tolist() == [[0, 0], [0, 1], [0, 0]]
    assert data["map"]["crosses"] == [[1], [1]]
    assert data["map"]["names"] == list(recorded.NAMES)
