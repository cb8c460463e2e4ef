"""Checkpoints: a trained network, or a training, on disk.

The file is a safetensors file. Its tensors are the network's state under the network's own names, so that other
programs can load it. Everything else is one JSON document in the file's metadata. A checkpoint that a training can
resume from holds more tensors, whose names start with `TRAINING`.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from maskcls.config import as_dictionary
from maskcls.errors import UserError
from maskcls.models.architecture import build_on_meta
from maskcls.models.document import Document, one_line, read_document
from maskcls.models.tensor_file import TensorFile, TensorFileError, read_metadata, read_tensors, write_tensors
from maskcls.run import ONNX_SUFFIX, find_checkpoint

# start of the names of tensors that are not the network's; modules cannot have a slash in their names
TRAINING = "training/"
# bounds of a file: copies of the network (weights, average, optimizer's moments), and bytes of everything else
MAX_COPIES, MAX_OTHER_BYTES = 8, 2**25
OPTIMIZER, AVERAGE, RANDOM = f"{TRAINING}optimizer/", f"{TRAINING}average/", f"{TRAINING}random/"


@dataclass(frozen=True)
class Snapshot:
    """Tensors that resuming needs, on any device.

    Attributes:
        optimizer: state of the optimizer: by position of the parameter, then by name.
        average: average of the network's state, empty without one.
        random: states of the random generators, by name.
    """

    optimizer: Mapping[int, Mapping[str, Tensor]]
    average: Mapping[str, Tensor]
    random: Mapping[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory.

    Attributes:
        weights: the network's state, by the network's own names.
        document: everything that is not a tensor.
        snapshot: tensors that resuming needs, None in a checkpoint for inference.
        path: the file that it was read from.
    """

    weights: Mapping[str, Tensor]
    document: Document
    snapshot: Snapshot | None = None
    path: Path | None = None

    @property
    def evaluated_weights(self) -> Mapping[str, Tensor]:
        """The network's state that validation measured: the average, if there is one."""
        return self.weights if self.snapshot is None or not self.snapshot.average else self.snapshot.average

    def for_inference(self) -> "Checkpoint":
        """The same without what only resuming needs."""
        document = dataclasses.replace(self.document, training=None)
        return Checkpoint(self.evaluated_weights, document, path=self.path)


def save_checkpoint(path: Path, checkpoint: Checkpoint, previous: Path | None = None) -> None:
    """Write a checkpoint, atomically.

    Args:
        path: the file to write.
        previous: where the checkpoint that is replaced goes.

    Raises:
        OSError: if the disk does not take it; both files are as they were.
    """
    tensors = dict(checkpoint.weights)
    if (snapshot := checkpoint.snapshot) is not None:
        for position, state in snapshot.optimizer.items():
            tensors |= {f"{OPTIMIZER}{position}/{name}": tensor for name, tensor in state.items()}
        tensors |= {f"{AVERAGE}{name}": tensor for name, tensor in snapshot.average.items()}
        tensors |= {f"{RANDOM}{name}": tensor for name, tensor in snapshot.random.items()}
    document = json.dumps(as_dictionary(checkpoint.document), allow_nan=False)
    write_tensors(path, TensorFile(tensors, document), previous)


def read_about(path: Path, key: str = "ckpt") -> tuple[Document, str]:
    """Read a checkpoint's document and digest, without the tensors. The rest is as for `load_checkpoint`."""
    path = find_checkpoint(path, key)
    try:
        metadata = read_metadata(path)
        return read_document(metadata.document), metadata.digest
    except (TensorFileError, UserError) as error:
        raise UserError(f"{key}={path}: {one_line(error)}") from None


def load_checkpoint(path: Path, key: str = "ckpt") -> Checkpoint:
    """Read a checkpoint onto the CPU. The weights are known to fit the network.

    Args:
        path: as `find_checkpoint` takes it.
        key: configuration key that names the path, for messages.

    Raises:
        UserError: if the file is missing, damaged, or not a checkpoint of this version of maskcls.
    """
    path = find_checkpoint(path, key)
    if path.suffix.lower() == ONNX_SUFFIX:
        raise UserError(f"{key}={path}: an exported network, which is evaluated and used; here a checkpoint is needed")
    try:
        metadata = read_metadata(path)
        document = read_document(metadata.document)
        expected = build_on_meta(document.model, len(document.classes), document.input_size).state_dict()
        _require_size(path, expected)  # before the tensors are in memory
        checkpoint = _checkpoint(read_tensors(path, metadata).tensors, document)
        require_fit(checkpoint.weights, expected)
        if checkpoint.snapshot is not None and checkpoint.snapshot.average:
            require_fit(checkpoint.snapshot.average, expected)
    except (TensorFileError, UserError) as error:
        raise UserError(f"{key}={path}: {one_line(error)}") from None
    return dataclasses.replace(checkpoint, path=path)


def load_training(path: Path) -> Checkpoint:
    """Read a checkpoint that a training can resume from. Raises as `load_checkpoint` does."""
    checkpoint = load_checkpoint(path)
    if checkpoint.snapshot is None:
        raise UserError(f"ckpt={path}: holds a network for inference only; a training resumes from last.safetensors")
    return checkpoint


def _checkpoint(tensors: Mapping[str, Tensor], document: Document) -> Checkpoint:
    """Sort tensors by what their names say they are."""
    if document.training is None:
        return Checkpoint(tensors, document)
    parts: dict[str, dict[str, Tensor]] = {OPTIMIZER: {}, AVERAGE: {}, RANDOM: {}, "": {}}
    for name, tensor in tensors.items():
        prefix = next(prefix for prefix in parts if name.startswith(prefix))
        parts[prefix][name.removeprefix(prefix)] = tensor
    optimizer: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts[OPTIMIZER].items():
        if not (found := re.fullmatch(r"([0-9]{1,6})/(.+)", name)):
            raise UserError(f"{name!r:.100} is not a name of the optimizer's state")
        optimizer.setdefault(int(found[1]), {})[found[2]] = tensor
    return Checkpoint(parts[""], document, Snapshot(optimizer, parts[AVERAGE], parts[RANDOM]))


def _require_size(path: Path, expected: Mapping[str, Tensor]) -> None:
    """Refuse a file that is far larger than a training of the network that it names can be."""
    largest = MAX_COPIES * sum(tensor.nbytes for tensor in expected.values()) + MAX_OTHER_BYTES
    if path.stat().st_size > largest:
        raise UserError(f"larger than the {largest:,} bytes that a training of the model that it names can take")


def require_fit(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Check weights against a network's state.

    Raises:
        UserError: naming the first weight that is missing, superfluous, different or not finite.
    """
    problem = "its weights do not fit the model that it names"
    for name in sorted(expected.keys() ^ weights.keys()):
        raise UserError(f"{problem}: {name!r:.100} is {'missing' if name in expected else 'superfluous'}")
    for name, value in expected.items():
        found = weights[name]
        if (found.shape, found.dtype) != (value.shape, value.dtype):
            raise UserError(
                f"{problem}: {name} is {tuple(found.shape)} {found.dtype}, expected {tuple(value.shape)} {value.dtype}"
            )
        if not torch.isfinite(found).all():
            raise UserError(f"its weights are not finite numbers: {name}")
