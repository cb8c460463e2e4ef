"""The prediction command: classes and probabilities of image files."""

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

import maskcls
from maskcls.config import PredictConfig
from maskcls.data.decode import UnreadableImageError, decode_image, prepare_image
from maskcls.data.faces import Face, FaceFinder, Finding, find_detector, report_faces
from maskcls.data.index import find_images
from maskcls.errors import UserError
from maskcls.files import table
from maskcls.inference.predictor import Predictor
from maskcls.models.cpu import prepare_cpu
from maskcls.models.memory import explained_memory, free_memory
from maskcls.run import Run

log = logging.getLogger(__name__)


def predict(config: PredictConfig, run: Run) -> None:
    """Predict the images of ``source``; write ``predictions.csv``; report and count files that cannot be read.

    Raises:
        UserError: if the source holds no image, or none that can be read.
    """
    files = find_images(config.source)
    prepare_cpu(config.threads)
    predictor = maskcls.load(
        config.ckpt, device=config.device, precision=config.precision, batch_size=config.batch_size
    )
    log.info("checkpoint %s, classes %s", config.ckpt, ", ".join(predictor.classes))
    finder = None
    if config.faces.mode != "none":
        detector = find_detector(config.faces.model, cache_dir=config.cache_dir)
        finder = FaceFinder(detector, always_crop=config.faces.mode == "yunet")
    unreadable: list[str] = []
    findings = _predict_files(files, predictor, finder, run.directory / "predictions.csv", unreadable)
    run.record.update(images=len(findings), unreadable=unreadable)
    if not findings:
        raise UserError(f"source={config.source}: none of its {len(files)} files can be read, such as {unreadable[0]}")
    if finder:
        report_faces(findings)
    for fault in unreadable:
        log.warning("unreadable, left out: %s", fault)
    counts = f"{len(findings)} images predicted, {len(unreadable)} unreadable"
    log.info("%s; the table is %s", counts, run.directory / "predictions.csv")


def _predict_files(
    files: Sequence[Path], predictor: Predictor, finder: FaceFinder | None, path: Path, unreadable: list[str]
) -> list[Finding]:
    """Predict files, and write and log a line for each.

    Args:
        files: image files.
        predictor: the trained network.
        finder: finds the faces to cut out, None for whole pictures.
        path: the table to write.
        unreadable: gets a line for each file that cannot be read.

    Returns:
        What was found in each picture that was predicted.
    """
    width = min(max(len(str(file)) for file in files), 70)
    log.info("%s", _line("file", "prediction", [f"{name:>12}" for name in predictor.classes], width))
    findings: list[Finding] = []
    free = free_memory(predictor.network.device)
    with table(path) as write:
        columns = [f"probability_{name}" for name in predictor.classes]
        write(["path", "prediction", *columns, *(["face"] if finder else [])])
        for paths, images, found in _batches(files, predictor, unreadable, finder):
            with explained_memory("batch_size", predictor.batch_size, free, predictor.demand):
                answers = predictor.answer_images(images)
            findings += found
            rows = zip(paths, answers.probabilities, answers.predicted, found, strict=True)
            for image, probabilities, label, face in rows:
                name = predictor.classes[label]
                write([str(image), name, *(f"{p:.9g}" for p in probabilities), *([face] if finder else [])])
                log.info("%s", _line(str(image), name, [f"{p:12.2%}" for p in probabilities], width))
    return findings


def _batches(
    files: Sequence[Path], predictor: Predictor, unreadable: list[str], finder: FaceFinder | None
) -> Iterator[tuple[list[Path], list[np.ndarray], list[Finding]]]:
    """Read files, cut out their faces and resize them. Files that cannot be read are added to ``unreadable``."""
    # photographs are large: each is resized before the next one is read
    remaining = iter(tqdm(files, desc="predict", unit=" images", leave=False, disable=None))
    while chunk := list(islice(remaining, predictor.batch_size)):
        paths: list[Path] = []
        images: list[np.ndarray] = []
        findings: list[Finding] = []
        for path in chunk:
            try:
                image = decode_image(path)
                face = finder.find(image) if finder else Face("none")
                images.append(prepare_image(image, predictor.input_size, box=face.box))
                paths.append(path)
                findings.append(face.finding)
            except UnreadableImageError as error:
                unreadable.append(str(error))
        if paths:
            yield paths, images, findings


def _line(path: str, prediction: str, columns: Sequence[str], width: int) -> str:
    shown = path if len(path) <= width else "..." + path[3 - width :]
    return f"{shown:<{width}}  {prediction:<12}  {'  '.join(columns)}"
