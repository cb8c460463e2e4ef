"""The evaluation command: a checkpoint's figures on a split."""

import contextlib
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskcls.config import AnyDataConfig, EvalConfig, FaceMask12KConfig, SyntheticConfig
from maskcls.cores import usable_cores
from maskcls.data.cache import open_images
from maskcls.data.faces import Face, FaceFinder, find_detector, find_faces, report_faces
from maskcls.data.groups import Groups
from maskcls.data.image_files import ImageFiles
from maskcls.data.index import Index, Split, index_folder, match_classes
from maskcls.data.readable import open_readable
from maskcls.data.sources import drawn_folder, open_dataset
from maskcls.data.streaming import Images
from maskcls.errors import UserError
from maskcls.evaluation.facts import file_facts
from maskcls.evaluation.measure import predict_split
from maskcls.evaluation.metrics import percent_with_interval
from maskcls.evaluation.results import SYNTHETIC_NOTE, report_slices, write_evaluation
from maskcls.inference.predictor import Predictor
from maskcls.models.calibration import UNCALIBRATED
from maskcls.models.checkpoint import Checkpoint, load_checkpoint
from maskcls.models.cpu import prepare_cpu
from maskcls.models.precision import choose_device, choose_precision
from maskcls.run import Run, find_checkpoint

log = logging.getLogger(__name__)

# key of the batch size, for messages
BATCH_SIZE_KEY = "data.batch_size"


@dataclass(frozen=True)
class EvaluationData:
    """The files to evaluate on.

    Attributes:
        root: folder that the paths are relative to.
        fingerprint: hash of the data set.
        split: name of the split.
        files: paths and labels.
        images: the files' images, uint8 [images, input_size, input_size, 3].
        image_files: the files as they were opened, so that they can be opened reduced to a low resolution, too.
        facts: what is known about the files.
        skipped: why a file is skipped, by path.
    """

    root: Path
    fingerprint: str
    split: str
    files: Split
    images: Images
    image_files: ImageFiles
    facts: Mapping[str, np.ndarray]
    skipped: Mapping[str, str]


def evaluate(config: EvalConfig, run: Run) -> float:
    """Evaluate a checkpoint as configured; everything is written into the run's directory.

    Returns:
        The accuracy, 0..1.

    Raises:
        UserError: if the checkpoint, the data or the device is not what the configuration says.
    """
    path = find_checkpoint(config.ckpt)
    checkpoint = load_checkpoint(path)
    log.info("checkpoint %s, epoch %d", path, checkpoint.document.progress.epoch)
    predictor = _predictor(config, checkpoint, run)
    with run.phase("data"):
        data = _open_data(config, checkpoint)
    with run.phase("evaluate"):
        predictions = predict_split(predictor, data.files, data.images, data.facts, BATCH_SIZE_KEY)
    equalised = None
    if (size := config.evaluation.equalised_size) is not None:
        with run.phase("equalised"):
            reduced = dataclasses.replace(data.image_files, equalised_size=size)
            low = open_images({data.split: reduced}, config.data)[data.split]
            equalised = predict_split(predictor, data.files, low, data.facts, BATCH_SIZE_KEY)
    is_synthetic = config.data.root is None and isinstance(checkpoint.trained_with(), SyntheticConfig)
    document = checkpoint.document
    about = {
        "split": data.split,
        "checkpoint": str(path),
        "epoch": document.progress.epoch,
        "temperature": predictor.calibration.temperature,
        "threshold": predictor.calibration.threshold,
        "data": {"root": str(data.root), "fingerprint": data.fingerprint, "skipped": dict(data.skipped)},
        **({"note": SYNTHETIC_NOTE} if is_synthetic else {}),
    }
    folder = run.directory / "evaluation" / data.split
    metrics = write_evaluation(
        folder, predictions, document.positive_class, about, plot=config.plots, equalised=equalised
    )
    run.record.update(training=document.config, evaluation=metrics)
    _report(data, document.positive_class, metrics)
    if is_synthetic:
        log.warning("note: %s", SYNTHETIC_NOTE)
    log.info("everything is in %s", run.directory)
    return predictions.accuracy


def _predictor(config: EvalConfig, checkpoint: Checkpoint, run: Run) -> Predictor:
    """The checkpoint's network on the configured device, with the configured threshold.

    Raises:
        UserError: if the device is missing, or a threshold is given and there is no positive class.
    """
    threads = prepare_cpu(config.threads)
    device = choose_device(config.device)
    precision, reason = choose_precision(config.precision or checkpoint.document.precision, device)
    reason = reason if config.precision else "as in training"
    log.info("device %s, %d CPU threads, precision %s (%s)", device, threads, precision.name, reason)
    run.record.update(device=str(device), precision=precision.name)
    predictor = Predictor.of(checkpoint, device, precision.name, config.data.batch_size)
    threshold = config.evaluation.threshold
    if threshold is None:
        return predictor
    if predictor.positive is None:
        raise UserError(
            f"evaluation.threshold={threshold:g}: this checkpoint has no positive class that a threshold could apply to"
        )
    return dataclasses.replace(predictor, calibration=dataclasses.replace(predictor.calibration, threshold=threshold))


