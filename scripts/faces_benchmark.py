"""Measures how many faces of a picture are found, and how fast, on collages of photographs.

    python scripts/faces_benchmark.py --photographs FOLDER --detector FILE --people odd

The folder holds WithMask and WithoutMask; see scripts/robustness.py for the people. Faces are cut out of the
photographs with their surroundings, and 2 to 20 of them are pasted at random places and sizes onto a plain, noisy or
blurred background, or onto clothes. So it is known where faces are. The detector itself finds the faces to cut out, so
that faces which it never finds are not counted.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from robustness import Photograph, read

from maskcls.data.detection import Detection
from maskcls.data.faces import FaceFinder

SIZES = ((1280, 720), (1600, 900), (1920, 1080), (1440, 1080), (1080, 1350))
# sizes of pasted faces in pixels, and the limits of the classes in which they are counted
FACE_LIMITS = (24, 40, 60, 100, 300)
# border around a face that is cut out with it, as a share of the longer side of its box
SURROUNDINGS = 0.4
# distance from the face to the clothes below it, in the same unit
NECK = 0.35
# a box shows a face if they have this share of their union in common
SAME_FACE = 0.4
# places that are tried for a face
TRIES = 60


class Area(NamedTuple):
    """A box in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def size(self) -> float:
        """The longer side."""
        return max(self.width, self.height)


class Piece(NamedTuple):
    """A face with its surroundings, and where it is in them."""

    image: np.ndarray
    face: Area


class Collage(NamedTuple):
    """A picture of several faces, and where they are."""

    image: np.ndarray
    faces: list[Area]


class Share(NamedTuple):
    """How many faces of some sizes, in pixels, were found."""

    low: int
    high: int
    faces: int
    found: int


class Report(NamedTuple):
    """The figures.

    Attributes:
        shares: found faces by size.
        boxes: number of boxes.
        without_a_face: number of boxes where no face is.
        twice: number of faces with several boxes.
        seconds: mean time for a picture.
    """

    shares: list[Share]
    boxes: int
    without_a_face: int
    twice: int
    seconds: float


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True, help="folder with WithMask and WithoutMask")
    parser.add_argument("--detector", type=Path, required=True, help="the file of YuNet")
    parser.add_argument("--people", choices=("all", "odd", "even"), default="all", help="whose faces to paste")
    parser.add_argument("--collages", type=int, default=100, help="number of collages")
    parser.add_argument("--min-size", type=int, default=24, help="as faces.min_size of maskcls-predict")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    finder = FaceFinder(options.detector, always_crop=True)
    photographs = list(read(options.photographs, options.people, finder))
    report = measure(make(photographs, finder, options.collages), finder, options.min_size)
    if options.out:
        figures = {**report._asdict(), "shares": [share._asdict() for share in report.shares]}
        options.out.write_text(json.dumps(figures, indent=2) + "\n")
    print("| faces of so many pixels | found |\n| --- | --- |")
    for low, high, faces, found in report.shares:
        print(f"| {low} to {high} | {f'{found / faces:.1%}' if faces else '–'} ({found} of {faces}) |")
    print(f"\n{report.boxes} boxes, {report.without_a_face} without a face, {report.twice} faces twice")
    print(f"{1000 * report.seconds:.0f} ms a picture on one core")


def make(photographs: Sequence[Photograph], finder: FaceFinder, count: int) -> Iterator[Collage]:
    """Make collages; they are the same each time."""
    found = [finder.detect_all(one.image, min_size=1).faces for one in photographs]
    pieces = [piece for one, faces in zip(photographs, found, strict=True) if faces for piece in cut(one.image, faces)]
    clothes = [piece for one, faces in zip(photographs, found, strict=True) for piece in below(one.image, faces)]
    rng = np.random.default_rng(0)
    for _ in range(count):
        width, height = SIZES[int(rng.integers(len(SIZES)))]
        yield paste(rng, background(rng, width, height, clothes), pieces)


def cut(image: np.ndarray, faces: Sequence[Detection]) -> Iterator[Piece]:
    """Cut out the best face, unless others are near it."""
    best, *others = faces
    margin = SURROUNDINGS * best.size
    left, top = max(0, int(best.left - margin)), max(0, int(best.top - margin))
    right, bottom = int(best.left + best.width + margin), int(best.top + best.height + margin)
    near = [
        one
        for one in others
        if one.left < right and one.left + one.width > left and one.top < bottom and one.top + one.height > top
    ]
    if not near:
        yield Piece(image[top:bottom, left:right], Area(best.left - left, best.top - top, best.width, best.height))


