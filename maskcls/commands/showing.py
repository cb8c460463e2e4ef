"""Outputs of a prediction for the eye: annotated pictures and videos, a window, the gallery, plots over time."""

import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count, zip_longest
from pathlib import Path

import cv2
import numpy as np

from maskcls.commands.outputs import Naming, Output, rows_of
from maskcls.config.types import Resize
from maskcls.data.decode import input_region
from maskcls.data.faces import square_around
from maskcls.errors import UserError
from maskcls.inference.pipeline import Answered, Seen
from maskcls.media.frames import Clip, Unusable
from maskcls.media.naming import OutputNames
from maskcls.media.writing import VideoWriter, write_picture
from maskcls.reporting.boxes import Mark, draw_marks
from maskcls.reporting.gallery import GalleryWriter, Headline, Tile
from maskcls.wording import counted

# longer side of the picture in a window, in pixels
WINDOW_SIDE = 1280
# side of what a gallery shows of a face, as a multiple of the longer side of its box
SURROUNDINGS = 1.8
# keys that close a window: q, Q, Esc
CLOSING_KEYS = {ord("q"), ord("Q"), 27}


class WindowClosedError(Exception):
    """The person closed the window: the prediction ends as if the source had ended."""


def annotated(seen: Seen, naming: Naming, resize: Resize, *, explains: bool) -> np.ndarray:
    """The picture with a box and a label at each face, RGB uint8; beside it the heat maps, if they were asked for."""
    drawn = draw_marks(seen.frame.image, marks_of(seen.answers, naming))
    return np.hstack([drawn, _heated(seen, resize)]) if explains else drawn


def marks_of(answers: Sequence[Answered], naming: Naming) -> list[Mark]:
    """What is drawn on a picture with these answers."""
    if not answers:
        return [Mark(None, "no face", None)]
    texts = [f"{naming.classes[answered.label]} {percent(answered.certainty)}" for answered in answers]
    numbers = ["" if len(answers) == 1 else str(number) for number in range(1, len(answers) + 1)]  # as in the table
    return [
        Mark(_outline(answered), f"{number} {text}".strip(), answered.label, short=number)
        for answered, number, text in zip(answers, numbers, texts, strict=True)
    ]


def _outline(answered: Answered) -> tuple[float, float, float, float] | None:
    found = answered.subject.detection
    return None if found is None else (found.left, found.top, found.width, found.height)


def percent(probability: float) -> str:
    """A probability in few letters. None is called certain."""
    return ">99%" if probability >= 0.995 else f"{probability:.0%}"


def _heated(seen: Seen, resize: Resize) -> np.ndarray:
    """The picture under the heat maps of its faces; where two overlap, the hotter one is seen."""
    from maskcls.inference.explanation import overlay

    picture = seen.frame.image
    height, width = picture.shape[:2]
    heat = np.zeros((height, width), np.float32)
    for answered in seen.answers:
        if answered.heatmap is not None:
            left, top, columns, rows = input_region(height, width, answered.subject.box, resize)
            own = cv2.resize(answered.heatmap, (columns, rows))
            own = own[max(0, -top) : height - top, max(0, -left) : width - left]
            part = heat[max(0, top) :, max(0, left) :][: own.shape[0], : own.shape[1]]
            np.maximum(part, own, out=part)
    return overlay(picture, heat)


@contextmanager
def save_annotated(names: OutputNames, naming: Naming, resize: Resize, *, explains: bool) -> Iterator[Output]:
    """Write each picture and video with boxes and labels, under the names that are given."""
    with ExitStack() as stack:
        in_work: list[tuple[Clip, VideoWriter]] = []  # at most one

        def add(seen: Seen | Unusable) -> None:
            if isinstance(seen, Unusable):
                return
            picture, clip = annotated(seen, naming, resize, explains=explains), seen.clip
            if not clip.is_video:
                write_picture(names.path_of(clip.path, is_video=False), picture)
                return
            if not in_work or in_work[0][0] is not clip:
                stack.close()  # finishes the video before
                path = names.path_of(clip.path, is_video=True)
                in_work[:] = [(clip, stack.enter_context(VideoWriter(path, clip.fps)))]
            in_work[0][1].write(picture, seen.frame.seconds or 0.0)

        yield add


