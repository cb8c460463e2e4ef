"""Whether an exported network gives the answers of its checkpoint."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from maskcls.errors import MachineError
from maskcls.export.sample import batches_of
from maskcls.inference.predictor import Predictor

# largest difference in a probability
TOLERANCE = 1e-4

# from images, uint8 [batch, size, size, 3], to probabilities, [batch, classes]
Probabilities = Callable[[np.ndarray], np.ndarray]


class Parity(NamedTuple):
    """How far the answers of an exported network are from those of its checkpoint.

    Attributes:
        images: number of images that were compared.
        difference: largest difference in a probability; not a number if a probability is none.
    """

    images: int
    difference: float

    def require(self, name: str) -> None:
        """Check that the answers are the same.

        Args:
            name: what the exported network is called in the message.

        Raises:
            MachineError: if they are not: the libraries of this machine do not compute what they should.
        """
        if not self.difference <= TOLERANCE:
            raise MachineError(
                f"{name}: a probability differs from the checkpoint's by {self.difference:.2g}, and at most "
                f"{TOLERANCE:g} is allowed; nothing is written. Other versions of the packages may do better"
            )


def compare(predictor: Predictor, probabilities: Probabilities, images: np.ndarray) -> Parity:
    """Compare an exported network with its checkpoint.

    Args:
        predictor: the checkpoint's, in float32.
        probabilities: those of the exported network.
        images: RGB, uint8 [images, size, size, 3]; at least one.
    """
    size = predictor.batch_size
    expected = predictor.answer(batches_of(images, size)).probabilities
    found = np.concatenate([probabilities(batch) for batch in batches_of(images, size)])
    return Parity(len(images), float(np.abs(found - expected).max()))
