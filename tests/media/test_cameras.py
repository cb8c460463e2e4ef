"""Cameras, with one that stands in for OpenCV's."""

import cv2
import numpy as np
import pytest
from videos import parted

from maskcls.errors import UserError
from maskcls.media import live
from maskcls.media.cameras import camera_clip
from maskcls.media.clips import clips
from maskcls.media.selection import Selection
from maskcls.media.source import Camera, Source


class _Capture:
    """Gives one blue picture, in OpenCV's order of channels, and breaks off; camera 1 gives none, camera 2 is none."""

    opened: tuple[int, ...] = ()
    released = 0

    def __init__(self, number: int) -> None:
        self.number, self.pictures = number, number == 0
        type(self).opened += (number,)

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self.number != 2

    def read(self) -> tuple[bool, np.ndarray | None]:
        is_read, self.pictures = self.pictures, False
        return is_read, np.full((4, 6, 3), (255, 0, 0), dtype=np.uint8) if is_read else None

    def release(self) -> None:
        type(self).released += 1


@pytest.fixture(autouse=True)
def camera(monkeypatch: pytest.MonkeyPatch) -> type[_Capture]:
    monkeypatch.setattr(cv2, "VideoCapture", _Capture)
    monkeypatch.setattr(live, "PAUSES", (0.6,))
    monkeypatch.setattr(_Capture, "opened", ())
    monkeypatch.setattr(_Capture, "released", 0)
    return _Capture


def test_pictures_are_rgb_and_the_camera_is_opened_again_and_released(camera: type[_Capture]) -> None:
    frames, (unusable,) = parted(camera_clip(Camera(0), Selection()))
    assert [(frame.path, frame.number) for frame in frames] == [("camera 0", 0), ("camera 0", 1)]
    assert {tuple(pixel) for frame in frames for pixel in frame.image.reshape(-1, 3)} == {(0, 0, 255)}
    assert unusable.reason.startswith("broke off, also after 1 more tries: the camera gives no picture")
    assert (camera.opened, camera.released) == ((0, 0), 2)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (1, "source: camera 1: the camera gives no picture"),
        (2, "source: camera 2: there is no such camera, or another program uses it"),
    ],
)
def test_a_camera_without_pictures_is_refused(camera: type[_Capture], number: int, message: str) -> None:
    with pytest.raises(UserError) as caught:
        list(camera_clip(Camera(number), Selection()))
    assert str(caught.value) == message
    assert camera.released == 1


def test_a_machine_without_cameras(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.undo()
    with pytest.raises(UserError, match="camera 99: there is no such camera"):
        [list(clip) for clip in clips(Source("99", [Camera(99)]))]
    assert capfd.readouterr() == ("", "")
