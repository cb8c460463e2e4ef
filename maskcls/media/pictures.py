"""Picture files as clips of one frame."""

from collections.abc import Iterator
from pathlib import Path

from maskcls.data.decode import Decoded, UnreadableImageError, decode_content, decode_file
from maskcls.media.frames import Clip, Frame, Unusable


def picture_clip(path: Path) -> Clip:
    """Return a picture file as a clip, which reads it when it is gone through."""
    return Clip(str(path), _read(path, None), is_video=False)


def picture_of(content: bytes, name: str) -> Clip:
    """Return the content of a picture file as a clip of this name."""
    return Clip(name, _read(Path(name), content), is_video=False)


def _read(path: Path, content: bytes | None) -> Iterator[Frame | Unusable]:
    try:
        decoded = decode_file(path) if content is None else decode_content(content, path)
    except UnreadableImageError as error:
        yield Unusable(str(path), str(error).removeprefix(f"{path}: "))
    else:
        yield _framed(str(path), decoded)


def _framed(path: str, decoded: Decoded) -> Frame:
    return Frame(path, 0, None, decoded.image, decoded.damage, decoded.remark or None)
