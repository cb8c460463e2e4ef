"""A network's answers on the files of a split: what training tests with, and evaluation measures with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from maskcls.data.index import Split
from maskcls.data.loaders import LabelledImages, Loader
from maskcls.data.streaming import StreamedImages
from maskcls.evaluation.calibration import Calibration
from maskcls.evaluation.predictions import Predictions, predict_logits
from maskcls.models.precision import Precision


@dataclass(frozen=True)
class Measurement:
    """A network, and how it is asked.

    Attributes:
        normalize: from a batch's uint8 images to the network's input.
        batch_size: images at a time.
        positive_class: the one that the calibration's threshold is of, None for none.
    """

    model: nn.Module
    normalize: Callable[[Tensor], Tensor]
    precision: Precision
    device: torch.device
    batch_size: int
    classes: tuple[str, ...]
    positive_class: str | None
    calibration: Calibration

    def answers(
        self, files: Split, images: np.ndarray | StreamedImages, facts: Mapping[str, np.ndarray]
    ) -> Predictions:
        """Ask about files.

        Args:
            images: of the files, uint8 [images, input_size, input_size, 3].
            facts: about the files, kept with the answers.
        """
        batches = Loader(LabelledImages(images, files.labels), self.batch_size, self.device)
        logits = predict_logits(self.model, batches, self.normalize, self.precision)
        return Predictions.from_logits(
            files.paths, self.classes, files.labels, logits, self.calibration, self.positive_class, facts
        )
