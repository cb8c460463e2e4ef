"""Lists what folders hold: the image files, and everything that is left out, each with a reason."""

import functools
import glob
import os
import stat
import unicodedata
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from maskcls.data.left_out import (
    DANGLING,
    REPEATED,
    SYSTEM,
    UNSEARCHED,
    files_in,
    is_system,
    left_out_reason,
    own_reason,
    summaries,
    system_reason,
)
from maskcls.errors import UserError, raise_machine_failure

_IMAGE_SOURCES = "expected an image, a folder or a pattern such as photos/*.jpg"
_SOURCES = (
    "expected a picture, a video, a folder, a pattern such as photos/*.jpg, a text file of paths, the number of a "
    "camera, an address such as rtsp://192.168.1.20/video, or - for standard input"
)


@dataclass
class Listing:
    """What is below some folders.

    Attributes:
        images: paths of image files by the folder that was asked for, sorted.
        left_out: the reason why each other path is left out; a folder stands for everything in it.
    """

    images: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def list_images(root: Path, folders: Iterable[str], *, with_videos: bool = False) -> Listing:
    """List the files below folders, without those of `is_system`. Links to folders are followed.

    A file that two paths lead to is listed once: under its own path rather than by a link. Two names of one file (hard
    links) are two files, as copies are.

    Args:
        root: folder that all paths are relative to.
        folders: the folders, such as ``Train/WithMask``; ``.`` stands for the root.
        with_videos: list videos among the images.

    Raises:
        UserError: a folder cannot be listed.
    """
    walk = _Walk(root, os.path.realpath(root), with_videos)
    walk.listing.images = {folder: [] for folder in folders}
    for folder in walk.listing.images:
        if (root / folder).is_symlink():
            walk.links.append((folder, folder))
        else:
            walk.scan(folder, folder, os.path.realpath(root / folder))
    while walk.links:
        walk.follow(*walk.links.popleft())
    images = {folder: sorted(paths) for folder, paths in walk.listing.images.items()}
    return Listing(images, dict(sorted(walk.listing.left_out.items())))


@dataclass
class _Walk:
    """State of `list_images`.

    Attributes:
        root: folder that all paths are relative to.
        real_root: the same without links.
        with_videos: whether videos are listed among the images.
        listing: what was found.
        links: links to follow when all else is listed, each with the folder that was asked for.
        seen: the path of each folder and file that was listed, by its path without links.
    """

    root: Path
    real_root: str
    with_videos: bool
    listing: Listing = field(default_factory=Listing)
    links: deque[tuple[str, str]] = field(default_factory=deque)
    seen: dict[str, str] = field(default_factory=dict)

    def scan(self, top: str, folder: str, real: str) -> None:
        """List a folder, which is no link; put the links in it off."""
        pending = [(folder, real)]
        while pending:
            folder, real = pending.pop()
            if self._is_repeated(folder, real):
                continue
            for entry in entries(self.root / folder):
                path = entry.name if folder == "." else f"{folder}/{entry.name}"
                if reason := system_reason(entry):
                    self.listing.left_out[path] = reason
                elif entry.is_symlink():
                    self.links.append((top, path))
                elif entry.is_dir() and (reason := own_reason(self.root / path)):
                    self.listing.left_out[path] = reason
                elif entry.is_dir():
                    # a junction of Windows is a link that does not look like one
                    pending.append((path, os.path.realpath(entry.path)))
                else:
                    is_regular = entry.is_file(follow_symlinks=False)
                    self._add(top, path, os.path.join(real, entry.name), is_regular=is_regular)

    def follow(self, top: str, path: str) -> None:
        """List what a link leads to, unless it leads nowhere, or around itself."""
        full = self.root / path
        try:
            is_folder = stat.S_ISDIR(full.stat().st_mode)
        except OSError as error:
            raise_machine_failure(error, full)
            self.listing.left_out[path] = f"{DANGLING}: {os.readlink(full)} {_fault(error)}"
            return
        real = os.path.realpath(full)
        if not is_folder:
            self._add(top, path, real)
        elif any(_is_below(inner, real) for inner in (self.real_root, os.path.realpath(full.parent))):
            self.listing.left_out[path] = f"{REPEATED}: links to a folder around it"
        else:
            self.scan(top, path, real)

    def _add(self, top: str, path: str, real: str, *, is_regular: bool = False) -> None:
        if self._is_repeated(path, real):
            return
        if reason := left_out_reason(self.root / path, is_regular=is_regular, with_videos=self.with_videos):
            self.listing.left_out[path] = reason
        else:
            self.listing.images[top].append(path)

    def _is_repeated(self, path: str, real: str) -> bool:
        first = self.seen.setdefault(real, path)
        if first != path:
            self.listing.left_out[path] = f"{REPEATED}: is {first}"
        return first != path


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _fault(error: OSError) -> str:
    return "does not exist" if isinstance(error, FileNotFoundError) else f"leads nowhere: {error.strerror}"


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what a folder holds, sorted by name.

    Raises:
        UserError: the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise_machine_failure(error, folder)
        raise UserError(f"{folder}: cannot list this folder: {error.strerror}") from None


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, linked ones too, without those of `is_system`; sorted.

    Raises:
        UserError: the folder cannot be listed.
    """
    return [entry.name for entry in entries(folder) if not is_system(entry.name) and leads_to_folder(entry)]


def leads_to_folder(entry: os.DirEntry[str]) -> bool:
    """Whether this is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def as_listed(root: Path, path: str) -> str:
    """Return a path below a folder in the letters that the folders list: macOS and Windows take other capitals, too.

    Args:
        root: the folder.
        path: of something that exists, separated by '/'.

    Raises:
        UserError: a folder cannot be listed.
    """
    parts: list[str] = []
    for part in path.split("/"):
        names = [entry.name for entry in entries(root.joinpath(*parts))]
        alike = (name for name in names if _without_case(name) == _without_case(part))
        parts.append(part if part in names else next(alike, part))
    return "/".join(parts)


