"""What a prediction writes: each output is a context that yields a function, which takes the pictures one by one."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from maskcls.files import add_byte_order_mark, append, cell, replaced_atomically
from maskcls.inference.pipeline import Answered, Seen
from maskcls.media.frames import Unusable

Output = Callable[[Seen | Unusable], None]


class Naming(NamedTuple):
    """How answers are written.

    Attributes:
        classes: names of the classes.
        positive: index of the positive class, None if there is none.
        threshold: the probability of the positive class that a decision for it needs.
    """

    classes: tuple[str, ...]
    positive: int | None
    threshold: float


class Row(NamedTuple):
    """A face, or a picture without one, as a row of the table; None and empty where something is not known.

    Attributes:
        path: the picture, video, camera or stream.
        frame: number of the frame in a video, from 0.
        seconds: its time in the video.
        face: number of the face in the picture, from 1, from left to right.
        found: found, fills or none, as `maskcls.data.faces.Face` has it; None if no face was looked for.
        box: left, top, width and height of the face in pixels.
        score: how sure the detector is, 0..1.
        prediction: the predicted class.
        probabilities: of each class.
        passes_threshold: whether the probability of the positive class reaches the checkpoint's threshold.
        damaged: what is wrong with the file.
    """

    path: str
    frame: int | None
    seconds: float | None
    face: int | None
    found: str | None
    box: tuple[int, int, int, int] | None
    score: float | None
    prediction: str | None
    probabilities: Sequence[float]
    passes_threshold: bool | None
    damaged: str | None


def rows_of(seen: Seen, naming: Naming) -> list[Row]:
    """One row for each face of a picture; one without a face if there is none."""
    frame = seen.frame
    about = (frame.path, frame.number if seen.clip.is_video else None, frame.seconds)
    if not seen.answers:
        return [Row(*about, None, "none", None, None, None, (), None, frame.damage)]
    return [
        _row(about, number, answered, frame.damage, naming) for number, answered in enumerate(seen.answers, start=1)
    ]


def _row(
    about: tuple[str, int | None, float | None], number: int, answered: Answered, damage: str | None, naming: Naming
) -> Row:
    found, probabilities = answered.subject.detection, answered.probabilities
    return Row(
        *about,
        face=number if found else None,
        found=answered.subject.finding,
        box=None if found is None else (round(found.left), round(found.top), round(found.width), round(found.height)),
        score=None if found is None else found.score,
        prediction=naming.classes[answered.label],
        probabilities=probabilities.tolist(),
        passes_threshold=(
            None if naming.positive is None else bool(probabilities[naming.positive] >= naming.threshold)
        ),
        damaged=damage,
    )


@contextmanager
def write_rows(path: Path, naming: Naming) -> Iterator[Output]:
    """Write a row for each face, as CSV or as a JSON object a line, whichever the name of the file says.

    All rows of a picture are written at once or, if the disk is full, not at all: what was written before is kept.
    """
    is_csv = path.suffix == ".csv"
    encoded = _csv if is_csv else _json_lines
    with replaced_atomically(path) as temporary:
        with temporary.open("wb", buffering=0) as file:
            if is_csv:
                append(file, _csv_text([_headings(naming)]))

            def add(seen: Seen | Unusable) -> None:
                if isinstance(seen, Seen):
                    append(file, encoded(rows_of(seen, naming), naming))

            yield add
        if is_csv:
            add_byte_order_mark(temporary)


def _headings(naming: Naming) -> list[str]:
    place = ["frame", "seconds", "face", "found", "left", "top", "width", "height", "score"]
    columns = [f"probability_{name}" for name in naming.classes]
    return ["path", *place, "prediction", *columns, "passes_threshold", "damaged"]


def _csv(rows: Iterable[Row], naming: Naming) -> bytes:
    return _csv_text(_cells(row, naming) for row in rows)


def _cells(row: Row, naming: Naming) -> list[object]:
    seconds = None if row.seconds is None else f"{row.seconds:.3f}"
    score = None if row.score is None else f"{row.score:.4f}"
    numbers = [f"{p:.9g}" for p in row.probabilities] or [""] * len(naming.classes)
    passes = None if row.passes_threshold is None else str(row.passes_threshold).lower()
    place = (row.frame, seconds, row.face, row.found, *(row.box or [None] * 4), score)
    return [row.path, *place, row.prediction, *numbers, passes, row.damaged]


def _csv_text(lines: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([cell(value) for value in line] for line in lines)
    return text.getvalue().encode()


def _json_lines(rows: Iterable[Row], naming: Naming) -> bytes:
    def line(row: Row) -> str:
        # probabilities are empty if there are none
        probabilities = dict(zip(naming.classes, row.probabilities, strict=False))
        content = row._asdict() | {"probabilities": probabilities}
        return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"

    # bytes of a file name that are not UTF-8 become JSON's own escapes
    return "".join(map(line, rows)).encode(errors="backslashreplace")
