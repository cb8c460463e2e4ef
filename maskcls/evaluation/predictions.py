"""What a model says of each image of a split, in memory and as ``predictions.csv``."""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import Tensor, nn

from maskcls.models.precision import Precision
from maskcls.run import replaced_atomically


@dataclass(frozen=True)
class Predictions:
    """A model's answers.

    Attributes:
        paths: of the images, relative to the data set's root.
        classes: names; a label is a position in it.
        labels: int64 [images], the true classes.
        probabilities: float64 [images, classes], rows sum to 1.
        losses: float64 [images], cross-entropy, the negative logarithm of the true class's probability.
    """

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    losses: np.ndarray

    @classmethod
    def from_logits(
        cls, paths: Iterable[str], classes: Iterable[str], labels: Iterable[int], logits: Tensor
    ) -> "Predictions":
        """From logits, float32 [images, classes]."""
        truth = torch.tensor(list(labels), dtype=torch.int64)
        log_probabilities = log_softmax(logits)
        losses = 0.0 - log_probabilities.gather(1, truth[:, None])[:, 0]  # not -x, which makes -0 of 0
        return cls(tuple(paths), tuple(classes), truth.numpy(), log_probabilities.exp().numpy(), losses.numpy())

    @property
    def predicted(self) -> np.ndarray:
        """int64 [images], the most probable class."""
        predicted: np.ndarray = self.probabilities.argmax(axis=1)
        return predicted

    @property
    def accuracy(self) -> float:
        """Share of images whose most probable class is the true one."""
        return float((self.predicted == self.labels).mean())

    @property
    def loss(self) -> float:
        """Mean cross-entropy."""
        return float(self.losses.mean())

    def write(self, path: Path) -> None:
        """Write ``predictions.csv``: path, label, prediction, probability_CLASS for each class, loss."""
        with replaced_atomically(path) as temporary, open_table(temporary) as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label", "prediction", *(f"probability_{name}" for name in self.classes), "loss"])
            rows = zip(self.paths, self.labels, self.predicted, self.probabilities, self.losses, strict=True)
            for image, label, predicted, probabilities, loss in rows:
                numbers = [f"{value:.9g}" for value in (*probabilities, loss)]
                writer.writerow([image, self.classes[label], self.classes[predicted], *numbers])


def log_softmax(logits: Tensor) -> Tensor:
    """Logarithms of the probabilities, float64 as `logits`' shape, so that none underflows."""
    return torch.log_softmax(logits.double(), dim=1)


def open_table(path: Path) -> TextIO:
    """Open a CSV file for writing; bytes of a file's name that are not UTF-8 are written as escapes."""
    return path.open("w", newline="", encoding="utf-8", errors="backslashreplace")


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
