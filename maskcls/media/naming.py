"""Names of annotated pictures and videos: those of their files, in the same folders."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePath

PICTURE_SUFFIXES, VIDEO_SUFFIXES = (".jpg", ".jpeg", ".png"), (".mp4",)
# what some file system or shell would take for something else, control characters, and bytes that are not UTF-8;
# and the sign that stands for them
_UNSAFE = re.compile(r"[^\w .,;!()\[\]{}+=@#$&~^-]|^[. ~-]|[. ]$")
# bytes of a name; most file systems allow 255, and an unfinished file's name is longer
_LONGEST = 200


@dataclass
class OutputNames:
    """Gives each file of a source a path of its own below a folder.

    Attributes:
        folder: the folder.
        root: folder of the source; paths are mirrored below it. None for a source that is no file.
        files: paths that were given, as they are compared where capitals do not count.
        folders: the folders in them, likewise.
    """

    folder: Path
    root: Path | None = None
    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def path_of(self, source: str, *, is_video: bool) -> Path:
        """Return where the annotated copy of a file is to be written; another path at each call.

        The name stays if its ending says JPEG, PNG or MP4, as is right for a picture or a video. Otherwise ``.jpg`` or
        ``.mp4`` is added.
        """
        *parents, name = map(_safe, self._parts(source))
        suffixes = VIDEO_SUFFIXES if is_video else PICTURE_SUFFIXES
        if not name.lower().endswith(suffixes):
            name += suffixes[0]
        if any(_key(parents[: depth + 1]) in self.files for depth in range(len(parents))):
            parents, name = [], "_".join([*parents, name])  # a folder of this name would take a file's place
        stem, suffix = os.path.splitext(name)
        number = 1
        while _key([*parents, name]) in self.files | self.folders:
            number += 1
            name = f"{stem} ({number}){suffix}"
        self.files.add(_key([*parents, name]))
        self.folders |= {_key(parents[: depth + 1]) for depth in range(len(parents))}
        return self.folder.joinpath(*parents, name)

    def _parts(self, source: str) -> list[str]:
        if self.root is None:
            return [source]
        parts = PurePath(os.path.relpath(source, self.root)).parts
        return [part for part in parts if part not in (os.pardir, os.sep)]


def _key(parts: list[str]) -> str:
    return "/".join(parts).casefold()


def _safe(part: str) -> str:
    """Replace what is not safe in a name by the numbers of its bytes, and the middle of a long name by a sign."""
    name = _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in os.fsencode(found[0])), part)
    while len(name.encode()) > _LONGEST:
        name = f"{name[: len(name) // 2 - 8]}~{name[len(name) // 2 + 8 :]}"
    return name
