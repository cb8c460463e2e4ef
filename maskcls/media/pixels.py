"""From a decoded frame of a video to the array that everything else works on."""

from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter


def upright_rgb(frame: VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
    """Convert a frame of any pixel format to RGB, and turn or mirror it as its display matrix says.

    Alpha is dropped, and more than 8 bits are scaled to 8.

    Args:
        reformatter: kept between frames, because making one takes longer than using it.

    Returns:
        uint8 [height, width, 3], writable, in one piece.

    Raises:
        av.FFmpegError: the frame cannot be converted.
    """
    # frames of a video are converted one by one: waiting for more threads takes longer than their help is worth
    image = reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is not None:
        image = _displayed(image, np.frombuffer(bytes(matrix), dtype=np.int32))
    return np.ascontiguousarray(image)


def _displayed(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turn and mirror an image by the nearest right angle.

    Args:
        image: uint8 [height, width, 3].
        matrix: a b u, c d v, x y w. A point (p, q) is shown at (a p + c q + x, b p + d q + y).
    """
    a, b, c, d = matrix[[0, 1, 3, 4]].tolist()
    if abs(b) > abs(a):
        image, a, d = image.transpose(1, 0, 2), c, b
    return image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
