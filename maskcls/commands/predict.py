"""The prediction command: classes and probabilities of image files."""

import heapq
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

import maskcls
from maskcls.config import PredictConfig
from maskcls.cores import in_threads, usable_cores
from maskcls.data.decode import Decoded, UnreadableImageError, decode_file, prepare_image
from maskcls.data.faces import Face, FaceFinder, FaceFinding, find_detector, report_faces
from maskcls.data.left_out import report_left_out
from maskcls.data.readable import report_remarks
from maskcls.data.walk import find_images
from maskcls.errors import UserError
from maskcls.files import table
from maskcls.inference.predictor import Predictor
from maskcls.models.cpu import prepare_cpu
from maskcls.progress import progress
from maskcls.reporting.text import aligned, shortened
from maskcls.run import Run
from maskcls.wording import counted, named

log = logging.getLogger(__name__)

# rows that are shown: the first, and those that the model is least certain of. The table has all
SHOWN = 10


class Row(NamedTuple):
    """The answer for a file: its path, the position of its class, its probabilities, and what was seen in it."""

    path: str
    label: int
    probabilities: np.ndarray
    finding: FaceFinding
    damage: str | None


@dataclass
class Tally:
    """What is remembered of the rows, however many there are.

    Attributes:
        counts: predicted images by class.
        findings: what was found in each picture.
        first: the first rows.
        doubtful: the rows with the lowest probability of their class, lowest first.
        unreadable: the reason for each file that cannot be read.
        damaged: what is wrong with each file that was decoded in part.
        remarks: what is odd about whole files, by path.
    """

    counts: list[int]
    findings: list[FaceFinding] = field(default_factory=list)
    first: list[Row] = field(default_factory=list)
    doubtful: list[Row] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    remarks: dict[str, str] = field(default_factory=dict)

    def add(self, rows: Sequence[Row]) -> None:
        """Remember some rows."""
        for row in rows:
            self.counts[row.label] += 1
            self.findings.append(row.finding)
            if row.damage:
                self.damaged.append(f"{row.path}: {row.damage}")
        self.first += rows[: SHOWN - len(self.first)]
        self.doubtful = heapq.nsmallest(SHOWN, [*self.doubtful, *rows], key=_certainty)


def predict(config: PredictConfig, run: Run) -> None:
    """Predict the images of ``source``; write ``predictions.csv``; report and count files that cannot be read.

    Raises:
        UserError: if the source holds no image, or none that can be read.
    """
    files, left_out = find_images(config.source)
    report_left_out(left_out)
    prepare_cpu(config.threads)
    predictor = maskcls.load(
        config.ckpt, device=config.device, precision=config.precision, batch_size=config.batch_size
    )
    log.info("checkpoint %s, classes %s", config.ckpt, ", ".join(map(named, predictor.classes)))
    finder = None
    if config.faces.mode != "none":
        detector = find_detector(config.faces.model, cache_dir=config.cache_dir)
        finder = FaceFinder(detector, always_crop=config.faces.mode == "yunet")
    tally, path = Tally([0] * len(predictor.classes)), run.directory / "predictions.csv"
    with table(path) as write:
        columns = [f"probability_{name}" for name in predictor.classes]
        write(["path", "prediction", *columns, *(["face"] if finder else []), "damaged"])
        for rows in _predicted(files, predictor, finder, tally):
            tally.add(rows)
            for row in rows:
                numbers = [f"{p:.9g}" for p in row.probabilities]
                faces = [row.finding] if finder else []
                write([row.path, predictor.classes[row.label], *numbers, *faces, row.damage or ""])
    predicted = sum(tally.counts)
    counts = dict(zip(predictor.classes, tally.counts, strict=True))
    run.record.update(
        images=predicted, classes=counts, unreadable=tally.unreadable, damaged=tally.damaged, left_out=left_out
    )
    if not predicted:
        such_as = f"none of its {len(files)} files can be read, such as " if len(files) > 1 else ""
        raise UserError(f"source={config.source}: {such_as}{tally.unreadable[0]}")
    _report(tally, [*map(named, predictor.classes)])
    if finder:
        report_faces(tally.findings)
    summary = f"{counted(predicted, 'image')} predicted, {len(tally.unreadable)} unreadable"
    log.info("%s; the table is %s", summary, path)


def _predicted(
    files: Sequence[Path], predictor: Predictor, finder: FaceFinder | None, tally: Tally
) -> Iterator[list[Row]]:
    """Yield the rows of each batch of files. Files that cannot be read, and remarks, go to the tally."""

    def read(file: Path) -> tuple[Decoded, FaceFinding] | str:
        try:
            decoded = decode_file(file)
        except UnreadableImageError as error:
            return str(error)
        face = finder.find(decoded.image) if finder else Face("none")
        # photographs are large: each is resized before others are read
        image = prepare_image(decoded.image, predictor.input_size, box=face.box, resize=predictor.resize)
        return decoded._replace(image=image), face.finding

    size = predictor.batch_size
    for start in progress(range(0, len(files), size), total=len(files), phase="predict", size=size):
        batch = files[start : start + size]
        with in_threads(read, batch, usable_cores()) as results:
            found = list(zip(map(str, batch), results, strict=True))
        tally.unreadable += [result for _, result in found if isinstance(result, str)]
        readable = [(path, *result) for path, result in found if not isinstance(result, str)]
        tally.remarks |= {path: decoded.remark for path, decoded, _ in readable if decoded.remark}
        if readable:
            answers = predictor.answer_images([decoded.image for _, decoded, _ in readable])
            yield [
                Row(path, int(label), probabilities, finding, decoded.damage)
                for (path, decoded, finding), label, probabilities in zip(
                    readable, answers.predicted, answers.probabilities, strict=True
                )
            ]


def _certainty(row: Row) -> float:
    """The probability of the class that a row says."""
    return float(row.probabilities[row.label])


def _report(tally: Tally, classes: Sequence[str]) -> None:
    """Show some rows, the number of images of each class, and what is odd about files.

    Args:
        classes: their names as they are shown.
    """
    total = sum(tally.counts)
    some = {f"the first {SHOWN} images": tally.first, f"the {SHOWN} least certain images": tally.doubtful}
    for which, rows in some.items() if total > SHOWN else [("all images", tally.first)]:
        cells = [
            (shortened(row.path, 70), classes[row.label], *(f"{p:.2%}" for p in row.probabilities)) for row in rows
        ]
        log.info("%s:", which)
        for line in aligned([("file", "prediction", *classes), *cells]):
            log.info("%s", line)
    log.info("predicted:")
    counts = zip(classes, tally.counts, strict=True)
    for line in aligned([("class", "images", "share"), *((name, f"{n:,}", f"{n / total:.2%}") for name, n in counts)]):
        log.info("%s", line)
    for fault in tally.unreadable:
        log.warning("unreadable, left out: %s", fault)
    for fault in tally.damaged:
        log.warning("damaged, predicted from what is left of it: %s", fault)
    report_remarks(tally.remarks)
