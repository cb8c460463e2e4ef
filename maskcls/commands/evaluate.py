"""The evaluation command: a checkpoint's figures on a split."""

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from maskcls.config import AnyDataConfig, EvalConfig, FaceMask12KConfig, SyntheticConfig
from maskcls.cores import usable_cores
from maskcls.data.cache import open_images
from maskcls.data.faces import Face, FaceFinder, find_detector, find_faces, report_faces
from maskcls.data.groups import Groups
from maskcls.data.index import Index, Split, index_folder, match_classes
from maskcls.data.readable import open_readable
from maskcls.data.sources import drawn_folder, open_dataset
from maskcls.data.streaming import StreamedImages
from maskcls.errors import UserError
from maskcls.evaluation.calibration import UNCALIBRATED, Calibration
from maskcls.evaluation.facts import file_facts
from maskcls.evaluation.measure import Measurement
from maskcls.evaluation.metrics import percent_with_interval
from maskcls.evaluation.results import SYNTHETIC_NOTE, report_slices, write_evaluation
from maskcls.models.checkpoint import load_checkpoint, restore_model, training_data
from maskcls.models.cpu import prepare_cpu
from maskcls.models.precision import choose_device, choose_precision
from maskcls.run import Run, find_checkpoint

log = logging.getLogger(__name__)

Images = np.ndarray | StreamedImages
Opener = Callable[..., dict[str, Images]]


def evaluate(config: EvalConfig, run: Run) -> float:
    """Evaluate a checkpoint as configured; everything is written into the run's directory.

    Returns:
        The accuracy, 0..1.

    Raises:
        UserError: where the checkpoint, the data or the device is not what the configuration says.
    """
    path = find_checkpoint(config.ckpt)
    threads = prepare_cpu(config.threads)
    device = choose_device(config.device)
    content = load_checkpoint(path)
    precision, reason = choose_precision(config.precision or content["precision"], device)
    model, normalize = restore_model(content, path, device)
    log.info("checkpoint %s, epoch %d", path, content["progress"]["epoch"])
    reason = reason if config.precision else "as in training"
    log.info("device %s, %d CPU threads, precision %s (%s)", device, threads, precision.name, reason)

    trained_with = training_data(content, path)
    with run.phase("data"):
        index, photographs = _open_index(config.data.root, trained_with, content["data_fingerprint"])
        fingerprint = index.fingerprint()
        is_own = fingerprint == content["data_fingerprint"]
        index = match_classes(index, content["classes"])
        split = _choose_split(config, index)
        trained_on = (
            {photographs[path].group for path in index.splits["train"].paths} if photographs and is_own else None
        )

        def opener(index: Index) -> tuple[Split, list[Face] | None, Opener, Images]:
            files = index.all_images() if split == "all" else index.splits[split]
            faces = _find_faces(config, index.root, files.paths)
            boxes = None if faces is None else {split: [face.box for face in faces]}
            open_at = partial(
                open_images, index.root, {split: files.paths}, content["input_size"], config.data, boxes=boxes
            )
            return files, faces, open_at, open_at()[split]

        (files, faces, opened, images), index, skipped = open_readable(index, opener, config.data.on_bad_image)
        if not len(files):
            raise UserError(f"{index.root}: no file of the split {split} can be read")
        facts = file_facts(index.root, files, photographs, trained_on)
        if faces is not None:
            facts["face"] = np.array([face.finding for face in faces], dtype=object)
    if config.data.root is None and not is_own:
        log.warning("the data in %s is not what this checkpoint was trained with: files differ", index.root)
    if config.data.root is not None and not is_own and config.data.root == trained_with.root:
        log.warning(
            "%s is where this checkpoint was trained, with other files or splits: some may be known to it", index.root
        )
    calibration = Calibration.of(content)
    if config.evaluation.threshold is not None:
        if content["positive_class"] is None:
            raise UserError(
                f"evaluation.threshold={config.evaluation.threshold:g}: this checkpoint has no positive class, "
                "whose probability it would be"
            )
        calibration = dataclasses.replace(calibration, threshold=config.evaluation.threshold)
    measurement = Measurement(
        model,
        content["config"]["model"],
        normalize,
        precision,
        device,
        content["input_size"],
        config.data.batch_size or trained_with.eval_batch_size,
        "data.batch_size",
        tuple(content["classes"]),
        content["positive_class"],
        calibration,
    )
    with run.phase("evaluate"):
        predictions = measurement.answers(files, images, facts)
    equalised = None
    if (size := config.evaluation.equalised_size) is not None:
        with run.phase("equalised"):
            equalised = measurement.answers(files, opened(through=size)[split], facts)

    is_synthetic = config.data.root is None and isinstance(trained_with, SyntheticConfig)
    about = {
        "split": split,
        "checkpoint": str(path),
        "epoch": content["progress"]["epoch"],
        "temperature": calibration.temperature,
        "threshold": calibration.threshold,
        "data": {"root": str(index.root), "fingerprint": fingerprint, "skipped": skipped},
        **({"note": SYNTHETIC_NOTE} if is_synthetic else {}),
    }
    directory = run.directory / "evaluation" / split
    metrics = write_evaluation(directory, predictions, content["positive_class"], about, config.plots, equalised)
    run.record.update(device=str(device), precision=precision.name, training=content["config"], evaluation=metrics)
    log.info("%s of %s: accuracy %s, loss %.4f", split, index.root, percent_with_interval(metrics), metrics["loss"])
    if calibration.threshold != UNCALIBRATED.threshold:
        log.info("decided at a probability of %s of %.4f or more", content["positive_class"], calibration.threshold)
    report_slices(split, metrics)
    if is_synthetic:
        log.warning("note: %s", SYNTHETIC_NOTE)
    log.info("everything is in %s", run.directory)
    return predictions.accuracy


def _find_faces(config: EvalConfig, root: Path, paths: Sequence[str]) -> list[Face] | None:
    """The face in each file, None where none is looked for."""
    if config.faces.mode == "none":
        return None
    finder = FaceFinder(find_detector(config.faces.model, config.data.cache_dir), config.faces.mode == "yunet")
    faces = find_faces(root, paths, finder, config.data.workers or usable_cores())
    report_faces([face.finding for face in faces])
    return faces


def _open_index(root: Path | None, trained_with: AnyDataConfig, fingerprint: str) -> tuple[Index, Groups | None]:
    """The training's data set, or the one in ``root`` as it lies: cutting into splits is for training.

    Nothing is fetched or drawn: a checkpoint, which may be a stranger's, does not say where files are to be written.
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
        with contextlib.suppress(UserError):  # too few images or classes to be split, or other files
            moved, photographs = open_dataset(dataclasses.replace(trained_with, root=root))
            if moved.fingerprint() == fingerprint:  # the training's own images: all of them are not new to it
                return moved, photographs
    return index, None


def _choose_split(config: EvalConfig, index: Index) -> str:
    if config.split is None:
        return next(name for name in ("test", "val", "all", "train") if name in index.splits)
    if config.split != "all" and config.split not in index.splits:
        raise UserError(
            f"split={config.split}: {index.root} has {', '.join(index.splits)}; expected one of them, or all"
        )
    return config.split
