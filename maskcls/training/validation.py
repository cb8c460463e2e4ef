"""Measuring the network on the validation images after each epoch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from maskcls.data.loaders import Loader
from maskcls.evaluation.calibration import calibrate
from maskcls.evaluation.metrics import balanced_accuracy
from maskcls.models.calibration import Calibration, log_softmax
from maskcls.models.normalize import Normalize
from maskcls.models.torch_network import Forward, predict_tensors
from maskcls.training.state import TrainingState


@dataclass(frozen=True)
class Validation:
    """What validation gave.

    Attributes:
        loss: mean cross-entropy.
        accuracy: share of the images that were predicted right, 0..1.
        balanced_accuracy: mean over the classes of the share of their images that were predicted right, 0..1.
        largest_share: share of the images that are of the largest class, 0..1.
        never_predicted: for each class that has images but is predicted for none: its label and its images.
        logits: float32 [images, classes].
    """

    loss: float
    accuracy: float
    balanced_accuracy: float
    largest_share: float
    never_predicted: Mapping[int, int]
    logits: np.ndarray


@dataclass(frozen=True)
class Validator:
    """Measures a training on the validation images.

    Attributes:
        batches: the validation images.
        normalize: from uint8 images to the network's input.
        positive: index of the positive class, None if there is none.
        threshold_rule: as `maskcls.evaluation.calibration.choose_threshold` takes it.
    """

    batches: Loader
    normalize: Normalize
    positive: int | None
    threshold_rule: str

    def validate(self, state: TrainingState) -> Validation:
        """Predict all validation images. The model is left in evaluation mode."""
        state.model.eval()
        forward = Forward(state.evaluated_model.eval(), self.normalize, state.precision)
        logits = predict_tensors(forward, (images for images, _ in self.batches))
        log_probabilities, labels = log_softmax(logits), self._labels()
        losses = -log_probabilities[np.arange(len(labels)), labels]
        predicted = log_probabilities.argmax(axis=1)
        is_correct, images = predicted == labels, np.bincount(labels)
        return Validation(
            loss=float(losses.mean()),
            accuracy=float(is_correct.mean()),
            balanced_accuracy=balanced_accuracy(is_correct, labels=labels),
            largest_share=float(images.max() / len(labels)),
            never_predicted={
                int(label): int(images[label]) for label in np.unique(labels) if not (predicted == label).any()
            },
            logits=logits,
        )

    def calibrate(self, validation: Validation) -> Calibration:
        """Fit temperature and threshold."""
        return calibrate(log_softmax(validation.logits), self._labels(), self.positive, self.threshold_rule)

    def _labels(self) -> np.ndarray:
        labels: np.ndarray = self.batches.labels.numpy()
        return labels