def below(image: np.ndarray, faces: Sequence[Detection]) -> Iterator[np.ndarray]:
    """Cut out what is below the face, if there is only one and enough below it."""
    if len(faces) == 1:
        part = image[int(faces[0].top + faces[0].height + NECK * faces[0].size) :]
        if len(part) >= 60:
            yield part


def background(rng: np.random.Generator, width: int, height: int, clothes: Sequence[np.ndarray]) -> np.ndarray:
    """Make a picture without a face, uint8 [height, width, 3]."""
    kind = rng.choice(["plain", "noise", "blurred", "clothes"])
    if kind == "plain":
        return np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    if kind == "noise":
        grain = int(rng.integers(1, 12))
        noise = rng.integers(0, 256, (height // grain + 1, width // grain + 1, 3), dtype=np.uint8)
        return cv2.resize(noise, (width, height))
    if kind == "blurred":
        part = clothes[int(rng.integers(len(clothes)))]
        return cv2.GaussianBlur(cv2.resize(part, (width, height)), (0, 0), float(rng.uniform(8, 30)))
    canvas = np.empty((height, width, 3), np.uint8)
    step = int(rng.integers(120, 400))
    for top in range(0, height, step):
        for left in range(0, width, step):
            place = canvas[top : top + step, left : left + step]
            place[:] = cv2.resize(clothes[int(rng.integers(len(clothes)))], (step, step))[
                : len(place), : place.shape[1]
            ]
    return canvas


def paste(rng: np.random.Generator, canvas: np.ndarray, pieces: Sequence[Piece]) -> Collage:
    """Paste 2 to 20 faces where no other one is; their sizes are even on a logarithmic scale."""
    height, width = canvas.shape[:2]
    free, faces = np.ones((height, width), bool), []
    for _ in range(int(rng.integers(2, 21))):
        image, face = pieces[int(rng.integers(len(pieces)))]
        scale = float(np.exp(rng.uniform(np.log(FACE_LIMITS[0]), np.log(FACE_LIMITS[-1])))) / face.size
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=way)
        high, wide = image.shape[:2]
        for _ in range(TRIES if high <= height and wide <= width else 0):
            top, left = int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1))
            place = slice(top, top + high), slice(left, left + wide)
            if free[place].all():
                canvas[place], free[place] = image, False
                box = (scale * np.array(face) + (left, top, 0, 0)).tolist()
                faces.append(Area(*box))
                break
    return Collage(canvas, faces)


def measure(collages: Iterator[Collage], finder: FaceFinder, min_size: int) -> Report:
    """Count found and missed faces, boxes without a face, and seconds a picture."""
    sizes: list[float] = []
    hits: list[int] = []
    seconds: list[float] = []
    boxes = without = 0
    for collage in collages:
        begin = time.perf_counter()
        found = finder.detect_all(collage.image, min_size=min_size).faces
        seconds.append(time.perf_counter() - begin)
        shows = np.array([[shared(face, one) >= SAME_FACE for one in found] for face in collage.faces])
        shows = shows.reshape(len(collage.faces), len(found))
        sizes += [face.size for face in collage.faces]
        hits += shows.sum(axis=1).tolist()
        boxes += len(found)
        without += int((~shows.any(axis=0)).sum())
    shares = []
    for low, high in pairwise(FACE_LIMITS):
        here = [hit for hit, size in zip(hits, sizes, strict=True) if low <= size < high]
        shares.append(Share(low, high, len(here), sum(hit > 0 for hit in here)))
    return Report(shares, boxes, without, sum(hit > 1 for hit in hits), sum(seconds) / len(seconds))


def shared(face: Area, box: Detection) -> float:
    """Return the area that a face and a box have in common, as a share of their union."""
    width = min(face.left + face.width, box.left + box.width) - max(face.left, box.left)
    height = min(face.top + face.height, box.top + box.height) - max(face.top, box.top)
    common = max(0.0, width) * max(0.0, height)
    return common / (face.width * face.height + box.width * box.height - common)


if __name__ == "__main__":
    main()
