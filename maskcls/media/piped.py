"""Standard input: the bytes of one picture or video, told apart by the first of them."""

import io
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import av

from maskcls.data.decode import MAX_BYTES
from maskcls.data.formats import HEAD_BYTES, format_of, is_film
from maskcls.data.truncation import has_more
from maskcls.media.frames import Clip, Frame, Unusable
from maskcls.media.pictures import picture_of
from maskcls.media.selection import Selection
from maskcls.media.source import StandardInput
from maskcls.media.videos import clip_of, hinted, open_video, refusal, unusable_clip

_PIPED = "if its index is at its end, give the file itself as source=FILE, because a pipe is read from its beginning"


def piped_clip(item: StandardInput, selection: Selection) -> Clip:
    """Read standard input as a clip. A picture is read whole, a video while it is gone through."""
    file, name = cast(io.BufferedReader, sys.stdin.buffer), item.shown
    start = file.tell() if file.seekable() else None
    head = file.read(HEAD_BYTES)
    kind = format_of(head)
    if kind:
        content = head + file.read(MAX_BYTES + 1 - len(head))
        if len(content) > MAX_BYTES:
            return unusable_clip(name, f"more than the {MAX_BYTES:,} bytes allowed")
        if kind != "GIF" or not has_more(content, kind):
            return picture_of(content, name)
        return _video(_Reader(io.BytesIO(content)), name, head, selection)
    if start == 0:  # a file, which is read from any place
        file.seek(0)
        return _video(_SeekableReader(file), name, head, selection)
    return _video(_Reader(file, head), name, head, selection)


class _Reader:
    """Reads on from a file whose first bytes were read. PyAV would lose a signal that comes while it reads.

    Attributes:
        failure: what reading raised, which ended the video.
    """

    def __init__(self, file: io.BufferedReader | io.BytesIO, head: bytes = b"") -> None:
        self.file, self.head = file, head
        self.failure: BaseException | None = None

    def read(self, size: int) -> bytes:
        """Return at most so many bytes, as many as there are at the moment; none at the end."""
        part, self.head = self.head[:size], self.head[size:]
        if part or self.failure:
            return part
        try:
            return self.file.read1(size)
        except BaseException as error:
            self.failure = error
            return b""


class _SeekableReader(_Reader):
    """The same for a file that can be read from any place."""

    def seek(self, offset: int, whence: int) -> int:
        """Go to a place."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place."""
        return self.file.tell()


def _video(reader: _Reader, name: str, head: bytes, selection: Selection) -> Clip:
    try:
        container = open_video(reader)
    except av.FFmpegError as error:
        clip = unusable_clip(name, refusal(head, error))
    else:
        clip = clip_of(container, name, selection)
    is_piped = is_film(head) and not isinstance(reader, _SeekableReader)
    return replace(clip, frames=_frames(clip, reader, _PIPED if is_piped else ""))


def _frames(clip: Clip, reader: _Reader, hint: str) -> Iterator[Frame | Unusable]:
    """Yield the frames of a clip, and raise what reading it raised; add a hint if it has none."""
    yield from hinted(clip, hint)
    if reader.failure:
        raise reader.failure
