"""Checkpoints: what a trained model, or a training, is on disk."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskcls.config import AnyDataConfig, parse_stored_data, parse_stored_model
from maskcls.data.index import is_class_name
from maskcls.data.loaders import Normalize
from maskcls.data.statistics import Normalization
from maskcls.errors import UserError
from maskcls.models import build_model
from maskcls.models.archive import read_archive, write_archive
from maskcls.models.inspection import ArchiveError
from maskcls.models.precision import DTYPES
from maskcls.run import find_checkpoint

FORMAT = "maskcls"
VERSION = 2

# what inference needs, and its type
CONTENTS: dict[str, type | tuple[type, ...]] = {
    "format": str,
    "version": int,
    "model": dict,
    "config": dict,
    "classes": list,
    "positive_class": (str, type(None)),
    "normalization": dict,
    "input_size": int,
    "precision": str,
    "temperature": float,
    "threshold": float,
    "data_fingerprint": str,
    "progress": dict,
}
# what resuming needs besides
TRAINING_CONTENTS: dict[str, type | tuple[type, ...]] = {
    "optimizer": dict,
    "schedule": dict,
    "scaler": dict,
    "ema": (dict, type(None)),
    "rng": dict,
    "rows": list,
    "retries": int,
    "epoch_so_far": (dict, type(None)),
}
MAX_INPUT_SIZE = 4096
MAX_CLASSES = 10_000
MAX_EPOCHS = 10**6
# images at a time that a checkpoint, which may be a stranger's, can ask for
MAX_BATCH_SIZE = 1024


def save_checkpoint(path: Path, content: Mapping[str, Any], previous: Path | None = None) -> None:
    """Write a checkpoint, atomically; format and version are added.

    Args:
        previous: where the checkpoint that is replaced goes.
    """
    write_archive(path, {"format": FORMAT, "version": VERSION, **content}, previous)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, without running any code that it may hold.

    Raises:
        UserError: where the file is missing, damaged or not a checkpoint of maskcls.
    """
    path = find_checkpoint(path)
    try:
        content = read_archive(path)
    except ArchiveError as error:
        raise UserError(f"ckpt={path}: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"ckpt={path}: not a checkpoint of maskcls (no format '{FORMAT}' in it)")
    if content.get("version") != VERSION:
        raise UserError(f"ckpt={path}: of format version {content.get('version')!r:.50}, this maskcls reads {VERSION}")
    for key, kind in CONTENTS.items():
        value = content.get(key, ...)
        if not isinstance(value, kind) or isinstance(value, bool):  # true is no number
            raise UserError(f"ckpt={path}: '{key}' is missing or of a wrong type")
    if (fault := _fault(content)) is not None:
        raise UserError(f"ckpt={path}: {fault}")
    return content


def load_training(path: Path) -> dict[str, Any]:
    """Read a checkpoint that a training can go on from. Raises as `load_checkpoint` does."""
    content = load_checkpoint(path)
    for key, kind in TRAINING_CONTENTS.items():
        if not isinstance(content.get(key, ...), kind):
            raise UserError(f"ckpt={path}: '{key}' is missing or of a wrong type: no training can go on from it")
    return content


def _fault(content: Mapping[str, Any]) -> str | None:
    """What is wrong with the values, None where they make sense."""
    classes = content["classes"]
    if not all(isinstance(name, str) and is_class_name(name) for name in classes):
        return "'classes' holds what cannot be a folder's name"
    if not 1 < len(classes) <= MAX_CLASSES or len(set(classes)) < len(classes):
        return "'classes' are not two names or more, each another"
    if content["positive_class"] not in (None, *classes):
        return "'positive_class' is none of its classes"
    values = content["normalization"]
    if set(values) != {"mean", "std"} or not all(_are_numbers(values[key], 3) for key in values):
        return "'normalization' is not a mean and a std of three channels"
    if min(values["std"]) <= 0:
        return "'normalization' divides by zero"
    if not 8 <= content["input_size"] <= MAX_INPUT_SIZE:
        return f"'input_size' is not from 8 to {MAX_INPUT_SIZE}"
    if content["precision"] not in DTYPES:
        return f"'precision' is not one of {', '.join(DTYPES)}"
    if not 0 < content["temperature"] < math.inf or not 0 <= content["threshold"] <= 1:
        return "'temperature' or 'threshold' is out of range"
    if not content["data_fingerprint"].isalnum() or len(content["data_fingerprint"]) > 128:
        return "'data_fingerprint' is no hash"
    if not isinstance(epoch := content["progress"].get("epoch"), int) or not 0 <= epoch <= MAX_EPOCHS:
        return "'progress' has no epoch"
    averaged = content.get("ema")
    if averaged is not None and not isinstance(averaged, dict):
        return "'ema' holds no weights"
    for weights in (content["model"], *([averaged.get("weights")] if averaged else [])):
        if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
            return "'model' or 'ema' holds something that is no tensor"
        if not all(isinstance(name, str) for name in weights):
            return "'model' or 'ema' holds a weight without a name"
        if not all(torch.isfinite(value).all() for value in weights.values()):
            return "its weights are not finite numbers"
    return None


def _are_numbers(values: Any, count: int) -> bool:
    return (
        isinstance(values, list | tuple)
        and len(values) == count
        and all(isinstance(value, float | int) and math.isfinite(value) for value in values)
    )


def training_data(content: Mapping[str, Any], path: Path) -> AnyDataConfig:
    """The data configuration that a checkpoint was trained with, evaluating no more than `MAX_BATCH_SIZE` at a time.

    Raises:
        UserError: where it makes no sense.
    """
    try:
        config = parse_stored_data(content["config"].get("data"))
    except UserError as error:
        raise UserError(f"ckpt={path}: its configuration is none of this maskcls: {error}") from None
    return dataclasses.replace(config, eval_batch_size=min(config.eval_batch_size, MAX_BATCH_SIZE))


def restore_model(content: Mapping[str, Any], path: Path, device: torch.device) -> tuple[nn.Module, Normalize]:
    """Build a checkpoint's network in evaluation mode, with its averaged weights where it has them, on a device.

    Args:
        content: as `load_checkpoint` returns it.
        path: of the file, for the message.

    Returns:
        The network, and the normalization of its input.

    Raises:
        UserError: where the weights do not fit the network that the checkpoint names.
    """
    weights = content["model"] if content.get("ema") is None else content["ema"]["weights"]
    try:
        config = parse_stored_model(content["config"].get("model"), content["input_size"])
    except UserError as error:
        raise UserError(f"ckpt={path}: the model that it names is none of this maskcls: {error}") from None
    with torch.device("meta"):  # takes no memory, however large a model is claimed to be
        named = {**dataclasses.asdict(config), "pretrained": False}
        model = build_model(named, len(content["classes"]), content["input_size"])
    require_fit(weights, model, path)
    model.load_state_dict(weights, assign=True)
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.eval(), Normalize(Normalization(**content["normalization"])).to(device)


def require_fit(weights: Mapping[str, Tensor], model: nn.Module, path: Path) -> None:
    """Check names, shapes and types of weights against a network's.

    Raises:
        UserError: naming the first that is missing, superfluous or different.
    """
    expected = model.state_dict()
    for name in sorted(expected.keys() ^ weights.keys()):
        raise UserError(
            f"ckpt={path}: its weights do not fit the model that it names: {name!r:.100} is "
            f"{'missing' if name in expected else 'superfluous'}"
        )
    for name, value in expected.items():
        found = weights[name]
        if (found.shape, found.dtype) != (value.shape, value.dtype):
            raise UserError(
                f"ckpt={path}: its weights do not fit the model that it names: {name} is {tuple(found.shape)} "
                f"{found.dtype}, expected {tuple(value.shape)} {value.dtype}"
            )
