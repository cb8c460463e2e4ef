"""Video files as clips, decoded by PyAV: upright, with their own times, and as far as a damaged file can be decoded.

PyAV rather than OpenCV's VideoCapture: it gives the time of each frame where the rate changes, tells which frames are
damaged, and prints nothing. A frame takes both about as long. Sound is not read.
"""

import errno
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import av
from av.container import InputContainer
from av.container.core import Flags
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from maskcls.cores import usable_cores
from maskcls.data.formats import HEAD_BYTES, described
from maskcls.media.frames import Clip, Counts, Frame, Unusable
from maskcls.media.pixels import upright_rgb
from maskcls.media.selection import Selection
from maskcls.wording import counted

DAMAGED = "parts of this frame are damaged"
# of videos that state neither times nor a rate, such as bare H.264
DEFAULT_FPS = 25.0
# a video is cut off if it ends so much before the end that it states: seconds, and a share of its length
_MISSING_SECONDS, _MISSING_SHARE = 0.5, 0.01
_MICROSECONDS = 1_000_000
# names of libav's demuxers
_FORMATS = (
    "mov,matroska,avi,mpeg,mpegts,mpegtsraw,asf,flv,live_flv,ogg,mxf,dv,gif,rm,nut,ivf,wtv,yuv4mpegpipe,mjpeg,"
    "mpegvideo,m4v,h263,h264,hevc,vc1,av1,obu"
)
_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)


class Readable(Protocol):
    """A file that can be read on, as standard input can."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes, none at the end."""


def video_clip(path: Path, selection: Selection) -> Clip:
    """Open a video file as a clip. A file that cannot be opened gives a clip of one `Unusable`."""
    name = str(path)
    try:
        container = open_video(f"file:{path}")  # without "file:", a colon in a name would mean another protocol
    except av.FFmpegError as error:
        if error.errno in _TOO_MANY_FILES:
            raise
        return unusable_clip(name, refusal(_head_of(path), error))
    return clip_of(container, name, selection)


def open_video(file: str | Readable) -> InputContainer:
    """Open a video, but no playlist, which leads to other files; nor does libav guess by the name.

    Raises:
        av.FFmpegError: it cannot be opened.
    """
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    container = av.open(file, "r", options=options, metadata_errors="replace")
    if container.format.name == "avi":  # it has no times, and those that would be made up are in a wrong order
        made_up: Any = Flags.gen_pts
        container.flags &= ~made_up.value
    return container


def clip_of(container: InputContainer, name: str, selection: Selection) -> Clip:
    """Return the first video of an open container as a clip, which closes the container."""
    stream = first_video(container)
    if isinstance(stream, str):
        container.close()
        return unusable_clip(name, stream)
    counts = Counts()
    frames = _read(_Reading(container, stream, counts), name, selection)
    fps = float(stream.average_rate) if stream.average_rate else None
    expected = round(container.duration / _MICROSECONDS * fps) if container.duration and fps else 0
    length = stream.frames or expected or None
    # the generator, not only the container: PyAV crashes if it reads on from a container that was closed
    return Clip(name, frames, is_video=True, fps=fps, length=length, counts=counts, close=frames.close)


def unusable_clip(name: str, reason: str) -> Clip:
    """Return the clip of a video that cannot be used."""
    return Clip(name, [Unusable(name, reason)], is_video=True)


def first_video(container: InputContainer) -> VideoStream | str:
    """Return the first video of a container, ready to be decoded by threads, or why it has none."""
    videos = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
    if not videos:
        return "holds sound only, no video" if container.streams.audio else "holds no video"
    if videos[0].codec_context is None:
        return "no decoder is known for this video"
    context = videos[0].codec_context
    context.thread_type, context.thread_count = "AUTO", usable_cores()
    limit = os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"]
    if limit.isdecimal():  # the decoder would take the memory that a damaged file claims to need
        context.options = {"max_pixels": limit}
    return videos[0]


