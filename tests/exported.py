"""Exported networks, and ONNX files that only look like them."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from checkpoints import inference_checkpoint, ready

from maskcls.export.formats import About, write_onnx
from maskcls.export.graph import Exported
from maskcls.models.checkpoint import Checkpoint
from maskcls.models.document import Document
from maskcls.models.onnx_file import DOCUMENT, read_sealed, write_sealed
from maskcls.models.torch_network import TorchNetwork


def traced(checkpoint: Checkpoint) -> Exported:
    """A checkpoint's network as it is exported."""
    network = ready(checkpoint).network
    assert isinstance(network, TorchNetwork)
    return Exported(network).eval()


def about(document: Document, card: str = "") -> About:
    """What an exported file says."""
    return About(dataclasses.replace(document, training=None), card)


def write_exported(path: Path, checkpoint: Checkpoint | None = None, card: str = "") -> Path:
    """Write the network of a checkpoint as an ONNX file, and return its path."""
    checkpoint = checkpoint or inference_checkpoint()
    write_onnx(path, traced(checkpoint), about(checkpoint.document, card))
    return path


def rewrite(path: Path, source: Path, changes: Mapping[str, Any] | None = None, text: str | None = None) -> Path:
    """Write an ONNX file whose document has other values, or is another text; its digest is right."""
    import onnx

    model = onnx.load_from_string(read_sealed(source))
    for member in model.metadata_props:
        if member.key == DOCUMENT:
            values = json.loads(member.value)
            for key, value in (changes or {}).items():
                values[key] = value
            member.value = text if text is not None else json.dumps(values)
    del model.metadata_props[-1]  # the digest
    write_sealed(path, model.SerializeToString())
    return path
