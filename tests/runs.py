"""Trainings through the command line: interrupted, resumed, and compared bit for bit."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from checkpoints import changed, write_unchecked
from tables import read_table
from torch import Tensor
from torture.checkpoints import TIMINGS

from maskcls import cli
from maskcls.models.checkpoint import Checkpoint, load_checkpoint
from maskcls.models.document import read_document
from maskcls.models.tensor_file import read_tensors
from maskcls.run import LAST
from maskcls.training.checkpoints import CheckpointWriter
from maskcls.training.state import TrainingState


def train(root: Path, directory: Path, *overrides: str) -> int:
    """Train on the data set ``root`` into ``directory``; return the exit status."""
    fixed = ("data=folder", "plots=false", "threads=1", "evaluation.equalised_size=null", "precision=float32")
    return cli.main("train", replaced([*fixed, f"data.root={root}", f"hydra.run.dir={directory}"], overrides))


def replaced(fixed: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """All overrides, without those whose keys a later one sets."""
    return list({override.partition("=")[0]: override for override in (*fixed, *overrides)}.values())


def resume(directory: Path, *overrides: str) -> int:
    """Resume a training; return the exit status."""
    return cli.main("train", [f"resume={directory}", *overrides])


def interrupt_at(step: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send this process a signal after as many steps, once."""
    real = CheckpointWriter.save_if_due
    steps = iter(range(1, 10_000))

    def save_if_due(self: CheckpointWriter, state: TrainingState) -> None:
        real(self, state)
        if next(steps) == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(CheckpointWriter, "save_if_due", save_if_due)


def load(directory: Path, name: str = LAST) -> Checkpoint:
    """A checkpoint of a run directory."""
    return load_checkpoint(directory / "checkpoints" / name)


def figures(directory: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without timings."""
    rows = read_table(directory / "metrics.csv")
    return [{name: value for name, value in row.items() if name not in TIMINGS} for row in rows]


def damage(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewrite(path: Path, source: Path, changes: Mapping[str, Any]) -> None:
    """Write a checkpoint whose document has other values, keyed such as ``progress.step``; its digest is right."""
    file = read_tensors(source)
    write_unchecked(path, file.tensors, changed(read_document(file.document), changes))


def tensors_of(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """All tensors of a checkpoint, by names that say what they are."""
    found = {f"weights/{name}": value for name, value in checkpoint.weights.items()}
    if (snapshot := checkpoint.snapshot) is None:
        return found
    for position, values in snapshot.optimizer.items():
        found |= {f"optimizer/{position}/{name}": value for name, value in values.items()}
    found |= {f"average/{name}": value for name, value in snapshot.average.items()}
    return found | {f"random/{name}": value for name, value in snapshot.random.items()}


def differences_of_weights(one: Checkpoint, other: Checkpoint) -> list[str]:
    """Names of the weights in which two networks differ."""
    assert one.weights.keys() == other.weights.keys()
    return sorted(name for name, value in one.weights.items() if not value.equal(other.weights[name]))
