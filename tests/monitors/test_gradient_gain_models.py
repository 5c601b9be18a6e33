"""The gain monitor in models as people have them: Hugging Face's, and several processes."""

from __future__ import annotations

import math

import pytest
import torch
import transformers

import processes
from gradcore.monitors import GradientGainMonitor

SMALL = {
    "gpt2": (
        transformers.GPT2LMHeadModel,
        {"n_embd": 16, "n_layer": 3, "n_head": 2, "vocab_size": 32, "n_positions": 16},
        lambda model: model.transformer.h,
    ),
    "llama": (
        transformers.LlamaForCausalLM,
        {
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "vocab_size": 32,
        },
        lambda model: model.model.layers,
    ),
    "bert": (
        transformers.BertForMaskedLM,
        {
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "vocab_size": 32,
            "max_position_embeddings": 16,
        },
        lambda model: model.bert.encoder.layer,
    ),
}


def norm(tensor):
    return math.sqrt(math.fsum(x * x for x in tensor.detach().double().ravel().tolist()))


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated")
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_the_layers_of_a_hugging_face_model_are_measured(name, checkpointing):
    kind, options, layers = SMALL[name]
    model = kind(kind.config_class(**options)).train()
    ids = torch.randint(32, (2, 8))

    def loss_of():
        torch.manual_seed(7)  # dropout
        return model(input_ids=ids, labels=ids, output_hidden_states=True, use_cache=False)

    outputs = loss_of()
    # The last hidden state has gone through a final norm: it is not a layer's output.
    between = outputs.hidden_states[1:-1]
    expected = [norm(g) for g in torch.autograd.grad(outputs.loss, between)]

    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    with GradientGainMonitor(layers(model)) as monitor:
        loss_of().loss.backward()

    assert monitor.norms()[:-1] == pytest.approx(expected, rel=1e-4)
    assert monitor.gains()[0] == pytest.approx(expected[0] / expected[1], rel=1e-4)
    assert monitor.summary_stats()["num_missing"] == 0


def test_whole_models_that_return_hugging_face_outputs_can_be_the_blocks():
    kind, options, _ = SMALL["bert"]
    towers = [transformers.BertModel(kind.config_class(**options)).eval() for _ in range(2)]
    embeddings = torch.randn(2, 8, 16)

    def run():
        first = towers[0](inputs_embeds=embeddings).last_hidden_state
        return first, towers[1](inputs_embeds=first).last_hidden_state

    outputs = run()
    gradients = torch.autograd.grad(outputs[-1].exp().sum(), outputs)
    with GradientGainMonitor(towers) as monitor:
        run()[-1].exp().sum().backward()

    assert monitor.norms() == pytest.approx([norm(g) for g in gradients], rel=1e-4)


PROCESS = """
from gradcore.monitors import GradientGainMonitor

net = nn.Sequential(*(nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(3))).double()
x = torch.full((4, 6), 0.25 + rank, dtype=torch.float64)
outputs = [x]
for block in net:
    outputs.append(block(outputs[-1]))
gradients = torch.autograd.grad(outputs[-1].square().sum(), outputs[1:])
expected = [sum(g.square().ravel().tolist()) ** 0.5 for g in gradients]
bucket_view = sys.argv[3] == "True"
parallel = nn.parallel.DistributedDataParallel(net, gradient_as_bucket_view=bucket_view)
seen = []
with GradientGainMonitor(net) as monitor:
    for _ in range(2):
        parallel(x).square().sum().backward()
        seen.append(monitor.norms())
        monitor.reset()
result = {"expected": expected, "seen": seen}
"""


@pytest.mark.parametrize("bucket_view", [False, True])
def test_under_ddp_each_process_sees_the_gradients_of_its_own_data(tmp_path, bucket_view):
    results = processes.both(PROCESS, tmp_path, bucket_view)

    for result in results:
        for norms in result["seen"]:
            assert norms == pytest.approx(result["expected"], rel=1e-12)
    assert results[0]["expected"] != results[1]["expected"]


SHARDED = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_module, distribute_tensor
from gradcore.monitors import GradientGainMonitor

mesh = init_device_mesh("cpu", (2,))
blocks = [nn.Linear(4, 4).double() for _ in range(2)]
x = torch.randn(6, 4, dtype=torch.float64)

def run(x):
    first = blocks[0](x)
    return first, blocks[1](first)

outputs = run(x)
gradients = torch.autograd.grad(outputs[-1].exp().sum(), outputs)
expected = [sum(g.square().ravel().tolist()) ** 0.5 for g in gradients]
for block in blocks:
    distribute_module(block, mesh)
with GradientGainMonitor(blocks) as monitor:
    run(distribute_tensor(x, mesh, [Shard(0)]))[-1].exp().sum().backward()
result = [expected, monitor.norms()]
"""


def test_gradients_that_are_sharded_are_measured_whole(tmp_path):
    for expected, found in processes.both(SHARDED, tmp_path):
        assert found == pytest.approx(expected, rel=1e-12)
