"""The frames of a source: its items are opened one after another, each by what it is."""

from collections.abc import Generator
from pathlib import Path

from maskcls.data.decode import MAX_BYTES
from maskcls.data.formats import HEAD_BYTES, format_of, is_film
from maskcls.data.left_out import VIDEO_SUFFIXES
from maskcls.data.truncation import has_more
from maskcls.errors import raise_machine_failure
from maskcls.media.cameras import camera_clip
from maskcls.media.frames import Clip
from maskcls.media.pictures import picture_clip
from maskcls.media.piped import piped_clip
from maskcls.media.selection import Selection
from maskcls.media.source import Address, Camera, File, Item, Source, StandardInput
from maskcls.media.streams import address_clip
from maskcls.media.videos import video_clip

# their content is that of JPEG files in a row: the name tells that it is a video
_JPEG_VIDEOS = (".mjpeg", ".mjpg")


def clips(source: Source, *, every: int = 1, max_fps: float | None = None) -> Generator[Clip]:
    """Open the items of a source, one after another. A video is closed when the next item is asked for.

    Args:
        every: use each Nth frame of a video, from the first one; all pictures are used.
        max_fps: use at most so many frames of a second of a video; None for no limit.

    Raises:
        UserError: a camera, an address or standard input gives nothing.
    """
    for item in source.items:
        clip = _opened(item, Selection(every, max_fps))
        try:
            yield clip
        finally:
            clip.close()


def _opened(item: Item, selection: Selection) -> Clip:
    match item:
        case File(path):
            return video_clip(path, selection) if _is_video(path) else picture_clip(path)
        case Camera():
            return camera_clip(item, selection)
        case Address():
            return address_clip(item, selection)
        case StandardInput():
            return piped_clip(item, selection)


def _is_video(path: Path) -> bool:
    """Whether a file is read as a video: its content decides, or its name if the content is not known."""
    try:
        if not path.is_file():  # reading from a pipe may never end
            return False
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            kind, suffix = format_of(head), path.suffix.lower()
            if kind == "GIF":
                return path.stat().st_size <= MAX_BYTES and has_more(head + file.read(), kind)
    except OSError as error:
        raise_machine_failure(error, path)
        return False
    return suffix in _JPEG_VIDEOS if kind else is_film(head) or suffix in VIDEO_SUFFIXES
