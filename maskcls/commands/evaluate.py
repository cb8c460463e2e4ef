"""The evaluation command: a checkpoint's figures on a split."""

import contextlib
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskcls.config import AnyDataConfig, EvalConfig, EvalDataConfig, FaceMask12KConfig, SyntheticConfig, TableConfig
from maskcls.config.types import Threads
from maskcls.cores import usable_cores
from maskcls.data.cache import OpenedImages, open_images
from maskcls.data.faces import Face, find_faces, open_finder, report_faces
from maskcls.data.groups import Groups, published_groups
from maskcls.data.image_files import ImageFiles
from maskcls.data.index import Index, Split, match_classes
from maskcls.data.notices import report_index
from maskcls.data.readable import open_readable, report_damaged
from maskcls.data.sources import drawn_folder, index_of_training, list_dataset, open_dataset, split_dataset
from maskcls.errors import UserError
from maskcls.evaluation.facts import file_facts, trained_files
from maskcls.evaluation.measure import EvaluationData, open_reduced
from maskcls.evaluation.metrics import percent_with_interval
from maskcls.evaluation.results import SYNTHETIC_NOTE, evaluate_checkpoint, report_slices
from maskcls.inference.predictor import Predictor
from maskcls.models.calibration import UNCALIBRATED
from maskcls.models.network import TrainedNetwork
from maskcls.models.opening import open_network
from maskcls.run import Run
from maskcls.wording import counted

log = logging.getLogger(__name__)


def evaluate(config: EvalConfig, run: Run) -> float:
    """Evaluate a checkpoint as configured; everything is written into the run's directory.

    Returns:
        The accuracy, 0..1.

    Raises:
        UserError: if the checkpoint, the data or the device is not what the configuration says.
    """
    threads: Threads = config.threads or "auto"
    trained = open_network(config.ckpt, device=config.device, precision=config.precision, threads=threads)
    document = trained.document
    log.info("checkpoint %s, epoch %d", trained.path, document.progress.epoch)
    log.info("%s", trained.about)
    run.record.update(device=trained.network.device, precision=trained.network.precision)
    predictor = _predictor(config, trained)
    with run.phase("data"):
        data, about_data = _open_data(config, trained)
    is_synthetic = config.data.root is None and isinstance(trained.trained_with(), SyntheticConfig)
    about = {
        "checkpoint": str(trained.path),
        "data": about_data,
        **({"note": SYNTHETIC_NOTE} if is_synthetic else {}),
    }
    folder = run.directory / "evaluation" / data.split
    with run.phase("evaluate"):
        metrics = evaluate_checkpoint(folder, document, predictor, data, about, plot=config.plots)
    run.record.update(training=document.config, evaluation=metrics)
    accuracy = percent_with_interval(metrics)
    log.info("%s of %s: accuracy %s, loss %.4f", data.split, about_data["root"], accuracy, metrics["loss"])
    if metrics["threshold"] != UNCALIBRATED.threshold:
        log.info("%s is predicted from a probability of %.4f on", document.positive_class, metrics["threshold"])
    report_slices(data.split, metrics)
    if is_synthetic:
        log.warning("note: %s", SYNTHETIC_NOTE)
    log.info("everything is in %s", run.directory)
    return float(metrics["accuracy"])


def _predictor(config: EvalConfig, trained: TrainedNetwork) -> Predictor:
    """The predictor with the configured batch size and threshold."""
    predictor = Predictor.of(trained, config.data.batch_size, "data.batch_size")
    threshold = config.evaluation.threshold
    if threshold is None:
        return predictor
    if predictor.positive is None:
        raise UserError(
            f"evaluation.threshold={threshold:g}: this checkpoint has no positive class that a threshold could apply to"
        )
    return dataclasses.replace(predictor, calibration=dataclasses.replace(predictor.calibration, threshold=threshold))


def _open_data(config: EvalConfig, trained: TrainedNetwork) -> tuple[EvaluationData, dict[str, Any]]:
    """Find and decode the files to evaluate on; return them, and what ``metrics.json`` says of them."""
    document, trained_with = trained.document, trained.trained_with()
    index, groups = _open_index(config.data, trained_with, document.data_fingerprint)
    fingerprint = index.fingerprint()
    is_own = fingerprint == document.data_fingerprint
    index = match_classes(index, document.classes, config.data.class_map)
    split = _choose_split(config, index)
    training = index if is_own else index_of_training(trained_with, document.data_fingerprint)

    def opener(index: Index) -> tuple[Split, list[Face] | None, ImageFiles, OpenedImages]:
        files = index.all_images() if split == "all" else index.splits[split]
        faces = _find_faces(config, index.root, files.paths)
        boxes = None if faces is None else [face.box for face in faces]
        image_files = ImageFiles(index.root, files.paths, document.input_size, boxes=boxes, resize=document.resize)
        return files, faces, image_files, open_images({split: image_files}, config.data)

    (files, faces, image_files, opened), index, skipped = open_readable(index, opener, config.data.on_bad_image)
    report_damaged(opened.damaged)
    if not len(files):
        raise UserError(f"{index.root}: no file of the split {split} can be read")
    trained_on = None if training is None else trained_files(index, files, training)
    facts = file_facts(index.root, files, groups, trained_on)
    if faces is not None:
        facts["face"] = np.array([face.finding for face in faces], dtype=object)
    _warn_about_origin(config.data.root or config.data.table, trained_with, index.root, is_own=is_own)
    seen = int(facts.get("in_train", np.zeros(0)).sum())
    _report_seen(split, len(files), None if trained_on is None else seen, is_own=is_own)
    reduced = open_reduced(image_files, config.evaluation.equalised_size, config.data)
    about = {
        "root": str(index.root),
        "fingerprint": fingerprint,
        "skipped": skipped,
        "damaged": opened.damaged,
        "left_out": dict(index.left_out),
        "in_train": None if trained_on is None else seen,
    }
    return EvaluationData(split, files, opened.images[split], reduced, facts), about


