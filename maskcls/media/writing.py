"""Writes annotated pictures, and videos that browsers play."""

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from maskcls.cores import usable_cores
from maskcls.errors import UserError
from maskcls.files import replaced_atomically
from maskcls.interrupts import deferred

JPEG_QUALITY = 95
# pixels a side that the encoder of videos takes at most
LONGEST_SIDE = 16_384
# H.264 at a quality at which labels stay sharp; a slower preset would take the time of the network. No frame depends on
# a later one, or MP4 would state a wrong duration where the rate changes
_H264 = {"preset": "veryfast", "crf": "20", "bf": "0"}
# times are multiples of this, which all usual rates and MP4 can express
_TIME_BASE = Fraction(1, 90_000)
# what a frame lasts that no other one follows, and what it lasts at least, in multiples of the time base
_USUAL_FPS, _SHORTEST = 25, 90


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write a picture, atomically, as PNG if the path ends so, else as JPEG.

    Args:
        path: its folder is made if there is none.
        image: RGB, uint8 [height, width, 3].
    """
    suffix = ".png" if path.suffix.lower() == ".png" else ".jpg"
    is_encoded, content = cv2.imencode(suffix, image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not is_encoded:
        size = f"{image.shape[1]} x {image.shape[0]}"
        raise UserError(f"{path}: a picture of {size} pixels is too large for this format; save=false does without")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_atomically(path) as temporary:
        temporary.write_bytes(content.tobytes())


class VideoWriter:
    """A video that is written frame by frame: H.264 in MP4, without sound.

    As a context manager, it finishes the file at the end of the block, also after an error or a signal: the frames that
    were written are a video that can be played. Until then the file has a temporary name. Without frames there is none.
    """

    def __init__(self, path: Path, fps: float | None = None) -> None:
        """Prepare a video.

        Args:
            path: where it will be; its folder is made if there is none.
            fps: frames a second, if known. Frames have times of their own; this one helps the encoder.
        """
        self.path, self.fps = path, fps or _USUAL_FPS
        self._stack = ExitStack()
        self._output: tuple[OutputContainer, VideoStream] | None = None
        self._time = -_SHORTEST

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with deferred(), self._stack:  # a file that cannot be finished is removed
            if self._output:
                container, stream = self._output
                container.mux(stream.encode(None))

    def write(self, image: np.ndarray, seconds: float) -> None:
        """Add a frame.

        Args:
            image: RGB, uint8 [height, width, 3]. The first one gives the video its size, made even; others are fitted.
            seconds: when it is shown; it has to be later than the frame before, or is shown right after it.
        """
        container, stream = self._output or self._begin(image)
        frame = VideoFrame.from_ndarray(_fitted(image, stream.height, stream.width), format="rgb24")
        frame = frame.reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1
        )
        self._time = max(round(seconds / _TIME_BASE), self._time + _SHORTEST)
        frame.pts, frame.time_base = self._time, _TIME_BASE
        container.mux(stream.encode(frame))

    def _begin(self, image: np.ndarray) -> tuple[OutputContainer, VideoStream]:
        if max(image.shape[:2]) > LONGEST_SIDE:
            size = f"{image.shape[1]} x {image.shape[0]}"
            raise UserError(f"{self.path}: frames of {size} pixels are too large for H.264; save=false does without")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._stack.enter_context(replaced_atomically(self.path))
        container = self._stack.enter_context(av.open(f"file:{temporary}", "w", format="mp4"))
        stream = container.add_stream("libx264", rate=Fraction(self.fps).limit_denominator(1001), options=_H264)
        stream.height, stream.width = (
            length + length % 2 for length in image.shape[:2]
        )  # halves are stored of colours
        stream.pix_fmt, stream.time_base = "yuv420p", _TIME_BASE
        context = stream.codec_context
        context.time_base, context.thread_count = _TIME_BASE, usable_cores()
        # without these, players guess by the size which colours are meant
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        self._output = container, stream
        return self._output


def _fitted(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring an image to a size: repeat its last row or column, or shrink or enlarge it and put black beside it."""
    rows, columns = height - image.shape[0], width - image.shape[1]
    if rows in (0, 1) and columns in (0, 1):
        return cv2.copyMakeBorder(image, 0, rows, 0, columns, cv2.BORDER_REPLICATE) if rows or columns else image
    scale = min(height / image.shape[0], width / image.shape[1])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    fitted = np.zeros((height, width, 3), dtype=np.uint8)
    fitted[: size[1], : size[0]] = resized
    return fitted
