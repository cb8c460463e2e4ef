"""From decoded frames to upright RGB."""

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from videos import write_video

from maskcls.media.pixels import upright_rgb

# red, green, blue and white quarters
QUARTERS = np.zeros((48, 64, 3), dtype=np.uint8)
QUARTERS[:24, :32], QUARTERS[:24, 32:], QUARTERS[24:, :32], QUARTERS[24:, 32:] = (
    *((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)),
)


def first_frame(path: Path) -> VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_a_frame_is_turned_as_its_video_says(tmp_path: Path, degrees: int, ending: str) -> None:
    frame = first_frame(write_video(tmp_path / f"a.{ending}", [QUARTERS] * 3, rotation=degrees))
    assert frame.rotation % 360 == degrees % 360
    image = upright_rgb(frame, VideoReformatter())
    expected = np.rot90(QUARTERS, degrees // 90)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected)[4::8, 4::8].max() < 30
    assert image.flags.c_contiguous
    assert image.flags.writeable


@pytest.mark.parametrize("mirrored", [("horizontally",), ("vertically",), ("horizontally", "vertically")])
def test_a_frame_is_mirrored_as_its_video_says(tmp_path: Path, mirrored: tuple[str, ...]) -> None:
    horizontal, vertical = "horizontally" in mirrored, "vertically" in mirrored
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(0, horizontal, vertical)
        container.mux(stream.encode(VideoFrame.from_ndarray(QUARTERS, "rgb24")))
        container.mux(stream.encode(None))
    expected = QUARTERS[:: -1 if vertical else 1, :: -1 if horizontal else 1]
    assert np.abs(upright_rgb(first_frame(path), VideoReformatter()).astype(int) - expected)[4::8, 4::8].max() < 30


@pytest.mark.parametrize(
    ("codec", "pixels", "ending"),
    [
        ("libx264", "yuv444p", "mp4"),
        ("ffv1", "yuv420p10le", "mkv"),
        ("mjpeg", "yuvj420p", "avi"),
        ("ffv1", "yuv422p12le", "mkv"),
        ("ffv1", "bgra", "mkv"),
        ("qtrle", "argb", "mov"),
        ("png", "rgb48be", "mov"),
    ],
)
@pytest.mark.parametrize("width", [64, 51])
def test_any_format_becomes_rgb(tmp_path: Path, codec: str, pixels: str, ending: str, width: int) -> None:
    images = [np.ascontiguousarray(QUARTERS[:, :width])] * 2
    path = write_video(tmp_path / f"a.{ending}", images, codec=codec, pixels=pixels)
    image = upright_rgb(first_frame(path), VideoReformatter())
    assert image.shape == (48, width, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert np.abs(image.astype(int) - images[0])[4::8, 4::8].max() < 12


@pytest.mark.parametrize("pixels", ["gray", "gray16le"])
def test_grey_becomes_three_equal_channels(tmp_path: Path, pixels: str) -> None:
    grey = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], 48, axis=0).repeat(3, axis=2)
    image = upright_rgb(
        first_frame(write_video(tmp_path / "a.mkv", [grey], codec="ffv1", pixels=pixels)), VideoReformatter()
    )
    assert np.abs(image.astype(int) - grey).max() <= 2
