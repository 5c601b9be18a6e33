"""Measuring and applying only queue work: no waiting, any stream, and graphs can hold both."""

from __future__ import annotations

import math
import warnings

import device
import pytest
import torch


@pytest.fixture
def waiting_is_an_error():
    """Make torch raise where the host would wait for the device."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the mode is a prototype, it says
        torch.cuda.set_sync_debug_mode("error")
        yield
        torch.cuda.set_sync_debug_mode("default")


def lists() -> list[torch.Tensor]:
    """Some gradients of two dtypes."""
    sizes = (70_000, 5, 0, 1_000_000)
    return [
        *(torch.randn(n, device="cuda") for n in sizes),
        *(torch.randn(n, device="cuda", dtype=torch.bfloat16) for n in sizes),
    ]


def clip_(gradients: list[torch.Tensor], max_norm: float) -> torch.Tensor:
    """A whole decision on the device; returns the norm."""
    table = device.measure(gradients, 3)
    norm = table[device.L2, -1]
    factor = (max_norm / norm).clamp(max=1.0)
    bad = table[2:5, -1].sum() > 0
    device.apply_(gradients, table, factor, skip=bad, repair=device.ZERO_ELEMENTS)
    return norm


@pytest.mark.usefixtures("waiting_is_an_error")
def test_nothing_waits_for_the_device():
    clip_(lists(), 1.0)
    many = [torch.ones(3, device="cuda") for _ in range(3000)]
    clip_(many, 1.0)


def test_a_captured_step_replays_on_new_gradients():
    static = lists()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # warm up, as torch asks for
        clip_(static, 1.0)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        norm = clip_(static, 1.0)

    for fill in ("large", "small", "bad", "large"):
        fresh = lists()
        for tensor in fresh:
            tensor.mul_(1e-6 if fill == "small" else 1.0)
        if fill == "bad":
            fresh[0][3] = math.nan
        for to, new in zip(static, fresh, strict=True):
            to.copy_(new)
        graph.replay()
        eager = clip_(fresh, 1.0)
        assert norm.item() == eager.item()
        for got, want in zip(static, fresh, strict=True):
            assert device.same_bits(got, want)


def test_a_captured_list_of_thousands_replays():
    static = [torch.ones(3, device="cuda") for _ in range(3000)]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        norm = clip_(static, 1.0)
    for _ in range(3):
        for tensor in static:
            tensor.fill_(1.0)
        graph.replay()
        assert norm.item() == pytest.approx(math.sqrt(9000.0), rel=1e-12)
        assert static[-1][0].item() == pytest.approx(1 / math.sqrt(9000.0), rel=1e-6)


def test_work_follows_what_its_stream_has_queued_before():
    tensor = torch.zeros(1_000_000, device="cuda")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # noqa: SLF001 - a few hundredths of a second
        tensor.fill_(3.0)
        norm = clip_([tensor], 1.0)
    stream.synchronize()
    assert norm.item() == pytest.approx(3000.0, rel=1e-12)
    assert tensor[0].item() == pytest.approx(1e-3, rel=1e-6)


def test_streams_beside_each_other_do_not_mix():
    streams = [torch.cuda.Stream() for _ in range(4)]
    tensors = [torch.full((300_000,), float(i + 1), device="cuda") for i in range(4)]
    torch.cuda.synchronize()
    norms = []
    for _ in range(10):
        for stream, tensor in zip(streams, tensors, strict=True):
            with torch.cuda.stream(stream):
                norms.append(device.measure([tensor])[device.L2, -1])
    torch.cuda.synchronize()
    for i, norm in enumerate(norms):
        assert norm.item() == pytest.approx((i % 4 + 1) * math.sqrt(300_000), rel=1e-12)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="torch.cuda.device_count() is below 2")
def test_a_list_is_measured_and_scaled_where_it_is_whatever_the_current_device():
    for index in range(torch.cuda.device_count()):
        tensor = torch.full((300_000,), 2.0, device=f"cuda:{index}")
        with torch.cuda.device((index + 1) % torch.cuda.device_count()):
            norm = clip_([tensor], 1.0)
            assert norm.device == tensor.device
            assert norm.item() == pytest.approx(2.0 * math.sqrt(300_000), rel=1e-12)
        assert tensor.norm().item() == pytest.approx(1.0, rel=1e-6)
