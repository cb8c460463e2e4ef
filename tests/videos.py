"""Videos that tests make."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from maskcls.media.frames import Clip, Frame, Unusable

MILLISECOND = Fraction(1, 1000)


def numbered(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Return grey images, RGB uint8 [height, width, 3], that `number_of` tells apart; at most 50."""
    return [np.full((height, width, 3), 20 + 4 * number, dtype=np.uint8) for number in range(count)]


def number_of(image: np.ndarray) -> int:
    """Return the position of an image in `numbered`, also after it was compressed."""
    return round((float(image.mean()) - 20) / 4)


def write_video(
    path: Path,
    images: Iterable[np.ndarray],
    *,
    times: Sequence[int] | None = None,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rotation: int | None = None,
    sound: bool = False,
    kind: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write RGB images as a video of 25 frames a second.

    Args:
        path: its ending names the container, unless ``kind`` does.
        times: of each frame in milliseconds, instead of 25 frames a second.
        codec: name of the encoder.
        pixels: name of the pixel format.
        rotation: degrees against the clock by which players turn it.
        sound: whether to add two seconds of silence.
        options: of the container.
    """
    images = list(images)
    with av.open(str(path), "w", format=kind, options=options) as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = *images[0].shape[:2], pixels
        stream.codec_context.gop_size = 10
        if times is not None:
            stream.codec_context.time_base, stream.codec_context.max_b_frames = MILLISECOND, 0
        if rotation is not None:
            stream.set_display_rotation(rotation)
        silence = [*_silence(container)] if sound else []
        for position, image in enumerate(images):
            frame = VideoFrame.from_ndarray(image, "rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[position], MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for packet in silence:
            container.mux(packet)
    return path


def write_sound(path: Path) -> Path:
    """Write two seconds of silence."""
    with av.open(str(path), "w") as container:
        for packet in _silence(container):
            container.mux(packet)
    return path


def _silence(container: av.container.OutputContainer) -> "Iterable[av.Packet[AudioStream]]":
    stream = container.add_stream("aac", rate=8000, layout="mono")
    container.start_encoding()
    for start in range(0, 16000, 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, start
        yield from stream.encode(frame)
    yield from stream.encode(None)


def frames_of(clip: Clip) -> list[Frame]:
    """Go through a clip that is whole."""
    frames, unusable = parted(clip)
    assert unusable == []
    return frames


def parted(clip: Clip) -> tuple[list[Frame], list[Unusable]]:
    """Go through a clip; return its frames, and what of it cannot be used."""
    items = list(clip)
    return [one for one in items if isinstance(one, Frame)], [one for one in items if isinstance(one, Unusable)]
