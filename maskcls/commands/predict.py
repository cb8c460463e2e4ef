"""The prediction command: classes and probabilities of image files."""

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from maskcls.config import PredictConfig
from maskcls.data.decode import UnreadableImageError, decode_image, prepare_image
from maskcls.data.faces import Face, FaceFinder, Finding, find_detector, report_faces
from maskcls.data.index import find_images
from maskcls.errors import UserError
from maskcls.files import table
from maskcls.inference.classifier import Classifier
from maskcls.models.cpu import prepare_cpu
from maskcls.models.memory import explained_memory, free_memory
from maskcls.run import Run

log = logging.getLogger(__name__)


def predict(config: PredictConfig, run: Run) -> None:
    """Classify the images of ``source``; write ``predictions.csv``; report and count files that cannot be read.

    Raises:
        UserError: where the source holds no image, or none that can be read.
    """
    files = find_images(config.source)
    prepare_cpu(config.threads)
    classifier = Classifier(config.ckpt, config.device, config.precision)
    log.info("checkpoint %s, classes %s", config.ckpt, ", ".join(classifier.classes))
    path_width = min(max(len(str(file)) for file in files), 70)
    log.info("%s", _line("file", "prediction", [f"{name:>12}" for name in classifier.classes], path_width))
    finder = None
    if config.faces.mode != "none":
        finder = FaceFinder(find_detector(config.faces.model, config.cache_dir), config.faces.mode == "yunet")
    unreadable: list[str] = []
    findings: list[Finding] = []
    done = 0
    free = free_memory(classifier.device)
    path = run.directory / "predictions.csv"
    with table(path) as write:
        columns = [f"probability_{name}" for name in classifier.classes]
        write(["path", "prediction", *columns, *(["face"] if finder else [])])
        batch_size = config.batch_size or classifier.batch_size
        batches = _batches(files, batch_size, classifier.input_size, unreadable, finder)
        for paths, images, found in batches:
            with explained_memory("batch_size", batch_size, free, classifier.demand):
                probabilities, predicted = classifier.classify(images)
            findings += found
            for image, row, label, face in zip(paths, probabilities, predicted, found, strict=True):
                prediction = classifier.classes[label]
                write([str(image), prediction, *(f"{p:.9g}" for p in row), *([face] if finder else [])])
                log.info("%s", _line(str(image), prediction, [f"{p:12.2%}" for p in row], path_width))
            done += len(paths)
    run.record.update(images=done, unreadable=unreadable)
    if not done:
        raise UserError(f"source={config.source}: none of its {len(files)} files can be read, such as {unreadable[0]}")
    if finder:
        report_faces(findings)
    for fault in unreadable:
        log.warning("unreadable, left out: %s", fault)
    log.info("%d images classified, %d unreadable; the table is %s", done, len(unreadable), path)


def _batches(
    files: Sequence[Path], size: int, input_size: int, unreadable: list[str], finder: FaceFinder | None
) -> Iterator[tuple[list[Path], list[np.ndarray], list[Finding]]]:
    """Read files, cut out their faces, resize them; what cannot be read is added to ``unreadable``, never replaced."""
    # a photograph is large: it is resized before the next one is read
    remaining = iter(tqdm(files, desc="predict", unit=" images", leave=False, disable=None))
    while chunk := list(islice(remaining, size)):
        paths: list[Path] = []
        images: list[np.ndarray] = []
        findings: list[Finding] = []
        for path in chunk:
            try:
                image = decode_image(path)
                face = finder.find(image) if finder else Face("none")
                images.append(prepare_image(image, input_size, box=face.box))
                paths.append(path)
                findings.append(face.finding)
            except UnreadableImageError as error:
                unreadable.append(str(error))
        if paths:
            yield paths, images, findings


def _line(path: str, prediction: str, columns: Sequence[str], width: int) -> str:
    shown = path if len(path) <= width else "..." + path[3 - width :]
    return f"{shown:<{width}}  {prediction:<12}  {'  '.join(columns)}"
