"""The Python interface to a trained model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from maskcls.data.decode import resize_image
from maskcls.evaluation.calibration import Calibration
from maskcls.evaluation.predictions import decide, log_softmax, predict_logits
from maskcls.models.checkpoint import load_checkpoint, restore_model, training_data
from maskcls.models.memory import Demand, inference_demand
from maskcls.models.precision import choose_device, choose_precision
from maskcls.run import find_checkpoint


class Classifier:
    """A checkpoint ready to classify images, prepared the way that its evaluation prepares them.

    Args:
        ckpt: checkpoint file, or run directory, whose best checkpoint it is.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto, float32, bfloat16 or float16; None for that of the training.

    Attributes:
        classes: names, in the order of the probabilities.
        batch_size: images at a time in the evaluation that came with the training, a thousand or so at most.

    Raises:
        UserError: where the checkpoint is missing or damaged, or the device is not there.
    """

    def __init__(self, ckpt: Path, device: str = "auto", precision: str | None = None) -> None:
        path = find_checkpoint(ckpt)
        self.device = choose_device(device)
        content = load_checkpoint(path)
        self.model, self.normalize = restore_model(content, path, self.device)
        self.precision, _ = choose_precision(precision or content["precision"], self.device)
        self.classes: tuple[str, ...] = tuple(content["classes"])
        self.calibration = Calibration.of(content)
        positive = content["positive_class"]
        self.positive = None if positive is None else self.classes.index(positive)
        self.input_size: int = content["input_size"]
        self.batch_size = training_data(content, path).eval_batch_size
        self._model_config = content["config"]["model"]

    def demand(self) -> Demand:
        """The memory that classifying takes."""
        return inference_demand(self._model_config, len(self.classes), self.input_size)

    def probabilities(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Classify images in one batch.

        Args:
            images: RGB, uint8 [height, width, 3], of any size; `maskcls.data.decode.decode_image` reads such.

        Returns:
            float64 [images, classes], rows sum to 1; calibrated as the checkpoint says.
        """
        return self.classify(images)[0]

    def classify(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Classify images in one batch, as `probabilities` takes them.

        Returns:
            The probabilities, and int64 [images], the class that is decided for by the checkpoint's threshold.
        """
        resized = np.stack([resize_image(image, self.input_size) for image in images])
        # the same memory format as a batch of an evaluation has
        batch = torch.from_numpy(resized).to(self.device).permute(0, 3, 1, 2)
        logits = predict_logits(self.model, [(batch, None)], self.normalize, self.precision)
        return decide(log_softmax(logits).numpy(), self.calibration, self.positive)
