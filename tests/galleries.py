"""Tiles of galleries."""

from typing import Any

import numpy as np

from maskcls.reporting.gallery import Headline, Tile

HEADLINE = Headline("runs/a, best", "photos", ("A", "B"))
PICTURE = np.full((40, 60, 3), (180, 120, 90), dtype=np.uint8)


def tile(*, label: str | None = "A", certainty: float = 0.9, **changes: Any) -> Tile:
    """A tile of a picture that is of class A or B with this probability, or of none."""
    p = certainty if label == "A" else 1 - certainty
    probabilities = () if label is None else (p, 1 - p)
    one = Tile("photos/a.jpg", None, None, None, None, label, probabilities, PICTURE, None, None)
    return one._replace(**changes)