@dataclass
class _Reading:
    """The decoder of a container, and how far it has come.

    Attributes:
        counts: where packets are counted that cannot be decoded.
        reached: when the last packet of any stream ends, in seconds of the container's own time.
        fault: why reading ended before the file did; empty if it did not.
        pending: packets of the video that have given no frame so far.
    """

    container: InputContainer
    stream: VideoStream
    counts: Counts
    reached: float = 0.0
    fault: str = ""
    pending: int = 0

    def frames(self) -> Generator[VideoFrame]:
        """Yield all frames that can be decoded."""
        try:
            for packet in self.container.demux():
                self._note(packet)
                if packet.stream.index == self.stream.index:
                    yield from self._decoded(packet)
        except av.FFmpegError as error:
            self.fault = error_text(error)
            yield from self._decoded(None)  # those that the decoder still holds
        if self.stream.codec_context.name != "vp8":  # which has packets without a frame to be shown
            self.counts.undecodable += max(0, self.pending)

    def _decoded(self, packet: "Packet[Any] | None") -> list[VideoFrame]:
        try:
            frames = self.stream.decode(packet)
        except av.FFmpegError:  # with several threads, most errors are not told
            frames = []
        self.pending -= len(frames)
        return frames

    def _note(self, packet: "Packet[Any]") -> None:
        is_shown = packet.size and not packet.is_discard
        self.pending += bool(is_shown and packet.stream.index == self.stream.index)
        start = packet.pts if packet.pts is not None else packet.dts
        if start is not None and packet.time_base:
            self.reached = max(self.reached, float((start + (packet.duration or 0)) * packet.time_base))

    @property
    def origin(self) -> float | None:
        """When the video begins, in seconds of the container's own time."""
        start = self.container.start_time
        return None if start is None else start / _MICROSECONDS

    @property
    def missing(self) -> str:
        """Say how much of the video is missing at its end; empty if nothing seems to be."""
        stated = (self.container.duration or 0) / _MICROSECONDS
        reached = self.reached - (self.origin or 0.0)
        if stated - reached <= max(_MISSING_SECONDS, _MISSING_SHARE * stated):
            return ""
        return f"cut off: it ends after {reached:.2f} of {stated:.2f} seconds"


def _read(reading: _Reading, name: str, selection: Selection) -> Generator[Frame | Unusable]:
    counts, reformatter = reading.counts, VideoReformatter()
    rate = float(reading.stream.average_rate or DEFAULT_FPS)
    origin, number, time = reading.origin, -1, None
    with reading.container, closing(reading.frames()) as decoded:
        for number, frame in enumerate(decoded):
            expected = (origin or 0.0) if time is None else time + 1 / rate
            time = expected if frame.time is None else frame.time
            origin = time if origin is None else origin
            seconds = max(0.0, time - origin)
            if not selection.takes(number, seconds):
                counts.skipped += 1
                continue
            try:
                image = upright_rgb(frame, reformatter)
            except av.FFmpegError:
                counts.undecodable += 1
                continue
            yield Frame(name, number, seconds, image, DAMAGED if frame.is_corrupt else None)
        missing = reading.missing
    if number < 0:
        yield Unusable(name, f"none of its frames can be decoded{reading.fault and f': {reading.fault}'}")
    elif reading.fault or missing:
        fault = missing or f"breaks off: {reading.fault}"
        yield Unusable(name, f"{fault}; the {counted(number + 1, 'frame')} before that are used")


def hinted(frames: Iterable[Frame | Unusable], hint: str) -> Iterator[Frame | Unusable]:
    """Yield frames; if there are none, the reason ends with a hint."""
    has_frames = False
    for frame in frames:
        if isinstance(frame, Unusable) and hint and not has_frames:
            frame = frame._replace(reason=f"{frame.reason}; {hint}")
        yield frame
        has_frames = True


def refusal(head: bytes, error: av.FFmpegError) -> str:
    """Say why a video cannot be opened.

    Args:
        head: its first `HEAD_BYTES` bytes.
    """
    if not isinstance(error, av.InvalidDataError | av.ArgumentError):  # the second: not one of the formats allowed
        return error_text(error)
    if not head:
        return "it is empty"
    what = described(head)
    if what.endswith(" film"):
        return f"{what} without an index: it is cut off, damaged or was never finished"
    return f"{what}, not a video"


def error_text(error: av.FFmpegError) -> str:
    """Return the text of an error of libav, without the address, which may hold a password."""
    return error.strerror or type(error).__name__


def _head_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:  # the error of libav says why
        return b""
