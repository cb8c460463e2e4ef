"""The back end that runs an exported network with ONNX Runtime. PyTorch is not imported."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from maskcls.config.types import PrecisionChoice, Threads
from maskcls.cores import usable_cores
from maskcls.errors import MachineError, UserError, is_out_of_memory
from maskcls.models.document import Document, one_line, read_document
from maskcls.models.network import TrainedNetwork
from maskcls.models.onnx_file import DOCUMENT, INPUT, LOGITS, PRECISION, PROBABILITIES, OnnxFileError, read_sealed
from maskcls.wording import counted

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# ONNX Runtime would write messages of its own beside the error that is raised
SILENT = 4
# number formats of exported files
PRECISIONS = ("float32", "int8")


class Outputs(NamedTuple):
    """What an exported network says of some images.

    Attributes:
        probabilities: float32 [images, classes], with temperature scaling.
        logits: float32 [images, classes].
    """

    probabilities: np.ndarray
    logits: np.ndarray


@dataclass(frozen=True)
class OnnxNetwork:
    """An exported network.

    Attributes:
        session: ONNX Runtime's.
        document: what the file says of the network.
        device: where it computes, cpu or cuda:N.
        precision: number format of the graph.
    """

    session: "InferenceSession"
    document: Document
    device: str
    precision: str

    def outputs(self, images: np.ndarray) -> Outputs:
        """Run the whole graph on RGB images, uint8 [batch, height, width, 3]."""
        return Outputs(*self.session.run([PROBABILITIES, LOGITS], {INPUT: images}))

    def logits(self, images: np.ndarray) -> np.ndarray:
        """As `Network.logits`."""
        logits: np.ndarray = self.session.run([LOGITS], {INPUT: images})[0]
        return logits

    def out_of_memory(self, key: str, size: int) -> MachineError:
        """As `Network.out_of_memory`."""
        cure = f"; {key}={size // 2} takes less" if size > 1 else ""
        return MachineError(f"out of memory at {key}={size}{cure}")


def open_onnx(path: Path, *, device: str, precision: PrecisionChoice | None, threads: Threads | None) -> TrainedNetwork:
    """Open an exported network; arguments and errors are those of `maskcls.models.opening.open_network`."""
    used = usable_cores() if threads is None or threads == "auto" else threads
    network = read_network(path, device, used)
    own = network.precision
    if precision not in (None, "auto", own):
        raise UserError(f"precision={precision}: {path} computes in {own}; a checkpoint can compute in others")
    about = f"device {network.device}, {counted(used, 'CPU thread')}, precision {own} (as exported), ONNX Runtime"
    return TrainedNetwork(path, network.document, network, about)


def read_network(path: Path, device: str, threads: int) -> OnnxNetwork:
    """Read an exported network.

    Args:
        path: the file.
        device: auto, cpu, cuda or cuda:N.
        threads: CPU threads that compute.

    Raises:
        UserError: if ONNX Runtime or the device is missing, or the file is not one that maskcls-export wrote.
    """
    try:
        from onnxruntime import get_available_providers
    except ImportError as error:
        raise UserError(f"ckpt={path}: onnxruntime cannot be imported ({error}): pip install onnxruntime") from error
    target = _choose_device(device, get_available_providers())
    try:
        session = _start(read_sealed(path), target, threads)
        texts = session.get_modelmeta().custom_metadata_map
        document = read_document(texts.get(DOCUMENT, ""))
        precision = texts.get(PRECISION, "float32")
        _require_fit(session, document, precision)
    except (OnnxFileError, UserError) as error:
        raise UserError(f"ckpt={path}: {one_line(error)}") from None
    return OnnxNetwork(session, document, target, precision)


def _choose_device(name: str, providers: list[str]) -> str:
    """Where to compute: on a GPU only if the package onnxruntime-gpu is installed, which has another name."""
    has_cuda = "CUDAExecutionProvider" in providers
    if name == "cpu" or (name == "auto" and not has_cuda):
        return "cpu"
    if not has_cuda or not (name == "auto" or name.startswith("cuda")):
        ways = "device=cpu does, and onnxruntime-gpu in place of onnxruntime computes on a GPU of NVIDIA"
        raise UserError(f"device={name}: the installed ONNX Runtime does not compute there; {ways}")
    return name if ":" in name else "cuda:0"


def _start(content: bytes, device: str, threads: int) -> "InferenceSession":
    """Let ONNX Runtime load a model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = SILENT
    # as `maskcls.models.cpu.prepare_cpu` does it: numbers close to zero are slow to compute with
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    # threads that wait would keep the cores busy on which images are decoded
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    cuda = [("CUDAExecutionProvider", {"device_id": device.partition(":")[2]})] if device != "cpu" else []
    try:
        session = onnxruntime.InferenceSession(content, options, providers=[*cuda, "CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common
        if is_out_of_memory(error):
            raise
        raise OnnxFileError(f"ONNX Runtime does not take it: {error}") from None
    if cuda and "CUDAExecutionProvider" not in session.get_providers():  # its libraries cannot be loaded
        raise UserError(f"device={device}: ONNX Runtime cannot use the GPU; device=cpu computes without it")
    return session


def _require_fit(session: "InferenceSession", document: Document, precision: str) -> None:
    """Check that a graph takes and gives what is said of it.

    Raises:
        OnnxFileError: if it does not.
    """
    size, classes = document.input_size, len(document.classes)
    taken = [(value.name, value.type, value.shape) for value in session.get_inputs()]
    given = {value.name: (value.type, value.shape) for value in session.get_outputs()}
    answer = ("tensor(float)", ["batch", classes])
    is_known = precision in PRECISIONS and taken == [(INPUT, "tensor(uint8)", ["batch", size, size, 3])]
    if not is_known or given != {PROBABILITIES: answer, LOGITS: answer}:
        raise OnnxFileError("its graph does not fit what the file says of it")
