"""A network's answers on the files of a split: what training tests with, and evaluation measures with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskcls.data.index import Split
from maskcls.data.loaders import LabelledImages, Loader
from maskcls.data.streaming import StreamedImages
from maskcls.evaluation.calibration import Calibration
from maskcls.evaluation.predictions import Predictions, predict_logits
from maskcls.models.memory import Demand, explained_memory, free_memory, inference_demand
from maskcls.models.precision import Precision


@dataclass(frozen=True)
class Measurement:
    """A network, and how it is asked.

    Attributes:
        model_config: of the network, as a checkpoint holds it.
        normalize: from a batch's uint8 images to the network's input.
        input_size: pixels a side of an image.
        batch_size: images at a time.
        batch_size_key: that sets it, for people.
        positive_class: the one that the calibration's threshold is of, None for none.
    """

    model: nn.Module
    model_config: Mapping[str, Any]
    normalize: Callable[[Tensor], Tensor]
    precision: Precision
    device: torch.device
    input_size: int
    batch_size: int
    batch_size_key: str
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

        def demand() -> Demand:
            return inference_demand(self.model_config, len(self.classes), self.input_size)

        with explained_memory(self.batch_size_key, self.batch_size, free_memory(self.device), demand):
            logits = predict_logits(self.model, batches, self.normalize, self.precision)
        return Predictions.from_logits(
            files.paths, self.classes, files.labels, logits, self.calibration, self.positive_class, facts
        )
