"""What pieces of code that must go wrong may use, as source: each is run by itself."""

from __future__ import annotations

PRELUDE = """
import json, math, os, pathlib, sys, torch
from torch import nn
import gradcore
from gradcore import numerics, plots, testing
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
model(torch.ones(4, 3)).sum().backward()
guard = gradcore.Guard(model)
"""

HELPERS = '''
def answering(*verbs, **attributes):
    """A strategy or policy that always answers with these verbs."""
    answer = type("Answer", (), {"name": "mine", "__call__": lambda *_: verbs, **attributes})
    return answer()

def log(line=None, **changes):
    """Read the log of a run with this line, or with a step that has these fields."""
    start = '{"type":"run","format":"gradcore.log","version":1,"gradcore":"0.1.0","started":"2026"}'
    step = dict(
        type="step", step=0, norm=1.0, clipped_norm=1.0, scale=1.0, clipped=False, repaired=0,
        nonfinite={"nan": 0, "posinf": 0, "neginf": 0}, skipped=False,
    )
    line = json.dumps(step | changes) if line is None else line
    pathlib.Path("run.jsonl").write_text(start + "\\n" + line + "\\n")
    gradcore.History.load("run.jsonl")

def offered(call=None, **attributes):
    """A class for a plugin to offer, which is alright but for what is given."""
    each = {"__doc__": "Answer.", "name": "mine", "__call__": call, **attributes}
    return type("Mine", (), {name: given for name, given in each.items() if given is not None})

def fit(callback, optimizers=1, **options):
    """Train a small module by the Trainer of Lightning."""
    import lightning.pytorch as pl

    class Module(pl.LightningModule):
        automatic_optimization = optimizers == 1

        def __init__(self):
            super().__init__()
            self.net = nn.Linear(3, 1)

        def training_step(self, batch):
            return self.net(batch).sum()

        def configure_optimizers(self):
            return [torch.optim.SGD(self.net.parameters(), lr=0.1) for _ in range(optimizers)]

    off = {name: False for name in ("logger", "enable_checkpointing", "enable_progress_bar")}
    trainer = pl.Trainer(accelerator="cpu", max_steps=1, callbacks=[callback], **off, **options)
    trainer.fit(Module(), torch.utils.data.DataLoader(torch.ones(4, 3)))

def hugging_face(**options):
    """A Trainer of Transformers with a small model."""
    import transformers

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(3, 1)

        def forward(self, batch):
            return {"loss": self.net(batch).sum()}

    settings = transformers.TrainingArguments(
        "out", use_cpu=True, report_to=[], disable_tqdm=True, remove_unused_columns=False,
        save_strategy="no",
    )
    rows = [{"batch": torch.ones(3)} for _ in range(8)]
    return transformers.Trainer(Model(), settings, train_dataset=rows, **options)

def install(distribution, source):
    """Put a package with one plugin where it is found like an installed one."""
    module = distribution.replace("-", "_")
    pathlib.Path(f"{module}.py").write_text(source)
    metadata = pathlib.Path(f"{module}-1.0.dist-info")
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\\nName: {distribution}\\nVersion: 1.0\\n"
    )
    (metadata / "entry_points.txt").write_text(f"[gradcore]\\n{module} = {module}\\n")
'''
