"""Everything that depends on what checkpoints are called and how they are stored."""

import csv
import json
from pathlib import Path
from typing import Any

LAST, PREVIOUS, BEST = "last.safetensors", "previous.safetensors", "best.safetensors"
# entry of a file's metadata that holds everything but the tensors, as JSON
DOCUMENT = "maskcls"
# figures that may differ between a run and its repetition
TIMINGS = ("seconds", "images_per_second", "data_wait", "waited")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The tensors and the document of a checkpoint, read without maskcls."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is not a dictionary
        return {"tensors": tensors, "document": json.loads(file.metadata()[DOCUMENT])}


def differences(one: Path, other: Path) -> list[str]:
    """Where two run directories of finished trainings differ. Timings and configurations may differ.

    Returns:
        Places such as ``last.safetensors/tensors/classifier.bias`` and ``run.json/final/train_loss``.
    """
    return unequal(_contents(one), _contents(other))


def _contents(run: Path) -> dict[str, Any]:
    """Everything in a run directory that does not depend on how often the run was interrupted."""
    found: dict[str, Any] = {name: read_checkpoint(run / "checkpoints" / name) for name in (LAST, BEST)}
    with (run / "metrics.csv").open(newline="") as file:
        found["metrics.csv"] = list(csv.DictReader(file))
    record = json.loads((run / "run.json").read_text())
    found["run.json"] = {key: record[key] for key in ("status", "best", "final", "test", "data")}
    found["evaluation"] = {
        path.relative_to(run / "evaluation").as_posix(): path.read_text() for path in run.glob("evaluation/*/*.csv")
    }
    return found


def unequal(a: Any, b: Any, where: str = "") -> list[str]:
    """Where two structures of tensors and plain values differ. Timings and configurations may differ."""
    import torch

    if where.rpartition("/")[2] in (*TIMINGS, "config"):
        return []
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return [] if a.dtype == b.dtype and torch.equal(a, b) else [where]
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [found for key in a for found in unequal(a[key], b[key], f"{where}/{key}".lstrip("/"))]
    if isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        return [found for i in range(len(a)) for found in unequal(a[i], b[i], f"{where}/{i}".lstrip("/"))]
    return [] if type(a) is type(b) and a == b else [where]


def size_of_last(run: Path) -> int:
    """Bytes of the last checkpoint of a run."""
    return (run / "checkpoints" / LAST).stat().st_size


def damaged_checkpoints(run: Path) -> list[str]:
    """What maskcls says of the checkpoints in a run directory that it cannot read."""
    from maskcls.errors import UserError
    from maskcls.models.checkpoint import load_checkpoint

    faults = []
    for name in (LAST, PREVIOUS, BEST):
        path = run / "checkpoints" / name
        try:
            if path.exists():
                load_checkpoint(path)
        except UserError as error:
            faults.append(str(error))
    return faults


def problems_with_damaged_last(run: Path) -> list[str]:
    """What maskcls gets wrong about a run directory whose last checkpoint is damaged."""
    from maskcls.errors import UserError
    from maskcls.models.checkpoint import load_training
    from maskcls.training.checkpoints import latest

    problems = []
    try:
        load_training(run / "checkpoints" / LAST)
        problems.append("not noticed")
    except UserError as error:
        if "\n" in str(error):
            problems.append(f"several lines: {error}")
    found = latest(run / "checkpoints")
    if found is None or found[1].name != PREVIOUS:
        problems.append(f"{PREVIOUS} is not used")
    return problems
