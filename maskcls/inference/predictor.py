"""A trained network, ready to predict."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import overload

import numpy as np

from maskcls.config import ModelConfig
from maskcls.config.types import Resize
from maskcls.cores import in_threads, usable_cores
from maskcls.data.decode import Box, prepare_image, square_image
from maskcls.data.faces import MIN_SIZE, FaceFinder, find_detector
from maskcls.errors import UserError, explained
from maskcls.inference.inputs import Channels, Image, as_images, is_path, is_single, read_image
from maskcls.inference.subjects import find_subjects
from maskcls.models.calibration import Answers, Calibration, answers_of
from maskcls.models.network import Network, TrainedNetwork, predict_logits


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        label: name of the predicted class. The checkpoint's threshold decides, if there is a positive class.
        probability: probability of that class, after temperature scaling.
        probabilities: probability of each class, by name; they sum to 1.
    """

    label: str
    probability: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class FacePrediction(Prediction):
    """The answer for a face in an image.

    Attributes:
        box: left, top, width and height in pixels, which may lie partly outside of the image.
        score: how sure the detector is that this is a face, 0..1.
    """

    box: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True)
class Predictor:
    """A trained network with everything that predicting needs. `maskcls.load` makes one from a checkpoint.

    Attributes:
        network: maps images to logits.
        model: architecture of the network.
        classes: names of the classes, in the order of the probabilities.
        positive: index of the positive class, None if there is none.
        calibration: temperature and threshold.
        input_size: pixels a side of the network's input.
        batch_size: images at a time.
        batch_size_key: what sets the batch size, for the message if memory runs out.
        resize: how an image that is no square becomes one.
    """

    network: Network
    model: ModelConfig
    classes: tuple[str, ...]
    positive: int | None
    calibration: Calibration
    input_size: int
    batch_size: int
    batch_size_key: str = "batch_size"
    resize: Resize = "squeeze"

    @classmethod
    def of(
        cls, trained: TrainedNetwork, batch_size: int | None = None, batch_size_key: str = "batch_size"
    ) -> "Predictor":
        """The predictor that a trained network's file describes.

        Args:
            trained: as `maskcls.models.opening.open_network` returns it.
            batch_size: images at a time; None for as many as the training evaluated at a time.
            batch_size_key: what sets it, for messages.

        Raises:
            UserError: if another version of maskcls wrote the file, or the batch size is out of range.
        """
        if batch_size is not None and batch_size < 1:
            raise UserError(f"batch_size={batch_size}: expected a whole number, at least 1")
        document = trained.document
        return cls(
            network=trained.network,
            model=document.model,
            classes=document.classes,
            positive=document.positive,
            calibration=document.calibration,
            input_size=document.input_size,
            batch_size=batch_size or trained.trained_with().eval_batch_size,
            batch_size_key=batch_size_key,
            resize=document.resize,
        )

    def __repr__(self) -> str:
        """Say what it predicts, in a line: a network has thousands of them."""
        about = f"{self.model.name}, classes={list(self.classes)}, input_size={self.input_size}"
        return f"Predictor({about}, device={self.network.device!r})"

    def answer(self, batches: Iterable[np.ndarray]) -> Answers:
        """Predict prepared images.

        Args:
            batches: RGB, uint8 [batch, input_size, input_size, 3] each; at least one.

        Raises:
            MachineError: if a batch does not fit in memory.
        """
        with explained(lambda: self.network.out_of_memory(self.batch_size_key, self.batch_size)):
            return answers_of(predict_logits(self.network, batches), self.calibration, self.positive)

    def answer_images(self, images: Sequence[np.ndarray]) -> Answers:
        """Predict a batch of images.

        Args:
            images: RGB, uint8 [height, width, 3] each, of any sizes; at least one.
        """
        return self.answer([np.stack([square_image(image, self.input_size, self.resize) for image in images])])

    @overload
    def predict(  # type: ignore[overload-overlap]  # text is iterable, too
        self, images: Image, *, channels: Channels = "rgb"
    ) -> Prediction: ...
    @overload
    def predict(self, images: Iterable[Image], *, channels: Channels = "rgb") -> list[Prediction]: ...
    def predict(self, images: Image | Iterable[Image], *, channels: Channels = "rgb") -> Prediction | list[Prediction]:
        """Predict one image, or many.

        Args:
            images: one image, or an iterable of images, which may be of different kinds and sizes: a path; a NumPy
                array [height, width] or [height, width, 1, 3 or 4]; a PIL image; or a tensor [1, 3 or 4, height,
                width]. Values are uint8, uint16, or floats from 0 to 1. A NumPy array or tensor with one more
                dimension in front is several images.
            channels: order of the channels of arrays and tensors: ``rgb``, or ``bgr`` as OpenCV reads images.

        Returns:
            One `Prediction` for one image, else a list of them, in the order of the images.

        Raises:
            UserError: if a file cannot be read, or something is not an image.
            MachineError: if a batch does not fit in memory.
        """
        if is_single(images):
            return self.predict([images], channels=channels)[0]
        predictions: list[Prediction] = []
        remaining = as_images(images)
        # only files are read in threads: PIL's images are not made for threads, and generators may reuse an array
        while batch := [
            image if is_path(image) else self._read(image, channels) for image in islice(remaining, self.batch_size)
        ]:
            files = [image for image in batch if not isinstance(image, np.ndarray)]
            with in_threads(lambda path: self._read(path, channels), files, usable_cores()) as read:
                prepared = [image if isinstance(image, np.ndarray) else next(read) for image in batch]
            predictions += self._named(self.answer_images(prepared))
        return predictions

    def faces(
        self,
        image: Image,
        *,
        detector: str | os.PathLike[str] | None = None,
        min_size: int = MIN_SIZE,
        channels: Channels = "rgb",
    ) -> list[FacePrediction]:
        """Find every face in an image, and predict each.

        Args:
            image: as `predict` takes it.
            detector: file of the face detector; None downloads it once, into the folder that the environment variable
                MASKCLS_CACHE names, or else ~/.cache/maskcls.
            min_size: pixels of the longer side of the smallest face.
            channels: order of the channels of an array or a tensor.

        Returns:
            The faces from left to right; none if there are none.

        Raises:
            UserError: if the image or the detector cannot be read.
            MachineError: if a batch does not fit in memory.
        """
        finder = _finder(None if detector is None else Path(detector))
        subjects, _ = find_subjects(
            read_image(image, channels), finder, self.prepared, min_size=min_size, takes_whole=False
        )
        predictions: list[FacePrediction] = []
        for start in range(0, len(subjects), self.batch_size):
            part = subjects[start : start + self.batch_size]
            named = self._named(self.answer_images([subject.image for subject in part]))
            for subject, prediction in zip(part, named, strict=True):
                assert subject.detection is not None
                found = subject.detection
                box = (found.left, found.top, found.width, found.height)
                predictions.append(FacePrediction(**vars(prediction), box=box, score=found.score))
        return predictions

    def prepared(self, image: np.ndarray, box: Box | None) -> np.ndarray:
        """Make the network's input of a square of an image, or of the whole; RGB uint8 [input_size, input_size, 3]."""
        return prepare_image(image, self.input_size, box=box, resize=self.resize)

    def _read(self, image: Image, channels: Channels) -> np.ndarray:
        # resized at once: photographs are large
        return square_image(read_image(image, channels), self.input_size, self.resize)

    def _named(self, answers: Answers) -> list[Prediction]:
        """Answers with the names of the classes."""
        return [
            Prediction(self.classes[label], float(row[label]), dict(zip(self.classes, row.tolist(), strict=True)))
            for row, label in zip(answers.probabilities, answers.predicted, strict=True)
        ]


@lru_cache(maxsize=4)
def _finder(detector: Path | None) -> FaceFinder:
    """What finds faces; kept, because opening the detector takes as long as finding some faces."""
    cache_dir = Path(os.environ.get("MASKCLS_CACHE", "~/.cache/maskcls")).expanduser()
    return FaceFinder(find_detector(detector, cache_dir=cache_dir, key="detector"), always_crop=False, key="detector")
