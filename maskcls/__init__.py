"""maskcls trains, evaluates and uses image classifiers that tell faces with a mask from faces without one."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maskcls.config.types import PrecisionChoice
    from maskcls.inference.predictor import Predictor

__version__ = "0.1.0"

# OpenCV reads this when it is imported, and then refuses larger images before it decodes them
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(100_000_000))


def load(
    path: str | Path, *, device: str = "auto", precision: "PrecisionChoice | None" = None, batch_size: int | None = None
) -> "Predictor":
    """Load a trained network, ready to predict.

    Args:
        path: a run directory, whose best checkpoint is loaded; ``RUN/best`` or ``RUN/last``; or a checkpoint file.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto, float32, bfloat16 or float16; None for the precision of the training.
        batch_size: images at a time; None for as many as the training evaluated at a time.

    Raises:
        UserError: if the checkpoint is missing, damaged or of another version of maskcls, or the device is missing.
    """
    from maskcls.inference.predictor import Predictor
    from maskcls.models.checkpoint import load_checkpoint
    from maskcls.models.precision import choose_device

    checkpoint = load_checkpoint(Path(os.path.expanduser(path)))
    return Predictor.of(checkpoint, choose_device(str(device)), precision, batch_size)
