"""What a prediction writes: each output is a context that yields a function, which takes the pictures one by one."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from maskcls.files import replaced_atomically, table
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
    """Write a row for each face, as CSV or as a JSON object a line, whichever the name of the file says."""
    with (_csv if path.suffix == ".csv" else _json_lines)(path, naming) as write:

        def add(seen: Seen | Unusable) -> None:
            if isinstance(seen, Seen):
                for row in rows_of(seen, naming):
                    write(row)

        yield add


@contextmanager
def _csv(path: Path, naming: Naming) -> Iterator[Callable[[Row], None]]:
    with table(path) as write:
        place = ["frame", "seconds", "face", "found", "left", "top", "width", "height", "score"]
        columns = [f"probability_{name}" for name in naming.classes]
        write(["path", *place, "prediction", *columns, "passes_threshold", "damaged"])

        def add(row: Row) -> None:
            seconds = None if row.seconds is None else f"{row.seconds:.3f}"
            score = None if row.score is None else f"{row.score:.4f}"
            numbers = [f"{p:.9g}" for p in row.probabilities] or [""] * len(naming.classes)
            passes = None if row.passes_threshold is None else str(row.passes_threshold).lower()
            place = (row.frame, seconds, row.face, row.found, *(row.box or [None] * 4), score)
            write([row.path, *place, row.prediction, *numbers, passes, row.damaged])

        yield add


@contextmanager
def _json_lines(path: Path, naming: Naming) -> Iterator[Callable[[Row], None]]:
    # bytes of a file name that are not UTF-8 become JSON's own escapes
    with (
        replaced_atomically(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace") as file,
    ):

        def add(row: Row) -> None:
            content: dict[str, Any] = row._asdict()
            content["probabilities"] = dict(
                zip(naming.classes, row.probabilities, strict=False)
            )  # empty if there are none
            file.write(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")

        yield add