def _open_data(config: EvalConfig, checkpoint: Checkpoint) -> EvaluationData:
    """Find and decode the files to evaluate on.

    Raises:
        UserError: if they are missing or cannot be read, or have a class that the checkpoint does not know.
    """
    document, trained_with = checkpoint.document, checkpoint.trained_with()
    index, groups = _open_index(config.data.root, trained_with, document.data_fingerprint)
    fingerprint = index.fingerprint()
    is_own = fingerprint == document.data_fingerprint
    index = match_classes(index, document.classes)
    split = _choose_split(config, index)
    trained_on = {groups[path].group for path in index.splits["train"].paths} if groups and is_own else None

    def opener(index: Index) -> tuple[Split, list[Face] | None, ImageFiles, Images]:
        files = index.all_images() if split == "all" else index.splits[split]
        faces = _find_faces(config, index.root, files.paths)
        boxes = None if faces is None else [face.box for face in faces]
        image_files = ImageFiles(index.root, files.paths, document.input_size, boxes=boxes)
        return files, faces, image_files, open_images({split: image_files}, config.data)[split]

    (files, faces, image_files, images), index, skipped = open_readable(index, opener, config.data.on_bad_image)
    if not len(files):
        raise UserError(f"{index.root}: no file of the split {split} can be read")
    facts = file_facts(index.root, files, groups, trained_on)
    if faces is not None:
        facts["face"] = np.array([face.finding for face in faces], dtype=object)
    _warn_about_origin(config.data.root, trained_with, index.root, is_own=is_own)
    return EvaluationData(
        root=index.root,
        fingerprint=fingerprint,
        split=split,
        files=files,
        images=images,
        image_files=image_files,
        facts=facts,
        skipped=skipped,
    )


def _open_index(root: Path | None, trained_with: AnyDataConfig, fingerprint: str) -> tuple[Index, Groups | None]:
    """The training's data set, or the one in ``root`` as it is: only training splits a data set.

    Nothing is downloaded or drawn: a checkpoint may be a stranger's, and must not say where files are written.
    """
    if isinstance(trained_with, FaceMask12KConfig):
        trained_with = dataclasses.replace(trained_with, download=False)
    if root is None:
        folder = drawn_folder(trained_with) if isinstance(trained_with, SyntheticConfig) else trained_with.root
        if not folder.is_dir():
            raise UserError(f"the data of the training is not in {folder} any more: give data.root=FOLDER")
        return open_dataset(trained_with)
    index = index_folder(root)
    if not isinstance(trained_with, SyntheticConfig):
        with contextlib.suppress(UserError):  # too few images or classes for a split, or other files
            moved, groups = open_dataset(dataclasses.replace(trained_with, root=root))
            if moved.fingerprint() == fingerprint:  # the training's own images at another place
                return moved, groups
    return index, None


def _warn_about_origin(root: Path | None, trained_with: AnyDataConfig, found: Path, *, is_own: bool) -> None:
    """Warn if the files are almost, but not quite, the training's."""
    if is_own:
        return
    if root is None:
        log.warning("the data in %s is not what this checkpoint was trained with: files differ", found)
    elif root == trained_with.root:
        log.warning(
            "%s is where this checkpoint was trained, with other files or splits: it may know some of the images", found
        )


def _find_faces(config: EvalConfig, root: Path, paths: Sequence[str]) -> list[Face] | None:
    """The face in each file, None if faces are not searched for."""
    if config.faces.mode == "none":
        return None
    detector = find_detector(config.faces.model, cache_dir=config.data.cache_dir)
    finder = FaceFinder(detector, always_crop=config.faces.mode == "yunet")
    faces = find_faces(root, paths, finder, config.data.workers or usable_cores())
    report_faces([face.finding for face in faces])
    return faces


def _choose_split(config: EvalConfig, index: Index) -> str:
    if config.split is None:
        return next(name for name in ("test", "val", "all", "train") if name in index.splits)
    if config.split != "all" and config.split not in index.splits:
        raise UserError(
            f"split={config.split}: {index.root} has {', '.join(index.splits)}; expected one of them, or all"
        )
    return config.split


def _report(data: EvaluationData, positive_class: str | None, metrics: Mapping[str, Any]) -> None:
    accuracy = percent_with_interval(dict(metrics))
    log.info("%s of %s: accuracy %s, loss %.4f", data.split, data.root, accuracy, metrics["loss"])
    if metrics["threshold"] != UNCALIBRATED.threshold:
        log.info("%s is predicted from a probability of %.4f on", positive_class, metrics["threshold"])
    report_slices(data.split, metrics)
