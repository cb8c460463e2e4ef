"""Trainings of a tiny network on tiny images, for tests of the parts that a training is made of."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskcls.config import MyCNNConfig
from maskcls.config.types import PrecisionName
from maskcls.data.loaders import LabelledImages, Loader
from maskcls.data.statistics import Normalization
from maskcls.models.architecture import build_model
from maskcls.models.document import Document, EpochRow, Progress
from maskcls.models.normalize import Normalize
from maskcls.models.precision import Precision
from maskcls.training.batches import TrainingBatches
from maskcls.training.collapse import Collapse, CollapsePolicy
from maskcls.training.loop import Plan
from maskcls.training.recorder import EpochResult, Recorder
from maskcls.training.state import TrainingState
from maskcls.training.validation import Validation, Validator

CPU = torch.device("cpu")
SIZE = 8
CLASSES = ("A", "B")
MODEL = MyCNNConfig("mycnn", default_input_size=SIZE, dropout=0.0)
NORMALIZATION = Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
ABOUT = Document(
    model=MODEL,
    classes=CLASSES,
    positive_class=None,
    normalization=NORMALIZATION,
    input_size=SIZE,
    precision="float32",
    temperature=1.0,
    threshold=0.5,
    data_fingerprint="0",
    progress=Progress(),
    config={},
)


def tiny_state(precision: PrecisionName = "float32", lr: float = 0.1, **changes: Any) -> TrainingState:
    """A training with SGD; each call gives the same weights."""
    torch.manual_seed(0)
    model = build_model(MODEL, len(CLASSES), SIZE, pretrained=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, fused=True)
    state = TrainingState(
        model=model,
        forward=model,
        optimizer=optimizer,
        schedule=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0),
        transform=normalize(),
        loss_function=nn.CrossEntropyLoss(),
        precision=Precision(precision, "cpu"),
        scaler=Precision(precision, "cpu").grad_scaler(),
        is_sound=torch.ones((), dtype=torch.bool),
    )
    return dataclasses.replace(state, **changes)


def normalize() -> Normalize:
    """From uint8 images to the network's input."""
    return Normalize(NORMALIZATION)


def tiny_images(count: int, seed: int = 1, size: int = SIZE) -> LabelledImages:
    """Images of noise, brighter if the label is 1."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    images = rng.integers(0, 100, (count, size, size, 3), dtype=np.uint8)
    images[labels == 1] += 100
    return LabelledImages(images, labels.tolist())


def tiny_batches(images: int = 48, size: int = 6, changes: torch.Generator | None = None) -> TrainingBatches:
    """Batches of `tiny_images`; their paths are their positions."""
    order = torch.Generator()
    return TrainingBatches(
        loader=Loader(tiny_images(images), size, CPU, shuffle=order),
        order=order,
        changes=changes or torch.Generator(),
        seed=5,
        paths=[f"{position}.png" for position in range(images)],
    )


def batch_of(images: int = 6, seed: int = 1) -> tuple[Tensor, Tensor]:
    """One batch: uint8 [images, 3, 8, 8] and int64 [images]."""
    (batch,) = Loader(tiny_images(images, seed), images, CPU)
    return batch


def tiny_validator(images: int = 16, batch_size: int = 5, positive: int | None = None, rule: str = "0.5") -> Validator:
    """A validator on other images than `tiny_batches` has."""
    return Validator(Loader(tiny_images(images, seed=2), batch_size, CPU), normalize(), positive, rule)


def validation_of(loss: float = 1.0, accuracy: float = 0.5, **changes: Any) -> Validation:
    """What validation gives of a network that predicts every class."""
    figures = Validation(loss, accuracy, accuracy, largest_share=0.0, never_predicted={}, logits=np.eye(2))
    return dataclasses.replace(figures, **changes)


@dataclass(frozen=True)
class ScriptedValidator(Validator):
    """Gives losses and accuracies that a test chooses, and the logits of a network that tells its images apart."""

    figures: Iterator[tuple[float, float]]
    meanwhile: Callable[[], object]

    def validate(self, state: TrainingState) -> Validation:
        """Return the next figures."""
        self.meanwhile()
        loss, accuracy = next(self.figures)
        return validation_of(loss, accuracy, logits=np.tile(np.eye(2), (8, 1)))


def scripted(*figures: tuple[float, float], meanwhile: Callable[[], object] = bool) -> ScriptedValidator:
    """A validator that gives a loss and an accuracy for each epoch, and calls ``meanwhile`` before."""
    return ScriptedValidator(**vars(tiny_validator()), figures=iter(figures), meanwhile=meanwhile)


def plan_of(epochs: int, patience: int | None = None, min_delta: float = 0.0, **policy: Any) -> Plan:
    """A plan that warns of collapses."""
    collapse = CollapsePolicy(action="warn", chance_loss=math.log(2), classes=CLASSES, learning_rate=0.1)
    return Plan(epochs, "accuracy", patience, min_delta, dataclasses.replace(collapse, **policy))


class Events(Recorder):
    """Notes every event with what it was given."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def epoch_begins(self, state: TrainingState) -> None:
        """Note the finished epochs."""
        self.seen.append(("epoch_begins", state.progress.epoch))

    def step_done(self, state: TrainingState) -> None:
        """Note the finished steps, and those of this epoch."""
        assert state.sums is not None
        self.seen.append(("step_done", state.progress.step, state.sums.batches))

    def epoch_done(self, state: TrainingState, result: EpochResult) -> None:
        """Note the result."""
        assert state.sums is None
        self.seen.append(("epoch_done", state.progress.epoch, result))

    def collapsed(self, state: TrainingState, collapse: Collapse) -> None:
        """Note the collapse."""
        self.seen.append(("collapsed", state.progress.epoch, collapse))

    def interrupted(self, state: TrainingState) -> None:
        """Note the finished steps."""
        self.seen.append(("interrupted", state.progress.step))

    def training_done(self, state: TrainingState) -> None:
        """Note the finished epochs."""
        self.seen.append(("training_done", state.progress.epoch))

    @property
    def names(self) -> list[str]:
        """The names of the events."""
        return [event[0] for event in self.seen]

    @property
    def results(self) -> list[EpochResult]:
        """The results of the epochs."""
        return [event[2] for event in self.seen if event[0] == "epoch_done"]


def row(epoch: int = 1, **changes: Any) -> EpochRow:
    """A row of ``metrics.csv``."""
    figures = EpochRow(
        epoch=epoch,
        step=8 * epoch,
        learning_rate=0.1,
        train_loss=1.0,
        train_accuracy=0.5,
        val_loss=1.0,
        val_accuracy=0.5,
        images_per_second=3.14,
        seconds=2.0,
        data_wait=0.25,
        val_balanced_accuracy=0.5,
        val_never_predicted=0,
    )
    return dataclasses.replace(figures, **changes)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Whether two networks have the same weights, bit for bit."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def copy_of(model: nn.Module) -> list[Tensor]:
    """A copy of a network's parameters."""
    return [parameter.detach().clone() for parameter in model.parameters()]
