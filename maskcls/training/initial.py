"""Starting a training from the weights of another one."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from maskcls.config import ModelConfig, VGG16Config
from maskcls.errors import UserError
from maskcls.models.architecture import build_on_meta
from maskcls.models.checkpoint import load_checkpoint, read_about
from maskcls.models.document import Document
from maskcls.training.state import TrainingState
from maskcls.wording import named

log = logging.getLogger(__name__)


def origin_of(path: Path, model: ModelConfig) -> dict[str, Any]:
    """Where initial weights come from, for ``run.json``.

    Args:
        path: as `find_checkpoint` takes it.
        model: the network that is to start from them.

    Raises:
        UserError: if there is no checkpoint, or it is of another network.
    """
    document, digest = read_about(path, "init")
    if document.model.name != model.name:
        raise UserError(
            f"init={path}: holds the weights of {document.model.name}, which do not fit model={model.name}; "
            f"give model={document.model.name}"
        )
    held = document.model
    if isinstance(held, VGG16Config) and isinstance(model, VGG16Config) and held.batch_norm != model.batch_norm:
        raise UserError(
            f"init={path}: holds the weights of a VGG-16 {'with' if held.batch_norm else 'without'} batch "
            f"normalization; give model.batch_norm={str(held.batch_norm).lower()}"
        )
    return {
        "path": str(path),
        "sha256": digest,
        "epoch": document.progress.epoch,
        "classes": list(document.classes),
        "data_fingerprint": document.data_fingerprint,
    }


def start_from(state: TrainingState, path: Path, digest: str, about: Document) -> None:
    """Put a checkpoint's weights into a new training, and log what was and what was not taken over.

    The last layer stays new if the checkpoint has other classes, or a last layer of another size.

    Args:
        state: the training, before its first step.
        path: as `find_checkpoint` takes it.
        digest: digest of the checkpoint when the training was begun first.
        about: what the checkpoints of the training have in common.

    Raises:
        UserError: if the checkpoint cannot be read, or is another one by now.
    """
    checkpoint = load_checkpoint(path, "init")
    if read_about(path, "init")[1] != digest:
        raise UserError(f"init={path}: has changed since this training began; start a new training")
    found, weights, own = checkpoint.document, checkpoint.evaluated_weights, state.model.state_dict()
    layer = last_layer(about.model, about.input_size)
    is_new = found.classes != about.classes or any(weights[name].shape != own[name].shape for name in layer)
    new = layer if is_new else []
    state.model.load_state_dict(own | {name: value for name, value in weights.items() if name not in new})
    log.info("init: weights of epoch %d of %s (sha256 %s)", found.progress.epoch, path, digest)
    if found.classes != about.classes:
        log.warning(
            "init: new values for %s: the checkpoint has other classes, %s",
            _listed(new),
            _listed(map(named, found.classes)),
        )
    elif new:
        log.warning("init: new values for %s: the checkpoint was trained at %d pixels", _listed(new), found.input_size)
    for name in ("input_size", "resize"):
        before, now = getattr(found, name), getattr(about, name)
        if before != now:
            log.warning("init: the checkpoint was trained with data.%s=%s, this training has %s", name, before, now)
    if found.normalization != about.normalization:
        log.warning("init: the checkpoint was trained with another data.normalization")
    log.info("init: not taken over: its temperature and threshold, its optimizer's state and its random numbers")


def last_layer(model: ModelConfig, input_size: int) -> list[str]:
    """Names of the weights whose shape depends on the number of classes."""
    two, three = (build_on_meta(model, classes, input_size).state_dict() for classes in (2, 3))
    return [name for name in two if two[name].shape != three[name].shape]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
