"""Train the kind of model whose gradients blow up: open quantum systems that read source code.

Every character of a text is a site of a chain.  A network gives each site a complex energy V - iG,
G > 0 being the rate at which it loses what is on it; sites exchange with their neighbours.  What
remains at a site after all that, the diagonal of the resolvent (H - z)^-1, tells the next layer of
everything around it.  The task: of each character of Python's standard library, whether it belongs
to a name, a keyword, a number, a string, a comment or an operator, as `tokenize` has it.

    python examples/non_hermitian.py --steps 300 --picture non_hermitian.png

NaN, infinities and spikes are planted into the gradients on the way; `gradcore.safe_step` stands
between them and the model.
"""

from __future__ import annotations

import argparse
import math
import random
from typing import TYPE_CHECKING

import torch
from source_code import KINDS, guess_by_character, read_library
from torch import Tensor, nn
from torch.nn import functional

import gradcore

if TYPE_CHECKING:
    from gradcore import History

LENGTH = 64
BATCH = 32


def resolvent_diagonal(energies: Tensor, hopping: Tensor, z: Tensor) -> Tensor:
    """Diagonal of ``(H - z)^-1`` of a symmetric tridiagonal H, in O(N).

    With theta_i the determinant of the leading i sites and phi_i that of those from i on, the
    diagonal is ``theta_{i-1} phi_{i+1} / theta_N`` (R. A. Usmani, "Inversion of a tridiagonal
    Jacobi matrix", Linear Algebra and its Applications 212/213, 1994).  The determinants grow and
    shrink exponentially with N; their ratios ``theta_i / theta_{i-1}``, a continued fraction, do
    not, and are all that is needed.  If every energy has an imaginary part of at most -G, so has
    every ratio, since ``-t^2 / r`` has the sign of ``r`` there: nothing is divided by less than G.

    Args:
        energies: Diagonal of H, complex ``[..., N]``, imaginary parts below that of ``z``.
        hopping: What stands beside the diagonal, real; one for all.
        z: 0-d, real or complex.

    Returns:
        ``[..., N]``, complex.
    """
    both = torch.stack((energies, energies.flip(-1))) - z
    square = hopping.square()
    neighbours = torch.zeros_like(both[..., 0])
    fractions = []
    for site in both.unbind(-1):
        fractions.append(neighbours)
        neighbours = square / (site - neighbours)
    left, right = torch.stack(fractions, -1)
    return (both[0] - left - right.flip(-1)).reciprocal()


class NonHermitianPotential(nn.Module):
    """Complex energies V - iG of real features, with G above ``least_decay`` > 0.

    Maps ``[batch, N, width]`` to complex ``[batch, N, chains]``, complex64 for float32.
    """

    def __init__(self, width: int, chains: int, least_decay: float = 0.05) -> None:
        super().__init__()
        self.least_decay = least_decay
        self.parts = nn.Linear(width, 2 * chains)

    def forward(self, features: Tensor) -> Tensor:
        """Give every site of every chain its energy."""
        level, decay = self.parts(features).chunk(2, dim=-1)
        return torch.complex(level, -(functional.softplus(decay) + self.least_decay))


class DissipativeBKLayer(nn.Module):
    """What remains at each site of open chains, as features: ``[batch, N, width]`` to the same."""

    def __init__(self, width: int, chains: int) -> None:
        super().__init__()
        self.potential = NonHermitianPotential(width, chains)
        self.hopping = nn.Parameter(torch.tensor(1.0))
        self.z = nn.Parameter(torch.tensor(0.0))
        self.output = nn.Linear(chains, width, dtype=torch.complex64)

    def forward(self, features: Tensor) -> Tensor:
        """Let each chain settle, and read off its sites."""
        energies = self.potential(features).transpose(-1, -2)
        diagonal = resolvent_diagonal(energies, self.hopping, self.z)
        return self.output(diagonal.transpose(-1, -2)).real


class Reader(nn.Module):
    """Embeds characters, passes them through open chains, and names their kinds."""

    def __init__(self, width: int = 48, chains: int = 16, depth: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(128, width)
        self.local = nn.Conv1d(width, width, 3, padding=1)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.layers = nn.ModuleList(DissipativeBKLayer(width, chains) for _ in range(depth))
        self.output = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(KINDS)))

    def forward(self, text: Tensor) -> Tensor:
        """Map int64 ``[batch, N]``, ASCII, to logits ``[batch, N, kinds]``."""
        x = self.embedding(text)
        x = x + functional.silu(self.local(x.transpose(1, 2))).transpose(1, 2)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + layer(norm(x))
        return self.output(x)


