"""`trace_nonfinite` of compiled models: one module, or it says that it saw nothing."""

from __future__ import annotations

import pytest
import torch

from faulty import data, faulty, log_of_zero, traced
from gradcore.monitors import trace_nonfinite

# Dynamo looks at it while tracing.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute")


def test_a_compiled_model_is_one_module():
    model = torch.compile(faulty(log_of_zero), backend="aot_eager")

    event = traced(model)
    torch.compiler.reset()
    assert (event.module, event.direction) == ("", "forward")


@pytest.mark.parametrize("way", ["within", "in place"])
def test_that_a_module_within_compiled_code_was_not_seen_is_said(way, caplog):
    """Its hooks do not run, and no event is no good news then."""
    model = faulty(log_of_zero)
    if way == "in place":
        model.compile(backend="aot_eager")
    run = torch.compile(model, backend="aot_eager") if way == "within" else model

    with trace_nonfinite(model, action="log") as tracer:
        assert not run(data()).isfinite().all()
    torch.compiler.reset()
    assert tracer.event is None
    assert "trace_nonfinite saw no forward pass of the model" in caplog.text
    caplog.clear()
    seen = faulty(log_of_zero)
    with trace_nonfinite(seen, action="log"):
        seen(data())
    assert "saw no forward pass" not in caplog.text