def _without_case(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def find_images(source: str, *, with_videos: bool = False) -> tuple[list[Path], dict[str, str]]:
    """Return the image files that ``source`` names, sorted, and why others are left out, by path.

    Args:
        source: a file of any name; a folder, searched with its subfolders; or a pattern such as photos/*.jpg.
        with_videos: list videos among the images.

    Returns:
        The files, and the reasons: by paths relative to the folder, or as the pattern gives them.

    Raises:
        UserError: there is no such file, or a folder cannot be listed.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return [path], {}
    left_out: dict[str, str]
    if path.is_dir():
        listing = list_images(path, ["."], with_videos=with_videos)
        files, left_out = [path / name for name in listing.images["."]], listing.left_out
    else:
        files, left_out = _matching(path, with_videos=with_videos)
    if not files:
        file = "image or video file" if with_videos else "image file"
        kind = f"this folder holds no {file}" if path.is_dir() else f"no such file, and no {file} of this pattern"
        found = f" ({'; '.join(summaries(left_out))})" if left_out else ""
        raise UserError(f"source={source}: {kind}{found}; {_SOURCES if with_videos else _IMAGE_SOURCES}")
    return sorted(files), left_out


def _matching(pattern: Path, *, with_videos: bool) -> tuple[list[Path], dict[str, str]]:
    """Return the image files that match a pattern, and why others are left out. Folders are not searched."""
    # brackets in the name of a folder that exists are part of its name
    folder = glob.escape(str(pattern.parent)) if pattern.parent.is_dir() else str(pattern.parent)
    # number of the folders that are typed without wildcards: those may have any name
    typed = len(pattern.parent.parts if pattern.parent.is_dir() else list(takewhile(_is_plain, pattern.parts)))
    files: list[Path] = []
    left_out: dict[str, str] = {}
    seen: dict[str, str] = {}
    reason_of = functools.cache(own_reason)
    for name in sorted(set(glob.glob(f"{folder}/{pattern.name}", recursive=True))):
        if os.path.isdir(name):
            if "**" not in str(pattern):  # which matches the files in it, too
                left_out[name] = f"{UNSEARCHED}: {files_in(Path(name))}"
            continue
        first = seen.setdefault(os.path.realpath(name), name)
        if first != name:
            left_out[name] = f"{REPEATED}: is {first}"
        elif any(map(is_system, Path(name).parts[typed:])):
            left_out[name] = f"{SYSTEM} file"
        elif own := next(filter(reason_of, _folders_of(Path(name), typed)), None):
            left_out[str(own)] = str(reason_of(own))
        elif reason := left_out_reason(Path(name), with_videos=with_videos):
            left_out[name] = reason
        else:
            files.append(Path(name))
    return files, left_out


def _folders_of(file: Path, typed: int) -> Iterable[Path]:
    """The folders of a file that a pattern's wildcards found, the outermost first."""
    return [parent for parent in reversed(file.parents) if len(parent.parts) > typed]


def _is_plain(part: str) -> bool:
    return not glob.has_magic(part)
