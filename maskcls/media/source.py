"""What ``source=`` names: files, a camera, an address or standard input. Nothing is opened but folders and lists."""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from maskcls.data.formats import HEAD_BYTES, format_of, is_film
from maskcls.data.walk import find_images
from maskcls.errors import UserError, raise_machine_failure
from maskcls.wording import counted, shortened

SCHEMES = ("rtsp", "rtsps", "http", "https", "udp", "tcp", "rtmp")
STANDARD_INPUT = "-"
LIST_SUFFIX = ".txt"

_CAMERA = re.compile(r"[0-9]{1,4}")  # OpenCV takes hundreds for kinds of cameras
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_USER_PASSWORD = re.compile(r"(://[^:/@?#]*):.*@")
_KEY_PASSWORD = re.compile(
    r"((?:(?<![a-z])pass|password|passwd|pwd|loginpas|token|secret|api[_-]?key|signature|credential)=)[^&#]*",
    re.IGNORECASE,
)
_HIDDEN = "***"


class File(NamedTuple):
    """A picture or a video: its content tells which."""

    path: Path

    @property
    def shown(self) -> str:
        """The path as it was given."""
        return str(self.path)


class Camera(NamedTuple):
    """A camera of this machine, by its number."""

    number: int

    @property
    def shown(self) -> str:
        """The camera as messages and tables name it."""
        return f"camera {self.number}"


class Address(NamedTuple):
    """A stream or a file of another machine."""

    address: str

    @property
    def shown(self) -> str:
        """The address without its password."""
        return without_password(self.address)


class StandardInput(NamedTuple):
    """The bytes of one picture or video, which another program writes."""

    @property
    def shown(self) -> str:
        """What messages and tables name it."""
        return "standard input"


Item = File | Camera | Address | StandardInput


@dataclass(frozen=True)
class Source:
    """What a source names.

    Attributes:
        given: the source as it was typed, without a password.
        items: what to read, in this order.
        left_out: why other files are left out, by path.
        folder: the folder that holds all files, at any depth; None if there is none.
    """

    given: str
    items: Sequence[Item]
    left_out: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


def find_source(source: str) -> Source:
    """Find what a source names. Cameras, streams and standard input are not opened.

    Args:
        source: a picture or a video; a folder, searched with its subfolders; a pattern such as photos/*.jpg; a text
            file of paths; a camera's number; an address of `SCHEMES`; or ``-`` for standard input.

    Raises:
        UserError: there is no such thing.
    """
    if source == STANDARD_INPUT:
        return Source(source, [_standard_input()])
    if match := _ADDRESS.match(source):
        address = _address(source, match[1].lower())
        return Source(address.shown, [address])
    path = Path(source).expanduser()
    if _CAMERA.fullmatch(source) and not path.exists():
        return Source(source, [Camera(int(source))])
    left_out: Mapping[str, str] = {}
    if _is_list(path):
        files = list(_listed(path))
        _require_any(files, source)
    else:
        files, left_out = find_images(source, with_videos=True)
    folder = path if path.is_dir() else _common_folder(files)
    return Source(source, [File(file) for file in files], left_out, folder)


def _require_any(files: Sequence[Path], source: str) -> None:
    """Refuse a list of which no file exists.

    Raises:
        UserError: it is one.
    """
    if any(map(os.path.exists, files)):  # of a name that is too long, Path.exists would raise an error
        return
    # a line of a file that is no list may have any length
    count = counted(len(files), "file")
    found = f"none of its {count} exists, such as {shortened(str(files[0]), 200)}" if files else "it names no file"
    raise UserError(f"source={source}: {found}; expected the path of a picture or a video in each line")


def without_password(address: str) -> str:
    """Return an address with stars in place of its password, which must be in no table and no message."""
    return _KEY_PASSWORD.sub(rf"\1{_HIDDEN}", _USER_PASSWORD.sub(rf"\1:{_HIDDEN}@", address))


def _standard_input() -> StandardInput:
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        raise UserError("source=-: nothing is piped in; expected the bytes of a picture or a video on standard input")
    return StandardInput()


def _address(address: str, scheme: str) -> Address:
    shown = without_password(address)
    if scheme not in SCHEMES:
        raise UserError(f"source={shown}: maskcls does not read from {scheme}; expected one of {', '.join(SCHEMES)}")
    try:
        parts = urlsplit(address)
        has_host = bool(parts.hostname or (scheme in ("udp", "tcp") and parts.port))
    except ValueError:  # a port that is no number
        has_host = False
    if not has_host:
        raise UserError(f"source={shown}: no address; expected one such as {scheme}://192.168.1.20/video")
    return Address(f"{scheme}{address[len(scheme) :]}")  # libav knows small letters only


def _is_list(path: Path) -> bool:
    """Whether this is a text file of paths, rather than a picture or a video with an odd name."""
    if path.suffix.lower() != LIST_SUFFIX or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise_machine_failure(error, path)
        raise UserError(f"source={path}: cannot be opened: {error.strerror}") from None
    return format_of(head) is None and not is_film(head)


def _listed(path: Path) -> Iterator[Path]:
    """Yield the paths in a text file, each once; relative ones are relative to its folder."""
    seen = set()
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        for line in map(str.strip, lines):
            if "\0" in line:  # no path holds a zero, but text in UTF-16 does
                raise UserError(f"source={path}: not a text file in UTF-8; expected a path in each line")
            if line and not line.startswith("#") and line not in seen:
                seen.add(line)
                yield path.parent / Path(line).expanduser()


def _common_folder(files: Sequence[Path]) -> Path | None:
    try:
        return Path(os.path.commonpath([os.path.abspath(file.parent) for file in files]))
    except ValueError:  # they are on several drives of Windows
        return None
