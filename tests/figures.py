"""Figures as they are when they are written."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import cv2
import numpy as np
from matplotlib.figure import Figure


def drawn(draw: Callable[..., None], *data: Any, title: str = "title") -> Figure:
    """The figure that ``draw(*data, path, title)`` writes, with its positions and tick labels."""
    with TemporaryDirectory() as folder, mock.patch.object(Figure, "savefig", autospec=True) as savefig:
        figures = []

        def save(figure: Figure, path: Path, **_: Any) -> None:
            figure.draw_without_rendering()
            figures.append(figure)
            path.touch()

        savefig.side_effect = save
        draw(*data, Path(folder) / "figure.png", title)
    (figure,) = figures
    return figure


def assert_shows_something(path: Path) -> np.ndarray:
    """Return the pixels of a PNG file that is not blank, uint8 [height, width, channels]."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, "not an image"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert image[..., :3].std() > 5, "blank"
    return image
