"""A predictor's answers on the files of a split."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from maskcls.cores import ahead
from maskcls.data.cache import Storage, open_images
from maskcls.data.image_files import ImageFiles
from maskcls.data.index import Split
from maskcls.data.streaming import Images
from maskcls.evaluation.predictions import Predictions
from maskcls.inference.predictor import Predictor
from maskcls.progress import progress

# batches that are gathered ahead of the one in use
AHEAD = 2


@dataclass(frozen=True)
class EvaluationData:
    """The images that a model is measured on.

    Attributes:
        split: name of the split.
        files: paths and labels.
        images: the files' images, uint8 [images, input_size, input_size, 3].
        reduced: the same images, reduced to one low resolution first; None to measure only the former.
        facts: what is known about the files, kept with the predictions.
    """

    split: str
    files: Split
    images: Images
    reduced: Images | None
    facts: Mapping[str, np.ndarray]

    def predicted_by(self, predictor: Predictor) -> tuple[Predictions, Predictions | None]:
        """Predict the images and, if there are any, the reduced ones. Raises as `Predictor.answer` does."""
        predictions = predict_split(predictor, self.files, self.images, self.facts)
        if self.reduced is None:
            return predictions, None
        return predictions, predict_split(predictor, self.files, self.reduced, self.facts, "equalised")


def open_reduced(files: ImageFiles, size: int | None, storage: Storage) -> Images | None:
    """Open images that are first reduced to ``size`` pixels per side; None for no size."""
    if size is None:
        return None
    return open_images({"": dataclasses.replace(files, equalised_size=size)}, storage).images[""]


def predict_split(
    predictor: Predictor, files: Split, images: Images, facts: Mapping[str, np.ndarray], phase: str = "evaluate"
) -> Predictions:
    """Predict the files of a split, as in `EvaluationData`; ``phase`` names the work while it takes long.

    Raises:
        MachineError: if a batch does not fit in memory.
    """
    size = predictor.batch_size
    parts = [slice(start, start + size) for start in range(0, len(files), size)]
    # a copy: slices of a memory map would be read from the disk while the network waits
    gathered = ahead(lambda part: np.array(images[part]), parts, AHEAD)
    batches = progress(gathered, total=len(files), phase=phase, size=size)
    return Predictions.of(files, predictor.classes, predictor.answer(batches), facts)
