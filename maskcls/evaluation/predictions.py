"""What a model says of each image of a split, in memory and as ``predictions.csv``."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from maskcls.evaluation.calibration import UNCALIBRATED, Calibration, soften
from maskcls.files import table
from maskcls.models.precision import Precision


@dataclass(frozen=True)
class Predictions:
    """A model's answers.

    Attributes:
        paths: of the images, relative to the data set's root.
        classes: names; a label is a position in it.
        labels: int64 [images], the true classes.
        probabilities: float64 [images, classes], rows sum to 1; calibrated where the network is.
        predicted: int64 [images], the class that was decided for.
        losses: float64 [images], cross-entropy of the network's own, uncalibrated probabilities.
        facts: what is known of the files, by column of ``predictions.csv``: arrays [images] of names or numbers.
    """

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    predicted: np.ndarray
    losses: np.ndarray
    facts: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def from_logits(
        cls,
        paths: Iterable[str],
        classes: Iterable[str],
        labels: Iterable[int],
        logits: Tensor,
        calibration: Calibration = UNCALIBRATED,
        positive_class: str | None = None,
        facts: Mapping[str, np.ndarray] | None = None,
    ) -> "Predictions":
        """From logits, float32 [images, classes]."""
        names = tuple(classes)
        truth = torch.tensor(list(labels), dtype=torch.int64)
        log_probabilities = log_softmax(logits)
        losses = 0.0 - log_probabilities.gather(1, truth[:, None])[:, 0]  # not -x, which makes -0 of 0
        positive = names.index(positive_class) if positive_class is not None else None
        probabilities, predicted = decide(log_probabilities.numpy(), calibration, positive)
        return cls(tuple(paths), names, truth.numpy(), probabilities, predicted, losses.numpy(), facts or {})

    def part(self, chosen: np.ndarray) -> "Predictions":
        """The answers on some images, bool [images]."""
        return replace(
            self,
            paths=tuple(np.array(self.paths, dtype=object)[chosen]),
            labels=self.labels[chosen],
            probabilities=self.probabilities[chosen],
            predicted=self.predicted[chosen],
            losses=self.losses[chosen],
            facts={name: values[chosen] for name, values in self.facts.items()},
        )

    @property
    def accuracy(self) -> float:
        """Share of images that the true class was decided for."""
        return float((self.predicted == self.labels).mean())

    @property
    def loss(self) -> float:
        """Mean cross-entropy."""
        return float(self.losses.mean())

    def write(self, path: Path) -> None:
        """Write ``predictions.csv``: path, label, prediction, probability_CLASS for each class, loss, and the facts."""
        with table(path) as write:
            columns = [f"probability_{name}" for name in self.classes]
            write(["path", "label", "prediction", *columns, "loss", *self.facts])
            rows = zip(self.paths, self.labels, self.predicted, self.probabilities, self.losses, strict=True)
            for position, (image, label, predicted, probabilities, loss) in enumerate(rows):
                numbers = [f"{value:.9g}" for value in (*probabilities, loss)]
                facts = [values[position] for values in self.facts.values()]
                write([image, self.classes[label], self.classes[predicted], *numbers, *facts])


def decide(
    log_probabilities: np.ndarray, calibration: Calibration, positive: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities and the class that is decided for.

    Args:
        log_probabilities: float64 [images, classes], of the uncalibrated network.
        positive: the class that the threshold is of; None for the most probable class.

    Returns:
        float64 [images, classes] and int64 [images].
    """
    probabilities = soften(log_probabilities, calibration.temperature)
    # of the uncalibrated ones, which have the same order: rounding makes no difference then
    predicted = log_probabilities.argmax(axis=1)
    if positive is not None and calibration.threshold != 0.5:
        others = log_probabilities.copy()
        others[:, positive] = -np.inf
        is_positive = probabilities[:, positive] >= calibration.threshold
        predicted = np.where(is_positive, positive, others.argmax(axis=1))
    return probabilities, predicted


def log_softmax(logits: Tensor) -> Tensor:
    """Logarithms of the probabilities, float64 as `logits`' shape, so that none underflows."""
    return torch.log_softmax(logits.double(), dim=1)


@torch.inference_mode()
def predict_logits(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, object]],
    normalize: Callable[[Tensor], Tensor],
    precision: Precision,
) -> Tensor:
    """Run a model over batches, of which only the images are looked at.

    Returns:
        Logits, float32 [images, classes], on the CPU.
    """
    was_training = model.training
    model.eval()
    logits = []
    for images, _ in batches:
        inputs = normalize(images)
        with precision.autocast():
            logits.append(model(inputs).float())
    model.train(was_training)
    return torch.cat(logits).cpu()
