"""maskcls trains, evaluates and uses image classifiers that tell faces with a mask from faces without one."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maskcls.config.types import PrecisionChoice, Threads
    from maskcls.inference.predictor import Predictor

__version__ = "0.1.0"

# OpenCV reads this when it is imported, and then refuses larger images before it decodes them
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(100_000_000))


def load(
    path: str | Path,
    *,
    device: str = "auto",
    precision: "PrecisionChoice | None" = None,
    batch_size: int | None = None,
    threads: "Threads | None" = None,
) -> "Predictor":
    """Load a trained network, ready to predict.

    Args:
        path: a run directory, whose best checkpoint is loaded; ``RUN/best`` or ``RUN/last``; a checkpoint file; or what
            maskcls-export wrote, an ONNX file or its run directory. PyTorch is not imported for the latter.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto, float32, tf32, bfloat16 or float16; None for the precision of the training, or float32 where
            the device would have to emulate that one, which a warning says.
        batch_size: images at a time; None for as many as the training evaluated at a time.
        threads: CPU threads that compute; auto for as many as the process may use. With a number or auto, PyTorch is
            set up for the whole process; None leaves it as it is.

    Raises:
        UserError: if the checkpoint is missing, damaged or of another version of maskcls, or the device is missing
            or cannot be used.
    """
    from maskcls.inference.predictor import Predictor
    from maskcls.models.opening import open_network

    located = Path(os.path.expanduser(path))
    return Predictor.of(open_network(located, device=str(device), precision=precision, threads=threads), batch_size)
