"""Everything that is registered keeps to the rules that plugins are held to."""

from __future__ import annotations

import pytest

from gradcore import testing
from gradcore.catalogue import read_catalogue

CHECKS = {
    "clip": testing.check_strategy,
    "nonfinite": testing.check_policy,
    "check": testing.check_health,
    "sink": testing.check_sink,
}

OFFERS = list(read_catalogue(plugins=False).offers.values())


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: f"{offer.kind}:{offer.name}")
def test_what_is_built_in_conforms(offer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")  # nothing may leave this machine
    required = {"path": tmp_path / "log", "log_dir": tmp_path}
    options = {name: value for name, value in required.items() if name in (offer.options or ())}

    CHECKS[offer.kind](offer.factory, **options)
