"""The JSON document in the file of a trained network: everything that is not a tensor, typed and checked."""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from maskcls.config import AnyDataConfig, ModelConfig, Range, Text, check_input_size, convert
from maskcls.config.types import Count, Fraction, NonNegative, Positive, PrecisionName, Resize, WholeNumber
from maskcls.data.index import is_class_name
from maskcls.data.statistics import Normalization
from maskcls.errors import UserError
from maskcls.files import without_duplicates
from maskcls.models.calibration import Calibration

VERSION = 3
# images at a time that a file, which may be a stranger's, can ask for
MAX_BATCH_SIZE = 1024
# characters of a message that quotes a file
MAX_MESSAGE = 300


@dataclass(frozen=True)
class EpochRow:
    """A row of ``metrics.csv``; the fields are its columns, in this order.

    Attributes:
        epoch: number of the epoch, from 1.
        step: optimizer steps since the training began.
        learning_rate: learning rate of the last step.
        train_loss: mean loss over the images, as each was seen during the epoch.
        train_accuracy: share of these images that were predicted right, 0..1.
        val_loss: mean cross-entropy on the validation images, after the epoch.
        val_accuracy: share of the validation images that were predicted right, 0..1.
        images_per_second: training images per second.
        seconds: time that training and validation took.
        data_wait: share of the training time spent waiting for images, 0..1.
        val_balanced_accuracy: mean of the classes' shares of validation images that were predicted right, 0..1.
        val_never_predicted: number of classes that have validation images but are predicted for none.
    """

    epoch: Count
    step: Count
    learning_rate: NonNegative
    train_loss: float
    train_accuracy: Fraction
    val_loss: float
    val_accuracy: Fraction
    images_per_second: NonNegative
    seconds: NonNegative
    data_wait: Fraction
    # checkpoints of older versions lack these
    val_balanced_accuracy: Fraction | None = None
    val_never_predicted: WholeNumber | None = None


@dataclass(frozen=True)
class Progress:
    """How far a training is, and how good it was.

    Attributes:
        epoch: finished epochs.
        step: optimizer steps.
        best: row of the best epoch so far: the highest figure that ``select`` names, and among ties the lowest
            validation loss; the newest row with ``select=last``.
        stopping_reference: a validation figure that early stopping compares with, None before the first epoch.
        epochs_without_improvement: epochs since the figure rose above that by more than ``min_delta``.
    """

    epoch: Annotated[int, Range(0, 10**6)] = 0
    step: WholeNumber = 0
    best: EpochRow | None = None
    stopping_reference: Fraction | None = None
    epochs_without_improvement: WholeNumber = 0


@dataclass(frozen=True)
class PartialEpoch:
    """Running sums over the steps of an epoch that is not finished.

    Attributes:
        batches: steps so far.
        seen: images so far.
        loss_sum: sum of the images' losses.
        correct: images that were predicted right.
        learning_rate: learning rate of the last step.
        seconds: time since the epoch began.
        waited: seconds of that spent waiting for batches.
        first_bad: number of the first batch whose loss or gradient was not finite, -1 for none.
    """

    batches: WholeNumber
    seen: WholeNumber
    loss_sum: float
    correct: WholeNumber
    learning_rate: NonNegative
    seconds: NonNegative
    waited: NonNegative
    first_bad: Annotated[int, Range(-1)] = -1


@dataclass(frozen=True)
class RandomState:
    """Numbers of the random generators that are not tensors.

    Attributes:
        python: version of the state of Python's `random`, and its next Gaussian number.
        numpy: position in the state of NumPy's legacy generator, whether it has a Gaussian number, and that number.
    """

    python: tuple[int, float | None]
    numpy: tuple[Annotated[int, Range(0, 624)], Annotated[int, Range(0, 1)], float]


@dataclass(frozen=True)
class TrainingDocument:
    """What resuming needs beside tensors.

    Attributes:
        rows: rows of ``metrics.csv``, one for each finished epoch.
        retries: how often the training has collapsed and was started again.
        scaler: state of the gradient scaler, by name; empty where it does nothing.
        average_updates: how many steps the average of the weights has seen, None without an average.
        random: numbers of the random generators.
        partial_epoch: sums of the epoch that is under way, None between epochs.
        has_collapsed: whether an epoch of this try has shown a collapse.
    """

    rows: tuple[EpochRow, ...]
    retries: Annotated[int, Range(0, 100)]
    scaler: dict[str, float]
    average_updates: WholeNumber | None
    random: RandomState
    partial_epoch: PartialEpoch | None
    has_collapsed: bool = False


