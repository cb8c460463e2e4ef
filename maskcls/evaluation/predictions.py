"""What a model predicts for each image of a split, in memory and as ``predictions.csv``."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from maskcls.data.index import Split
from maskcls.files import table
from maskcls.models.calibration import Answers


@dataclass(frozen=True)
class Predictions:
    """A model's predictions, with what is known about the images.

    Attributes:
        paths: paths of the images, relative to the data set's root.
        classes: names of the classes; a label is a position in it.
        labels: int64 [images], true classes.
        probabilities: float64 [images, classes]; rows sum to 1.
        predicted: int64 [images], predicted classes.
        losses: float64 [images], cross-entropy without temperature scaling.
        facts: further columns of ``predictions.csv``, by name: arrays [images] of names or numbers.
    """

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    predicted: np.ndarray
    losses: np.ndarray
    facts: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(
        cls, files: Split, classes: tuple[str, ...], answers: Answers, facts: Mapping[str, np.ndarray] | None = None
    ) -> "Predictions":
        """Predictions from a network's answers on the files of a split."""
        labels = np.array(files.labels, dtype=np.int64)
        losses = 0.0 - answers.log_probabilities[np.arange(len(labels)), labels]  # not -x, which makes -0 of 0
        return cls(files.paths, classes, labels, answers.probabilities, answers.predicted, losses, facts or {})

    def part(self, chosen: np.ndarray) -> "Predictions":
        """The predictions on some images, bool [images]."""
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
        """Share of images whose predicted class is the true one."""
        return float((self.predicted == self.labels).mean())

    @property
    def loss(self) -> float:
        """Mean cross-entropy."""
        return float(self.losses.mean())

    def write(self, path: Path) -> None:
        """Write ``predictions.csv``: path, label, prediction, probability_CLASS for each class, loss, and the facts.

        The loss is without temperature scaling, unlike the probabilities.
        """
        with table(path) as write:
            columns = [f"probability_{name}" for name in self.classes]
            write(["path", "label", "prediction", *columns, "loss", *self.facts])
            rows = zip(self.paths, self.labels, self.predicted, self.probabilities, self.losses, strict=True)
            for position, (image, label, predicted, probabilities, loss) in enumerate(rows):
                numbers = [f"{value:.9g}" for value in (*probabilities, loss)]
                facts = [values[position] for values in self.facts.values()]
                write([image, self.classes[label], self.classes[predicted], *numbers, *facts])
