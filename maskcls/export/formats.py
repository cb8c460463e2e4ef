"""The formats that a network is exported to. Each file is read back, to compare its answers with the checkpoint's."""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from maskcls import __version__
from maskcls.config import as_dictionary
from maskcls.cores import usable_cores
from maskcls.export.graph import Exported, example_images
from maskcls.export.parity import Probabilities
from maskcls.models.document import Document
from maskcls.models.onnx_file import CARD, DOCUMENT, INPUT, LOGITS, PROBABILITIES, write_sealed
from maskcls.models.onnx_network import read_network

if TYPE_CHECKING:
    import onnx

# oldest version of the operators that PyTorch translates to; ONNX Runtime reads it since version 1.14
OPSET = 18


class About(NamedTuple):
    """What an exported file holds beside the network.

    Attributes:
        document: the document of the checkpoint.
        card: the model card of the training, empty where there is none.
    """

    document: Document
    card: str

    def texts(self) -> dict[str, str]:
        """The texts in the file, by their names there."""
        document = json.dumps(as_dictionary(self.document), allow_nan=False)
        return {DOCUMENT: document, **({CARD: self.card} if self.card else {})}


def _onnx_model(exported: Exported, about: About) -> "onnx.ModelProto":
    """Translate a network to ONNX. The number of images in a batch stays open."""
    program = torch.onnx.export(
        exported,
        (example_images(about.document.input_size),),
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[PROBABILITIES, LOGITS],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )
    assert program is not None  # it is None only if a file was named
    model = program.model_proto
    _forget_traces(model)
    model.producer_name, model.producer_version = "maskcls", __version__
    for name, text in about.texts().items():
        model.metadata_props.add(key=name, value=text)
    return model


def _forget_traces(model: "onnx.ModelProto") -> None:
    """Remove what PyTorch notes of the source code: lines of it, and paths on this machine."""
    graph = model.graph
    parts: Iterable[Any] = (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info)
    for part in (*parts, *graph.initializer):
        del part.metadata_props[:]


def write_onnx(path: Path, exported: Exported, about: About) -> Probabilities:
    """Write a network as ONNX, and return what computes its probabilities from the file."""
    write_sealed(path, _onnx_model(exported, about).SerializeToString())
    network = read_network(path, "cpu", usable_cores())
    return lambda images: network.outputs(images).probabilities


def write_torch_export(path: Path, exported: Exported, about: About) -> Probabilities:
    """Write a network for `torch.export.load`, and return what computes its probabilities from the file."""
    images = example_images(about.document.input_size)
    program = torch.export.export(exported, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    buffer = io.BytesIO()  # PyTorch warns of a path that does not end in .pt2
    torch.export.save(program, buffer, extra_files=about.texts())
    path.write_bytes(buffer.getvalue())
    network = torch.export.load(io.BytesIO(path.read_bytes())).module()

    @torch.inference_mode()
    def probabilities(images: np.ndarray) -> np.ndarray:
        found: np.ndarray = network(torch.from_numpy(images))[0].numpy()
        return found

    return probabilities
