"""Checkpoints of a tiny network, and files that only look like checkpoints."""

import copy
import dataclasses
import json
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskcls.config import MyCNNConfig, as_dictionary
from maskcls.config.types import PrecisionName
from maskcls.data.statistics import Normalization
from maskcls.models.architecture import build_model
from maskcls.models.checkpoint import Checkpoint, Snapshot
from maskcls.models.document import Document, EpochRow, Progress, RandomState, TrainingDocument
from maskcls.models.network import TrainedNetwork
from maskcls.models.precision import Precision
from maskcls.models.tensor_file import LENGTH_BYTES, TensorFile, write_tensors
from maskcls.models.torch_network import restore_network

SIZE = 16
CLASSES = ("WithMask", "WithoutMask")
MODEL = MyCNNConfig(name="mycnn", default_input_size=32, dropout=0.25)


class Missing(Enum):
    """What stands for a key that is left out."""

    KEY = "missing"


def weights(seed: int = 0) -> dict[str, Tensor]:
    """The state of a new network; each seed gives another one."""
    torch.manual_seed(seed)
    return build_model(MODEL, len(CLASSES), SIZE, pretrained=False).state_dict()


def row(epoch: int) -> EpochRow:
    """A row of ``metrics.csv``, 7 steps an epoch."""
    return EpochRow(
        epoch=epoch,
        step=7 * epoch,
        learning_rate=0.1 / epoch,
        train_loss=0.7 / epoch,
        train_accuracy=0.5,
        val_loss=0.9 / epoch,
        val_accuracy=0.75,
        images_per_second=123.45,
        seconds=1.5,
        data_wait=0.25,
    )


def inference_checkpoint(seed: int = 0, positive_class: str | None = None, threshold: float = 0.5) -> Checkpoint:
    """A checkpoint as best.safetensors holds it."""
    document = Document(
        model=MODEL,
        classes=CLASSES,
        positive_class=positive_class,
        normalization=Normalization((0.5, 0.4, 0.3), (0.25, 0.2, 0.3)),
        input_size=SIZE,
        precision="float32",
        temperature=1.5,
        threshold=threshold,
        data_fingerprint="0123456789abcdef",
        progress=Progress(epoch=2, step=14, best=row(2), stopping_reference=0.75, epochs_without_improvement=1),
        config={"data": {"name": "folder"}, "epochs": 2},
    )
    return Checkpoint(weights(seed), document)


def ready(checkpoint: Checkpoint, precision: PrecisionName = "float32") -> TrainedNetwork:
    """The network of a checkpoint, ready to run on the CPU."""
    network = restore_network(checkpoint, Precision(precision, "cpu"), torch.device("cpu"))
    return TrainedNetwork(checkpoint.path or Path("best.safetensors"), checkpoint.document, network, "on the CPU")


def training_document(progress: Progress | None = None, **changes: Any) -> Document:
    """The document of a training of two epochs, with changes to what only resuming needs."""
    training = TrainingDocument(
        rows=(row(1), row(2)),
        retries=1,
        scaler={"scale": 65536.0, "_growth_tracker": 3.0},
        average_updates=14,
        random=RandomState(python=(3, None), numpy=(624, 0, 0.0)),
        partial_epoch=None,
    )
    document = inference_checkpoint().document
    return dataclasses.replace(
        document, progress=progress or document.progress, training=dataclasses.replace(training, **changes)
    )


def training_checkpoint() -> Checkpoint:
    """A checkpoint as last.safetensors holds it: Adam, an average of the weights, and random generators."""
    names = ("exp_avg", "exp_avg_sq", "step")
    optimizer = {
        position: {name: torch.full((), 14.0) if name == "step" else torch.randn_like(value) for name in names}
        for position, value in enumerate(weights().values())
    }
    random = {"cpu": torch.get_rng_state(), "python": torch.arange(625), "cuda/0": torch.arange(16, dtype=torch.uint8)}
    return Checkpoint(weights(), training_document(), Snapshot(optimizer, weights(seed=1), random))


def changed(document: Document, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A document as plain values, with changes by key, such as ``progress.step``; `Missing.KEY` removes one."""
    values: dict[str, Any] = copy.deepcopy(as_dictionary(document))
    for key, value in changes.items():
        *outer, last = key.split(".")
        inner: Any = values
        for name in outer:
            inner = inner[int(name) if name.isdecimal() else name]
        if value is Missing.KEY:
            del inner[last]
        else:
            inner[last] = value
    return values


def write_unchecked(path: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any] | str) -> Path:
    """Write a file whose digest is right and whose content may be anything."""
    text = document if isinstance(document, str) else json.dumps(document)
    write_tensors(path, TensorFile(dict(tensors), text))
    return path


def write_raw(path: Path, header: Any, data: bytes = b"") -> Path:
    """Write a safetensors file byte by byte: JSON or bytes as a header, and what follows it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(LENGTH_BYTES, "little") + text + data)
    return path