def _open_index(data: EvalDataConfig, trained_with: AnyDataConfig, fingerprint: str) -> tuple[Index, Groups | None]:
    """The training's data set, or the one in ``data.root`` as it is: only training splits a data set.

    Nothing is downloaded or drawn: a checkpoint may be a stranger's, and must not say where files are written.
    """
    if isinstance(trained_with, FaceMask12KConfig):
        trained_with = dataclasses.replace(trained_with, download=False)
    root = data.root or (data.table and data.table.parent)
    if data.name == "synthetic" and not isinstance(trained_with, SyntheticConfig):
        raise UserError("data=synthetic: this checkpoint was not trained on drawn faces; data.root=FOLDER names images")
    if root is None:
        folder = drawn_folder(trained_with) if isinstance(trained_with, SyntheticConfig) else trained_with.root
        if not folder.exists():
            raise UserError(f"the data of the training is not in {folder} any more: give {_key_of(trained_with)}")
        return open_dataset(trained_with)
    is_other = data.class_map or data.splits or data.columns
    is_as_in_training = not is_other and (data.table is None or isinstance(trained_with, TableConfig))
    if is_as_in_training and not isinstance(trained_with, SyntheticConfig):
        with contextlib.suppress(UserError):  # too few images or classes for a split, or other files
            trained_with = dataclasses.replace(trained_with, root=root)
            if isinstance(trained_with, TableConfig) and data.table:
                trained_with = dataclasses.replace(trained_with, table=data.table)
            moved, groups = split_dataset(trained_with, *list_dataset(trained_with, root))
            if moved.fingerprint() == fingerprint:  # the training's own images at another place
                report_index(moved, root)
                return moved, groups
    index, groups = list_dataset(data, root)
    report_index(index, root)
    if data.name == "facemask12k" and (groups := published_groups(index)) is None:
        log.warning("%s is not facemask12k: which files show one photograph is not known", root)
    return index, groups


def _report_seen(split: str, files: int, seen: int | None, *, is_own: bool) -> None:
    """Say which of the images the model knows already.

    Args:
        files: number of images.
        seen: how many of them were trained on; None if that is not known.
    """
    if seen is None:
        log.info(
            "whether these images were trained on is not known: the files of the training are gone, or have changed"
        )
    elif not seen and not is_own:
        log.info("no image is a file that was trained on, or an exact copy of one; altered copies are not looked for")
    if seen:
        which = f"all {counted(files, 'image')}" if seen == files else f"{seen} of {counted(files, 'image')}"
        rest = "" if seen == files else "; the slice 'unseen' leaves them out"
        meaning = "the accuracy on them says nothing about new images"
        log.warning("%s were trained on, or show a photograph that was: %s%s", which, meaning, rest)
    if is_own and split in ("val", "all"):
        log.info("epoch, temperature and threshold were chosen on the val images: figures on them are a bit too good")


def _key_of(trained_with: AnyDataConfig) -> str:
    return "data.table=FILE" if isinstance(trained_with, TableConfig) else "data.root=FOLDER"


def _warn_about_origin(named: Path | None, trained_with: AnyDataConfig, found: Path, *, is_own: bool) -> None:
    """Warn if the files are almost, but not quite, the training's."""
    if is_own:
        return
    if named is None:
        log.warning("the data in %s is not what this checkpoint was trained with: files differ", found)
    elif found == trained_with.root:
        log.warning(
            "%s is where this checkpoint was trained, with other files or splits: it may know some of the images", found
        )


def _find_faces(config: EvalConfig, root: Path, paths: Sequence[str]) -> list[Face] | None:
    """The face in each file, None if faces are not searched for."""
    finder = open_finder(config.faces, cache_dir=config.data.cache_dir)
    if finder is None:
        return None
    faces = find_faces(root, paths, finder, config.data.workers or usable_cores())
    report_faces([face.finding for face in faces])
    return faces


def _choose_split(config: EvalConfig, index: Index) -> str:
    if config.split is None:
        split = next(name for name in ("test", "val", "all", "train") if name in index.splits)
        if split == "all":
            log.info("%s has no split folders: all of its images are measured", index.root)
        return split
    if config.split != "all" and config.split not in index.splits:
        raise UserError(
            f"split={config.split}: {index.root} has {', '.join(index.splits)}; expected one of them, or all"
        )
    return config.split
