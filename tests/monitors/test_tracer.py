"""Tracing whatever models do: masks, operations in place, checkpointing, compilation."""

from __future__ import annotations

import gc
import math
import weakref

import pytest
import torch
import transformers
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import processes
from faulty import Model, data, faulty, log_of_zero, root_of_zero, traced
from gradcore.monitors import trace_nonfinite

WAYS = pytest.mark.parametrize("at_once", [None, False], ids=["at once", "later"])


@WAYS
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_blocks_are_traced(reentrant, at_once):
    model = faulty(root_of_zero)

    class Saving(nn.Module):
        def forward(self, x):
            x = model.embedding(x)
            for block in model.blocks:
                x = checkpoint(block, x, use_reentrant=reentrant)
            return model.head(x)

    saving = Saving()
    saving.inner = model
    event = traced(saving, at_once=at_once)

    assert (event.module, event.direction) == ("inner.blocks.1", "backward")
    assert event.operation == "SqrtBackward0"


@WAYS
def test_masks_of_minus_infinity_are_no_fault_and_do_not_hide_one(at_once):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    mask = nn.Transformer.generate_square_subsequent_mask(5)

    def event_of():
        with trace_nonfinite(model, action="log", at_once=at_once) as tracer:
            model(torch.randn(3, 5, 8), mask=mask).sum().backward()
        return tracer.event

    assert event_of() is None
    nn.init.constant_(model.layers[1].self_attn.out_proj.bias, math.nan)
    assert event_of().module == "layers.1.self_attn"


def test_a_module_that_writes_into_its_input_is_blamed_for_what_it_wrote():
    class Log(nn.Module):
        def forward(self, x):
            return x.log_()

    model = nn.Sequential(nn.Linear(4, 4), Log())
    nn.init.constant_(model[0].bias, -100.0)

    assert traced(model).module == "1"


def test_nodes_of_modules_that_work_in_place_are_their_own():
    class Explode(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, gradient):
            return gradient * math.nan

    class Exploding(nn.Module):
        def forward(self, x):
            return Explode.apply(x)

    event = traced(nn.Sequential(nn.Linear(4, 4), Exploding(), nn.Linear(4, 4)))
    assert (event.module, event.operation, event.last_clean) == ("1", "ExplodeBackward", "2")


def test_finite_numbers_whose_sum_overflows_are_finite():
    model = nn.Linear(2, 64, bias=False)
    nn.init.constant_(model.weight, 1e38)

    assert traced(model, torch.ones(1, 2), lambda y: (y * 0.0).sum()) is None


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.complex64])
@WAYS
def test_every_dtype_is_looked_at(dtype, at_once):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).to(dtype)
    x = torch.ones(2, 3, dtype=dtype)
    assert traced(model, x, lambda y: y.abs().sum(), at_once=at_once) is None
    with torch.no_grad():
        model[1].bias[1] = math.inf

    event = traced(model, x, lambda y: y.abs().sum(), at_once=at_once)
    assert event.module == "1"
    if at_once is None:
        assert event.outputs[0].posinf == 2


def test_sparse_gradients_and_custom_functions_are_looked_at():
    class Explode(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * math.inf

    class Exploding(nn.Module):
        def forward(self, x):
            return Explode.apply(x)

    model = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Tanh())
    ids = torch.tensor([[0, 1]])
    assert traced(model, ids) is None
    event = traced(nn.Sequential(*model, Exploding()), ids)
    assert (event.module, event.operation) == ("2", "ExplodeBackward")


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype")
@WAYS
def test_nested_tensors_are_looked_at(at_once):
    model = nn.Linear(4, 2)
    parts = [torch.randn(2, 4), torch.randn(3, 4)]
    nested = torch.nested.nested_tensor(parts, layout=torch.jagged)
    with trace_nonfinite(model, action="log", at_once=at_once) as tracer:
        model(nested).values().sum().backward()
        assert tracer.event is None
        nn.init.constant_(model.bias, math.inf)
        model(nested).values().sum().backward()

    assert (tracer.event.module, tracer.event.direction) == ("", "forward")


def test_a_convolutional_net_with_operations_in_place_is_traced():
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten()),
        nn.Linear(4 * 36, 2),
    )
    x = torch.randn(2, 3, 8, 8)
    assert traced(model, x, lambda y: functional.cross_entropy(y, torch.zeros(2).long())) is None
    nn.init.constant_(model[1].weight, math.inf)

    assert traced(model, x).module == "1"


def test_inference_mode_is_traced():
    model = faulty(log_of_zero)
    with torch.inference_mode(), trace_nonfinite(model, action="log") as tracer:
        model(data())

    assert tracer.event.module == "blocks.1"


def test_a_hugging_face_model_is_traced():
    options = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3}
    config = transformers.LlamaConfig(
        **options, num_attention_heads=2, num_key_value_heads=1, vocab_size=32
    )
    model = transformers.LlamaForCausalLM(config)
    ids = torch.randint(32, (2, 8))

    def event_of():
        with trace_nonfinite(model, action="log") as tracer:
            model(input_ids=ids, labels=ids).loss.backward()
        return tracer.event

    assert event_of() is None
    nn.init.constant_(model.model.layers[1].mlp.up_proj.weight, math.inf)
    event = event_of()
    assert (event.module, event.direction) == ("model.layers.1.mlp.up_proj", "forward")


class Token:
    pass


@pytest.mark.parametrize("with_backward", [True, False])
def test_nothing_of_a_finished_step_is_kept_alive(with_backward):
    model, token = Model(), Token()
    alive = weakref.ref(token)
    with trace_nonfinite(model):
        output = model(data())
        output.grad_fn.next_functions[1][0].metadata["held by the graph"] = token
        del token
        assert alive() is not None
        if with_backward:
            output.sum().backward()
        del output
        gc.collect()
        assert alive() is None


def test_hooks_left_on_a_graph_are_silent_after_the_end():
    model = faulty(root_of_zero)
    with trace_nonfinite(model) as tracer:
        loss = model(data()).sum()
    loss.backward()

    assert tracer.event is None


PROCESS = """
from gradcore.monitors import trace_nonfinite

class Root(nn.Module):
    def forward(self, x):
        return x.sqrt()

net = nn.Sequential(nn.Linear(6, 6, bias=False), Root(), nn.Linear(6, 1))
nn.init.constant_(net[0].weight, 0.1)
parallel = nn.parallel.DistributedDataParallel(net)
result = []
at_once = {"at once": None, "later": False}[sys.argv[3]]
for bad in (False, True):
    with trace_nonfinite(net, action="log", at_once=at_once) as tracer:
        parallel(torch.full((4, 6), 0.0 if bad and rank == 1 else 1.0)).sum().backward()
    event = tracer.event
    result.append(event and [event.module, event.direction, event.operation])
"""


@pytest.mark.parametrize("way", ["at once", "later"])
def test_under_ddp_the_process_that_broke_knows_it_before_gradients_are_averaged(tmp_path, way):
    sound, broken = processes.both(PROCESS, tmp_path, way)

    assert sound == [None, None]
    assert broken == [None, ["1", "backward", "SqrtBackward0"]]
