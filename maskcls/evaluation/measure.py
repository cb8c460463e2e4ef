"""A predictor's answers on the files of a split."""

from collections.abc import Mapping

import numpy as np

from maskcls.data.index import Split
from maskcls.data.loaders import LabelledImages, Loader
from maskcls.data.streaming import Images
from maskcls.evaluation.predictions import Predictions
from maskcls.inference.predictor import Predictor
from maskcls.models.memory import explained_memory, free_memory


def predict_split(
    predictor: Predictor,
    files: Split,
    images: Images,
    facts: Mapping[str, np.ndarray],
    batch_size_key: str,
) -> Predictions:
    """Predict the files of a split.

    Args:
        predictor: the trained network.
        files: paths and labels.
        images: the files' images, uint8 [images, input_size, input_size, 3].
        facts: what is known about the files, kept with the predictions.
        batch_size_key: configuration key of the batch size, for the message if memory runs out.

    Raises:
        MachineError: if a batch does not fit in memory.
    """
    device, size = predictor.network.device, predictor.batch_size
    batches = Loader(LabelledImages(images, files.labels), size, device)
    with explained_memory(batch_size_key, size, free_memory(device), predictor.demand):
        answers = predictor.answer(images for images, _ in batches)
    return Predictions.of(files, predictor.classes, answers, facts)