def plant(model: nn.Module, draw: random.Random) -> str:
    """Spoil one element of one gradient, and say how."""
    gradient = draw.choice([p.grad for p in model.parameters()])
    value = draw.choice((math.nan, math.inf, -math.inf, 1e25))
    gradient.view(-1)[draw.randrange(gradient.numel())] = value
    return str(value)


def train(
    model: Reader, text: Tensor, kinds: Tensor, *, steps: int, seed: int, rate: float = 1 / 12
) -> tuple[list[float], dict[int, str], History]:
    """Train on random windows, and spoil a gradient in a share ``rate`` of the steps.

    Returns:
        The losses of all steps in nats a character, what was planted by step, and the guard's
        history.
    """
    draw = random.Random(seed)  # noqa: S311 - nothing secret
    optimizer = torch.optim.Adam(model.named_parameters(), lr=5e-3)
    guard = gradcore.Guard(model, max_norm=1.0)
    losses: list[float] = []
    planted: dict[int, str] = {}
    for step in range(steps):
        window = torch.randint(len(text) - LENGTH, (BATCH, 1)) + torch.arange(LENGTH)
        loss = functional.cross_entropy(model(text[window]).flatten(0, 1), kinds[window].flatten())
        optimizer.zero_grad()
        loss.backward()
        if draw.random() < rate:
            planted[step] = plant(model, draw)
        report = gradcore.safe_step(optimizer, guard=guard, loss=loss)
        losses.append(loss.item())
        if step % 10 == 0 or step == steps - 1:
            print(f"loss {losses[-1]:.4f}")
        if step in planted:
            outcome = "skipped" if report.skipped else f"norm {report.norm:.3g} clipped"
            print(f"  step {step}: {planted[step]} planted, {outcome}")
    return losses, planted, guard.history


@torch.no_grad()
def accuracy(model: Reader, text: Tensor, kinds: Tensor) -> float:
    """Share of characters whose kind is named right."""
    whole = len(text) // LENGTH * LENGTH
    guesses = model(text[:whole].reshape(-1, LENGTH)).argmax(-1).flatten()
    return (guesses == kinds[:whole]).float().mean().item()


def draw_picture(path: str, losses: list[float], planted: dict[int, str], history: History) -> None:
    """Draw loss and gradient norm by step, with what was planted."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - the picture alone needs it

    figure = Figure(figsize=(9, 6), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    above.plot(losses, color="tab:blue")
    above.set(ylabel="loss, nats a character", ylim=(0, None))
    above.set_title("A dissipative chain learns to read Python, faults and all")
    norms = [report.norm for report in history]
    below.plot(norms, color="tab:gray", label="norm before clipping")
    below.axhline(1.0, color="black", linewidth=0.8, linestyle="--", label="clipped to")
    below.set(ylabel="norm of the gradients", xlabel="step", yscale="log")
    for value, color in (("nan", "tab:red"), ("inf", "tab:orange"), ("1e+25", "tab:purple")):
        struck = [step for step, what in planted.items() if what.lstrip("-") == value]
        below.plot(struck, [norms[s] for s in struck], "o", color=color, label=f"{value} planted")
    below.legend(loc="center right")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train, print losses and statistics, and draw the picture if one is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", metavar="FILE", help="where to draw loss and norms (PNG)")
    options = parser.parse_args()
    training, (text, kinds) = read_library()
    torch.manual_seed(options.seed)
    model = Reader()
    losses, planted, history = train(model, *training, steps=options.steps, seed=options.seed)
    alone = (guess_by_character(training, text) == kinds).float().mean().item()
    print(f"files never trained on: {accuracy(model, text, kinds):.1%} of the characters right;")
    print(f"  {alone:.1%} by looking at each character alone")
    finite = all(p.isfinite().all() for p in model.parameters())
    print(f"faults planted {len(planted)}, model finite: {'yes' if finite else 'no'}")
    summary = history.summary()
    for key in ("steps", "p50_norm", "p90_norm", "max_norm", "skip_rate", "clip_rate"):
        print(f"{key} {summary[key]:.4g}")
    if options.picture:
        draw_picture(options.picture, losses, planted, history)
        print(f"picture {options.picture}")


if __name__ == "__main__":
    main()
