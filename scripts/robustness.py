"""Measures a checkpoint on photographs: whole, with the face cut out, and with something before the mouth.

    python scripts/robustness.py RUN --photographs FOLDER --detector FILE --people odd

The folder holds WithMask and WithoutMask. A number at the beginning of a file's name says which person it shows; those
of odd and those of even numbers are two halves, so that one can serve for choosing and the other for reporting.
"""

import argparse
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

import maskcls
from maskcls.data.decode import decode_image
from maskcls.data.detection import Detection
from maskcls.data.faces import FaceFinder, square_around
from maskcls.data.obstacles import hide_mouth
from maskcls.evaluation.metrics import proportion_interval

# width of the border around the face's box that is cut out with it, as a share of the longer side of the box
MARGINS = (0.0, 0.15, 0.3, 0.5)


class Photograph(NamedTuple):
    """A photograph, and the face in it."""

    image: np.ndarray
    is_masked: bool
    face: Detection | None
    seed: int


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="a run, or a checkpoint of it")
    parser.add_argument("--photographs", type=Path, required=True, help="folder with WithMask and WithoutMask")
    parser.add_argument("--detector", type=Path, required=True, help="the file of YuNet")
    parser.add_argument("--people", choices=("all", "odd", "even"), default="all", help="which people to measure")
    options = parser.parse_args()
    predictor = maskcls.load(options.checkpoint, device="cpu")
    photographs = list(read(options.photographs, options.people, FaceFinder(options.detector, always_crop=True)))
    without = sum(one.face is None for one in photographs)
    print(f"{len(photographs)} photographs, {without} without a face, which stay whole\n")
    print("| pictures | masks found | bare faces found | balanced |\n| --- | --- | --- | --- |")
    for name, prepare in PREPARED.items():
        chosen = [one for one in photographs if not (one.is_masked and "before the mouth" in name)]
        rows = predictor.predict(prepare(one) for one in chosen)
        truth = np.array([one.is_masked for one in chosen])
        right = np.array([row.label == "WithMask" for row in rows]) == truth
        print(f"| {name} | {described(right[truth])} | {described(right[~truth])} | {balanced(right, truth)} |")


def read(folder: Path, people: str, finder: FaceFinder) -> Iterator[Photograph]:
    """Read the photographs of some people."""
    for name in ("WithMask", "WithoutMask"):
        for path in sorted((folder / name).iterdir()):
            digits = re.match(r"\d+", path.name)
            number = int(digits[0]) if digits else 0
            if people != "all" and (number % 2 == 1) != (people == "odd"):
                continue
            image = decode_image(path)
            yield Photograph(image, name == "WithMask", finder.detect(image), zlib.crc32(path.name.encode()))


def cut_out(margin: float) -> Callable[[Photograph], np.ndarray]:
    """Return a function that cuts out the face with a margin."""

    def cut(one: Photograph) -> np.ndarray:
        if one.face is None:
            return one.image
        side = max(one.face.width, one.face.height) * (1 + 2 * margin)
        height, width = one.image.shape[:2]
        box = square_around(one.face.centre, side, width=width, height=height)
        return np.ascontiguousarray(box.cut_out(one.image))

    return cut


def obstructed(one: Photograph) -> Photograph:
    """Draw a hand, a cup, a scarf or a beard before the mouth."""
    if one.face is None:
        return one
    return one._replace(image=hide_mouth(np.random.default_rng(one.seed), one.image, one.face.landmarks))


PREPARED: dict[str, Callable[[Photograph], np.ndarray]] = {
    "whole": lambda one: one.image,
    **{f"face, margin {margin:g}": cut_out(margin) for margin in MARGINS},
    "whole, something before the mouth": lambda one: obstructed(one).image,
    "face, margin 0.15, something before the mouth": lambda one: cut_out(0.15)(obstructed(one)),
}


def described(right: np.ndarray) -> str:
    """Describe a share with its 95 % interval."""
    if not len(right):
        return "–"
    low, high = proportion_interval(int(right.sum()), total=len(right))
    return f"{100 * right.mean():.1f} % ({100 * low:.1f} to {100 * high:.1f}; {right.sum()} of {len(right)})"


def balanced(right: np.ndarray, truth: np.ndarray) -> str:
    """Return the mean of the shares of both classes; a dash if there is only one."""
    return f"{50 * (right[truth].mean() + right[~truth].mean()):.1f} %" if truth.any() and not truth.all() else "–"


if __name__ == "__main__":
    main()