@contextmanager
def write_gallery(path: Path, headline: Headline, naming: Naming) -> Iterator[Output]:
    """Write a page with a tile for each face, and for each picture without one."""
    unusable: list[str] = []
    with GalleryWriter(path, headline) as gallery:

        def add(seen: Seen | Unusable) -> None:
            if isinstance(seen, Unusable):
                unusable.append(seen.path)
                return
            for row, answered in zip_longest(rows_of(seen, naming), seen.answers):
                gallery.add(
                    Tile(
                        path=row.path,
                        frame=row.frame,
                        seconds=row.seconds,
                        face=row.face,
                        box=row.box,
                        label=row.prediction,
                        probabilities=tuple(row.probabilities),
                        picture=_surroundings(seen.frame.image, answered),
                        explained=_explained(answered),
                        note=row.damaged,
                    )
                )

        yield add
        if unusable:
            gallery.remark(f"{counted(len(unusable), 'file')} could not be read, or not to the end: the log says why")


def _surroundings(picture: np.ndarray, answered: Answered | None) -> np.ndarray:
    """The face and what is around it; the whole picture if there is no face."""
    found = answered.subject.detection if answered else None
    if found is None:
        return picture
    height, width = picture.shape[:2]
    return square_around(found.centre, SURROUNDINGS * found.size, width=width, height=height).cut_out(picture)


def _explained(answered: Answered | None) -> np.ndarray | None:
    from maskcls.inference.explanation import overlay

    if answered is None or answered.heatmap is None:
        return None
    return overlay(answered.subject.image, answered.heatmap)


@contextmanager
def plot_timelines(folder: Path, naming: Naming) -> Iterator[Output]:
    """Draw for each video what is seen in it over time: ``timeline.png``, ``timeline_2.png`` and so on."""
    clips: list[Clip] = []
    counts: defaultdict[int, np.ndarray] = defaultdict(lambda: np.zeros(1 + len(naming.classes), int))

    def draw() -> None:
        if counts:
            from maskcls.reporting.plots import timeline

            folder.mkdir(exist_ok=True)
            seconds, rows = np.array([*counts]), np.array([*counts.values()])
            name = f"timeline_{len(clips)}.png" if len(clips) > 1 else "timeline.png"
            timeline(seconds, rows[:, 0], rows[:, 1:], naming.classes, folder / name, f"faces in {clips[-1].path}")
            counts.clear()

    def add(seen: Seen | Unusable) -> None:
        if isinstance(seen, Unusable) or seen.frame.seconds is None:
            return
        if not clips or seen.clip is not clips[-1]:
            draw()
            clips.append(seen.clip)
        row = counts[int(seen.frame.seconds)]
        row[0] += 1
        for answered in seen.answers:
            row[1 + answered.label] += 1

    yield add
    draw()


@contextmanager
def show_window(naming: Naming, resize: Resize, title: str, *, explains: bool) -> Iterator[Output]:
    """Show each picture in a window. Its title says how many frames a second are predicted.

    Raises:
        WindowClosedError: by the output, if a person closed the window.
    """
    begun, numbers = time.monotonic(), count(1)

    def add(seen: Seen | Unusable) -> None:
        if isinstance(seen, Unusable):
            return
        picture = annotated(seen, naming, resize, explains=explains)
        scale = min(1.0, WINDOW_SIDE / max(picture.shape[:2]))
        height, width = (max(1, round(scale * length)) for length in picture.shape[:2])
        cv2.imshow(title, cv2.cvtColor(cv2.resize(picture, (width, height)), cv2.COLOR_RGB2BGR))
        rate = next(numbers) / (time.monotonic() - begun)
        cv2.setWindowTitle(title, f"{title}: {rate:.0f} frames a second; q closes")
        key = cv2.waitKey(1) & 0xFF
        if key in CLOSING_KEYS or cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1:
            raise WindowClosedError

    cv2.namedWindow(title, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
    try:
        yield add
    finally:
        cv2.destroyAllWindows()


def has_screen() -> bool:
    """Whether windows can be shown. Other systems than Linux and the BSDs always have a screen, as far as is known."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def require_screen() -> None:
    """Refuse ``show=true`` without a screen.

    Raises:
        UserError: there is none, or OpenCV was installed without windows.
    """
    if not has_screen():
        raise UserError("show=true: there is no screen here (neither DISPLAY nor WAYLAND_DISPLAY is set)")
    gui = next((line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:")), "NONE")
    if "NONE" in gui:
        raise UserError("show=true: this OpenCV shows no windows; install opencv-python, not opencv-python-headless")
