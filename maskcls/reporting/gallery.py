"""The gallery of a prediction: one HTML page of thumbnails that needs no other file and no network.

The page is written in two steps, so that memory does not grow with the number of pictures: each becomes a line of a
temporary file as it comes, and the page is put together from the lines at the end, when the counts are known. In the
page each picture is text in an element of its own, and the browser decodes those in view.
"""

import base64
import json
import os
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, NamedTuple, Self

import cv2
import numpy as np

from maskcls.files import replaced_atomically
from maskcls.reporting.palette import CLASS_COLOURS
from maskcls.wording import counted

# longer side in pixels of a thumbnail, and its quality; 5,000 photographs take some 30 MB
THUMBNAIL_SIDE, QUALITY = 224, 70
# what stands before the name of each class, so that colour alone says nothing
SHAPES = "●■▲◆★▼"


class Tile(NamedTuple):
    """A face of a picture, or a whole picture, with the answer for it.

    Attributes:
        path: file that it is from, or the name of the stream.
        frame: number of the frame in a video, None for a picture.
        seconds: time of the frame.
        face: number of the face in the picture, None if the whole picture was classified, or nothing was.
        box: left, top, width and height of the face, in pixels of the picture.
        label: name of the class, None if no face was found and nothing was classified.
        probabilities: that of each class, empty without a label.
        picture: what is shown, RGB uint8 [height, width, 3] of any size: the face with its surroundings, or all of it.
        explained: what the network saw with its Grad-CAM over it, RGB uint8 [height, width, 3]; None without.
        note: what is odd about it, such as damage.
    """

    path: str
    frame: int | None
    seconds: float | None
    face: int | None
    box: tuple[int, int, int, int] | None
    label: str | None
    probabilities: tuple[float, ...]
    picture: np.ndarray
    explained: np.ndarray | None
    note: str | None


@dataclass(frozen=True)
class Headline:
    """What the head of the page says of the model and the source.

    Attributes:
        checkpoint: where the model is.
        source: what was predicted.
        classes: names of the classes, in the order of the probabilities.
        positive: name of the positive class, None if there is none.
        threshold: from which probability on the positive class is predicted.
        accuracy: a line that says how good the model is on its test images, None if that is not known.
    """

    checkpoint: str
    source: str
    classes: tuple[str, ...]
    positive: str | None = None
    threshold: float = 0.5
    accuracy: str | None = None


class GalleryWriter:
    """Writes a gallery, a context manager. The page appears whole at the end of the block, if that does not fail."""

    def __init__(self, path: Path, headline: Headline) -> None:
        """Prepare a gallery at ``path``, in a folder that exists."""
        self._path = path
        self._headline = headline
        self._counts: Counter[str | None] = Counter()
        self._faces = 0
        self._remarks: list[str] = []

    def __enter__(self) -> Self:
        self._lines: IO[str] = TemporaryFile("w+", encoding="ascii", dir=self._path.parent)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lines:
            if kind is None:
                self._write()

    def add(self, tile: Tile) -> None:
        """Add a tile to the page. The order does not matter.

        Raises:
            ValueError: if its label is not a class of the headline.
        """
        classes = self._headline.classes
        facts = {
            "path": _legible(tile.path),
            "link": self._link(tile),
            "frame": tile.frame,
            "seconds": tile.seconds,
            "face": tile.face,
            "box": tile.box,
            "label": None if tile.label is None else classes.index(tile.label),
            "probabilities": [round(p, 6) for p in tile.probabilities],
            "note": _legible(tile.note) if tile.note else None,
            "explained": tile.explained is not None,
        }
        pictures = [_webp(picture) for picture in (tile.picture, tile.explained) if picture is not None]
        self._lines.write("\t".join([_script_safe(facts), *pictures]) + "\n")
        self._counts[tile.label] += 1
        self._faces += tile.face is not None

    def remark(self, text: str) -> None:
        """Add a line to the head of the page, such as how many files could not be read."""
        self._remarks.append(text)

    def _link(self, tile: Tile) -> str | None:
        """The address of a tile's file, at the time of its frame: relative where the path is. None for a stream."""
        if not os.path.isfile(tile.path):
            return None
        path = Path(tile.path).absolute()
        if os.path.isabs(tile.path) or path.drive != self._path.absolute().drive:
            address = path.as_uri()
        else:
            relative = Path(os.path.relpath(tile.path, self._path.parent)).as_posix()
            address = urllib.parse.quote(os.fsencode(relative))
        return address if tile.seconds is None else f"{address}#t={tile.seconds:.2f}"

    def _write(self) -> None:
        import jinja2

        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("maskcls.reporting", ""), autoescape=True, undefined=jinja2.StrictUndefined
        )
        headline, total = self._headline, self._counts.total()
        classes = [
            {"name": _legible(name), "count": self._counts[name], **_look(position)}
            for position, name in enumerate(headline.classes)
        ]
        page = environment.get_template("gallery.html").stream(
            headline=headline,
            classes=classes,
            no_face=self._counts[None],
            total=total,
            what=self._what(),
            remarks=self._remarks,
            script_classes=_script_safe([{key: one[key] for key in ("name", "shape", "colour")} for one in classes]),
            tiles=self._tiles(),
        )
        with replaced_atomically(self._path) as temporary:
            page.dump(os.fspath(temporary), encoding="utf-8", errors="backslashreplace")

    def _what(self) -> str:
        """Count what the tiles are."""
        no_face = self._counts[None]
        whole = self._counts.total() - self._faces - no_face
        counts = [(self._faces, "face"), (whole, "picture"), (no_face, "picture")]
        parts = [counted(number, noun) for number, noun in counts if number]
        return ", ".join(parts) + (" without a face" if no_face else "") if parts else "no pictures"

    def _tiles(self) -> Iterator[str]:
        self._lines.seek(0)
        return (line.rstrip("\n") for line in self._lines)


def _look(position: int) -> dict[str, str]:
    """How a class is told from the others: a shape and a colour."""
    return {"shape": SHAPES[position % len(SHAPES)], "colour": CLASS_COLOURS[position % len(CLASS_COLOURS)]}


def _legible(text: str) -> str:
    """Replace bytes of a file name that are not UTF-8 by their escapes."""
    return text.encode(errors="backslashreplace").decode()


def _script_safe(value: object) -> str:
    """JSON that may stand in a script element: ASCII, and without a sign that could end the element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _webp(picture: np.ndarray) -> str:
    """Shrink a picture to a thumbnail; return it as base64."""
    scale = min(1.0, THUMBNAIL_SIDE / max(picture.shape[:2]))
    size = [max(1, round(length * scale)) for length in picture.shape[1::-1]]
    small = cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1]
    return base64.b64encode(encoded.tobytes()).decode()
