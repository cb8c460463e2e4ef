"""Checkpoints: plain dictionaries that ``torch.load(weights_only=True)`` reads."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from maskcls.data.loaders import Normalize
from maskcls.data.statistics import Normalization
from maskcls.errors import UserError
from maskcls.models import build_model
from maskcls.run import find_checkpoint, replaced_atomically

FORMAT = "maskcls"
VERSION = 1

# what inference needs, and its type
CONTENTS: dict[str, type] = {
    "format": str,
    "version": int,
    "model": dict,
    "config": dict,
    "classes": list,
    "normalization": dict,
    "input_size": int,
    "precision": str,
    "data_fingerprint": str,
    "progress": dict,
}


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint, atomically; format and version are added."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_atomically(path) as temporary:
        torch.save({"format": FORMAT, "version": VERSION, **content}, temporary)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, without running any code that it may hold.

    Raises:
        UserError: where the file is missing, damaged or not a checkpoint of maskcls.
    """
    path = find_checkpoint(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file ends in almost any error
        raise UserError(f"ckpt={path}: not a checkpoint of maskcls, or a damaged one") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"ckpt={path}: not a checkpoint of maskcls (no format '{FORMAT}' in it)")
    if content.get("version") != VERSION:
        raise UserError(f"ckpt={path}: of format version {content.get('version')}, this maskcls reads {VERSION}")
    for key, kind in CONTENTS.items():
        if not isinstance(content.get(key), kind):
            raise UserError(f"ckpt={path}: '{key}' is missing or of a wrong type; the file is damaged")
    return content


def restore_model(content: dict[str, Any], path: Path, device: torch.device) -> tuple[nn.Module, Normalize]:
    """Build a checkpoint's network in evaluation mode, with its averaged weights where it has them, on a device.

    Args:
        content: as `load_checkpoint` returns it.
        path: of the file, for the message.

    Returns:
        The network, and the normalization of its input.

    Raises:
        UserError: where the weights do not fit the network that the checkpoint names.
    """
    try:
        weights = content["model"] if content.get("ema") is None else content["ema"]["weights"]
        config = {**content["config"]["model"], "pretrained": False}
        model = build_model(config, len(content["classes"]), content["input_size"])
        model.load_state_dict(weights)
        normalize = Normalize(Normalization(**content["normalization"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"ckpt={path}: its weights do not fit the model that it names: {reason}") from None
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.eval(), normalize.to(device)