@dataclass(frozen=True)
class Document:
    """What a checkpoint holds beside tensors.

    Attributes:
        model: architecture of the network.
        classes: names of the classes, in the order of the network's outputs.
        positive_class: the class that the threshold is applied to, None if there is none.
        input_size: pixels a side of the network's input.
        precision: number format that the network was trained in.
        temperature: for temperature scaling, fitted on validation.
        threshold: operating threshold of the positive class, fitted on validation.
        data_fingerprint: hash of the data set.
        config: the whole configuration of the training, for the record.
        training: what resuming needs, None in a checkpoint for inference.
        resize: how an image that is no square becomes one; older checkpoints, which do not say it, squeeze.
    """

    model: ModelConfig
    classes: tuple[str, ...]
    positive_class: str | None
    normalization: Normalization
    input_size: Annotated[int, Range(8, 4096)]
    precision: PrecisionName
    temperature: Positive
    threshold: Annotated[float, Range(0, math.nextafter(1, 2))]  # above 1, nothing is predicted positive
    data_fingerprint: Annotated[str, Text(r"[0-9a-f]{1,128}", "a hash in hexadecimal")]
    progress: Progress
    config: dict[str, Any]
    training: TrainingDocument | None = None
    resize: Resize = "squeeze"
    format: Literal["maskcls"] = "maskcls"
    version: Annotated[int, Range(VERSION, VERSION)] = VERSION

    @property
    def calibration(self) -> Calibration:
        """Temperature and threshold."""
        return Calibration(self.temperature, self.threshold)

    @property
    def positive(self) -> int | None:
        """Index of the positive class."""
        return None if self.positive_class is None else self.classes.index(self.positive_class)

    def trained_with(self) -> AnyDataConfig:
        """The data configuration of the training. Its evaluation batch size is at most `MAX_BATCH_SIZE`.

        Raises:
            UserError: if another version of maskcls wrote it.
        """
        try:
            config: AnyDataConfig = convert(self.config.get("data"), AnyDataConfig, "data")
        except UserError as error:
            raise UserError(f"the checkpoint was written by another version of maskcls: {one_line(error)}") from None
        return dataclasses.replace(config, eval_batch_size=min(config.eval_batch_size, MAX_BATCH_SIZE))


def one_line(error: Exception) -> str:
    """A message that may quote a stranger's file, as printable text of limited length."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(error)[:MAX_MESSAGE])


def read_document(text: str) -> Document:
    """Read the JSON document of a checkpoint.

    Raises:
        UserError: if something in it is missing, of a wrong type, out of range or contradictory.
    """
    try:
        values = json.loads(text, object_pairs_hook=without_duplicates)
    except (ValueError, RecursionError):
        raise UserError("a damaged file: its JSON document cannot be read") from None
    version = values.get("version") if isinstance(values, dict) else None
    if version != VERSION:
        raise UserError(f"has format version {version!r:.50}; this version of maskcls reads {VERSION}")
    document: Document = convert(values, Document, "")
    check_input_size(document.model, document.input_size)
    if not all(map(is_class_name, document.classes)):
        raise UserError("'classes' holds a name that no folder can have")
    if len(set(document.classes)) < max(2, len(document.classes)):
        raise UserError("'classes' must be at least two different names")
    if document.positive_class not in (None, *document.classes):
        raise UserError("'positive_class' must be one of the classes")
    if not _is_finite(document.config):
        raise UserError("'config' holds a number that is not finite")
    if document.training is not None:
        _require_consistent(document.progress, document.training)
    return document


def _is_finite(config: dict[str, Any]) -> bool:
    """Whether JSON can hold a configuration: its numbers were not checked, and it is written to other files."""
    try:
        json.dumps(config, allow_nan=False)
    except ValueError:
        return False
    return True


def _require_consistent(progress: Progress, training: TrainingDocument) -> None:
    """Check that progress and rows tell the same story."""
    if [row.epoch for row in training.rows] != list(range(1, progress.epoch + 1)):
        raise UserError("'rows' must hold one row for each finished epoch")
    if progress.best not in (None, *training.rows):  # none also if the best checkpoint was lost
        raise UserError("'progress' must have a best epoch that is one of 'rows', or none")
    if (progress.stopping_reference is None) != (not training.rows):
        raise UserError("'progress' must have a 'stopping_reference' if there are 'rows', and none if not")
    if training.rows and progress.step < training.rows[-1].step:
        raise UserError("'progress' has fewer steps than the last of 'rows'")
    partial = training.partial_epoch
    if partial is not None and not partial.correct <= partial.seen >= partial.batches:
        raise UserError("'partial_epoch' has more right answers or batches than images")
