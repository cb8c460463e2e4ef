"""Cameras of this machine, which OpenCV reads."""

from collections.abc import Iterator
from functools import partial

import cv2
import numpy as np

from maskcls.media.frames import Clip, Counts
from maskcls.media.live import DroppedError, Picture, live_clip
from maskcls.media.selection import Selection
from maskcls.media.source import Camera


def camera_clip(camera: Camera, selection: Selection) -> Clip:
    """Return a camera as a clip without an end, as `maskcls.media.live.live_clip` does."""
    return live_clip(camera.shown, partial(_pictures, camera.number), selection, Counts())


def _pictures(number: int) -> Iterator[Picture]:
    capture = cv2.VideoCapture(number)
    try:
        if not capture.isOpened():
            raise DroppedError("there is no such camera, or another program uses it")
        while True:
            is_read, image = capture.read()
            if not is_read:
                raise DroppedError("the camera gives no picture")
            yield partial(_rgb, image)
    finally:
        capture.release()


def _rgb(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
