"""The back end that runs the network of a checkpoint with PyTorch."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from maskcls.config.types import PrecisionChoice, PrecisionName, Threads
from maskcls.errors import MachineError
from maskcls.models.architecture import build_on_meta
from maskcls.models.checkpoint import Checkpoint, load_checkpoint
from maskcls.models.cpu import prepare_cpu
from maskcls.models.device import choose_device, use_device
from maskcls.models.document import Document
from maskcls.models.memory import Demand, free_memory, inference_demand, out_of_memory
from maskcls.models.network import TrainedNetwork
from maskcls.models.normalize import Normalize
from maskcls.models.precision import Precision, choose_precision, precision_of_training
from maskcls.wording import counted

log = logging.getLogger(__name__)


class Forward(NamedTuple):
    """The way from images to logits, on one device.

    Attributes:
        model: from normalised images to logits, in evaluation mode.
        normalize: from uint8 images to the model's input.
        precision: number format of the forward pass.
    """

    model: nn.Module
    normalize: Normalize
    precision: Precision

    def __call__(self, images: Tensor) -> Tensor:
        """Map images, uint8 [batch, 3, size, size], to logits, float32 [batch, classes], on the same device."""
        inputs = self.normalize(images)
        with self.precision.autocast():
            logits: Tensor = self.model(inputs)
        return logits.float()


@torch.inference_mode()
def predict_tensors(forward: Forward, batches: Iterable[Tensor]) -> np.ndarray:
    """Run a network over batches, as `Forward` takes them.

    Returns:
        Logits, float32 [images, classes].
    """
    logits: np.ndarray = torch.cat([forward(images) for images in batches]).cpu().numpy()
    return logits


@dataclass(frozen=True)
class TorchNetwork:
    """The network of a checkpoint.

    Attributes:
        forward: from images to logits.
        target: where it computes.
        document: what the checkpoint says of it.
        free: bytes of memory that were free before the first batch.
    """

    forward: Forward
    target: torch.device
    document: Document
    free: float

    @property
    def device(self) -> str:
        """As `Network.device`."""
        return str(self.target)

    @property
    def precision(self) -> PrecisionName:
        """As `Network.precision`."""
        return self.forward.precision.name

    def logits(self, images: np.ndarray) -> np.ndarray:
        """As `Network.logits`."""
        batch = torch.from_numpy(images).to(self.target)
        # a view, which is channels last in memory: convolutions are fastest on this format
        return predict_tensors(self.forward, [batch.permute(0, 3, 1, 2)])

    def demand(self) -> Demand:
        """The memory that predicting takes."""
        document = self.document
        return inference_demand(document.model, len(document.classes), document.input_size, self.forward.precision)

    def out_of_memory(self, key: str, size: int) -> MachineError:
        """As `Network.out_of_memory`; the message says which batch size is likely to fit."""
        return out_of_memory(key, size, self.free, self.demand())


def restore_network(checkpoint: Checkpoint, precision: Precision, device: torch.device) -> TorchNetwork:
    """Build a checkpoint's network on a device, in evaluation mode, with the weights that validation measured."""
    document = checkpoint.document
    model = build_on_meta(document.model, len(document.classes), document.input_size)
    model.load_state_dict(checkpoint.evaluated_weights, assign=True)
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    forward = Forward(model.eval(), Normalize(document.normalization).to(device), precision)
    return TorchNetwork(forward, device, document, free_memory(device))


def open_checkpoint(
    path: Path, *, device: str, precision: PrecisionChoice | None, threads: Threads | None
) -> TrainedNetwork:
    """Open a checkpoint; arguments and errors are those of `maskcls.models.opening.open_network`."""
    used = torch.get_num_threads() if threads is None else prepare_cpu(None if threads == "auto" else threads)
    checkpoint, target = load_checkpoint(path), choose_device(device)
    if threads is not None:
        use_device(target)
    chosen, reason = _precision_for(checkpoint, precision, target)
    about = f"device {target}, {counted(used, 'CPU thread')}, precision {chosen.name} ({reason})"
    return TrainedNetwork(path, checkpoint.document, restore_network(checkpoint, chosen, target), about)


def _precision_for(
    checkpoint: Checkpoint, asked: PrecisionChoice | None, device: torch.device
) -> tuple[Precision, str]:
    """The precision of a checkpoint on a device, and the reason. A line says if it is not that of the training."""
    if asked is not None:
        return choose_precision(asked, device)
    trained = checkpoint.document.precision
    chosen, lack = precision_of_training(trained, device)
    if lack is None:
        return chosen, "as in training"
    log.warning("%s was trained in %s and computes in %s here: %s", checkpoint.path, trained, chosen.name, lack)
    return chosen, f"trained in {trained}"
