"""Train a small real model with planted faults, three times, and show what happened.

A character transformer learns the text of Python's standard library from one seed: undisturbed;
with faults in its gradients and torch's clipping; with the same faults and gradcore.  The exit
status is 0 if gradcore's run ends finite and near the undisturbed one.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

import gradcore
from gradcore.cli.demo.claim import judge
from gradcore.cli.demo.faults import Fault, schedule
from gradcore.cli.demo.picture import draw
from gradcore.cli.demo.show import Screen
from gradcore.cli.demo.text import Text, read_text, standard_library
from gradcore.cli.demo.training import MAX_NORM, MakeStep, gradcore_step, torch_step, train

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gradcore.cli.demo.outcome import Run

PICTURE: Final = "gradcore-demo.png"
FORMATS: Final = (".png", ".pdf", ".svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``gradcore demo``."""
    parser.add_argument(
        "--steps", type=_steps, default=300, help="batches to train on, in each run (default: 300)"
    )
    parser.add_argument(
        "--seed",
        type=_seed,
        default=0,
        help="of the model, the batches and the faults (default: 0)",
    )
    parser.add_argument(
        "--fault-rate",
        type=_rate,
        default=0.04,
        help="share of the steps whose gradients are disturbed, 0 to 1 (default: 0.04)",
    )
    parser.add_argument(
        "--policy",
        default="skip",
        help="what gradcore does about NaN and Inf: skip, zero, replace, ... (default: skip)",
    )
    parser.add_argument(
        "--out",
        type=_picture,
        default=None,
        metavar="PATH",
        help=f"where the picture goes, a folder or a file (default: {PICTURE}, here)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns 0 if the claim holds, 1 if it does not, 2 if nothing could be run."""
    screen = Screen()
    if arguments.out is not None and find_spec("matplotlib") is None:
        sys.stderr.write("gradcore demo: --out needs matplotlib: pip install matplotlib\n")
        return 2
    picture = Path(PICTURE) if arguments.out is None else arguments.out
    try:
        gradcore.Registry().create("nonfinite", arguments.policy)
        picture.parent.mkdir(parents=True, exist_ok=True)
        text = read_text(standard_library())
    except (gradcore.GradcoreError, OSError, TypeError, ValueError) as error:
        sys.stderr.write(f"gradcore demo: {error}\n")
        return 2
    screen.say(
        f"A small transformer learns the {text.files} files of Python's standard library in"
        f" {standard_library()}, three times from seed {arguments.seed}: undisturbed; with faults"
        " planted in its gradients and torch.nn.utils.clip_grad_norm_; with the same faults and"
        f" gradcore.Guard(model, max_norm={MAX_NORM}, nonfinite={arguments.policy!r})."
    )
    screen.say()
    with _listening() as lines, _one_thread():
        runs = _train_three(arguments, text, screen)
    screen.table(runs)
    screen.logged(lines)
    verdict = judge(*runs)
    screen.verdict(verdict)
    screen.say(_drawn(picture, runs))
    return 0 if verdict.holds else 1


def _train_three(arguments: argparse.Namespace, text: Text, screen: Screen) -> tuple[Run, Run, Run]:
    faults = schedule(arguments.steps, arguments.fault_rate, arguments.seed)
    guarded = gradcore_step(arguments.policy)
    ways: tuple[tuple[str, MakeStep, Mapping[int, Fault]], ...] = (
        ("undisturbed", torch_step, {}),
        ("torch", torch_step, faults),
        ("gradcore", guarded, faults),
    )
    with screen.bars([name for name, _, _ in ways], arguments.steps) as begin:

        def one(name: str, make_step: MakeStep, planted: Mapping[int, Fault]) -> Run:
            finished = train(
                name,
                make_step,
                text=text,
                steps=arguments.steps,
                seed=arguments.seed,
                faults=planted,
                tell=begin(name),
            )
            screen.finished(finished)
            return finished

        undisturbed, by_torch, by_gradcore = (one(*way) for way in ways)
    return undisturbed, by_torch, by_gradcore


def _drawn(path: Path, runs: tuple[Run, Run, Run]) -> str:
    """Draw the picture if that can be done, and say where it is or why there is none."""
    try:
        draw(path, *runs)
    except ModuleNotFoundError:
        return "For a picture of it as well: pip install matplotlib"
    except OSError as error:
        return f"There is no picture: {error}. Say where it may go with --out."
    return f"The picture of it: {path}"


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread for a while.

    So small a model gains little from two, and where other programs use the cores, its many short
    waits for the second thread cost ten times what it saves.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Collect what gradcore logs, which would otherwise land between the bars."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("gradcore")
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated


def _steps(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 2^63 - 1")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0.0 <= rate <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return rate


def _picture(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.suffix:
        return path / PICTURE
    if path.suffix.lower() not in FORMATS:
        raise argparse.ArgumentTypeError(f"{text!r} should end in one of {', '.join(FORMATS)}")
    return path
