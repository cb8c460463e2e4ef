"""The evaluation command: a checkpoint's figures on a split."""

import contextlib
import logging
from pathlib import Path
from typing import Any

from maskcls.config import AnyDataConfig, EvalConfig, SyntheticConfig, parse_stored_data
from maskcls.data.cache import open_images
from maskcls.data.index import Index, cut_missing_splits, index_folder, match_classes
from maskcls.data.loaders import LabelledImages, Loader
from maskcls.data.sources import open_dataset
from maskcls.errors import UserError
from maskcls.evaluation.metrics import percent_with_interval
from maskcls.evaluation.predictions import Predictions, predict_logits
from maskcls.evaluation.results import SYNTHETIC_NOTE, write_evaluation
from maskcls.models.checkpoint import load_checkpoint, restore_model
from maskcls.models.cpu import prepare_cpu
from maskcls.models.precision import choose_device, choose_precision
from maskcls.run import Run, find_checkpoint

log = logging.getLogger(__name__)


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

    trained_with = _training_data(content, path)
    with run.phase("data"):
        index = _open_index(config.data.root, trained_with, content["data_fingerprint"])
        index = match_classes(index, content["classes"])
        split = _choose_split(config, index)
        files = index.all_images() if split == "all" else index.splits[split]
        images = open_images(index.root, {split: files.paths}, content["input_size"], config.data)[split]
    if config.data.root is None and index.fingerprint() != content["data_fingerprint"]:
        log.warning("the data in %s is not what this checkpoint was trained with: files differ", index.root)
    with run.phase("evaluate"):
        batch_size = config.data.batch_size or trained_with.eval_batch_size
        batches = Loader(LabelledImages(images, files.labels), batch_size, device)
        logits = predict_logits(model, batches, normalize, precision)
    predictions = Predictions.from_logits(files.paths, index.classes, files.labels, logits)

    is_synthetic = config.data.root is None and isinstance(trained_with, SyntheticConfig)
    about = {
        "split": split,
        "checkpoint": str(path),
        "epoch": content["progress"]["epoch"],
        "data": {"root": str(index.root), "fingerprint": index.fingerprint()},
        **({"note": SYNTHETIC_NOTE} if is_synthetic else {}),
    }
    directory = run.directory / "evaluation" / split
    metrics = write_evaluation(directory, predictions, content["positive_class"], about, config.plots)
    run.record.update(device=str(device), precision=precision.name, evaluation=metrics)
    log.info("%s of %s: accuracy %s, loss %.4f", split, index.root, percent_with_interval(metrics), metrics["loss"])
    if is_synthetic:
        log.warning("note: %s", SYNTHETIC_NOTE)
    log.info("everything is in %s", run.directory)
    return predictions.accuracy


def _training_data(content: dict[str, Any], path: Path) -> AnyDataConfig:
    """What the checkpoint was trained with."""
    try:
        return parse_stored_data(content["config"].get("data"))
    except UserError as error:
        raise UserError(f"ckpt={path}: its configuration is not one of this maskcls: {error}") from None


def _open_index(root: Path | None, trained_with: AnyDataConfig, fingerprint: str) -> Index:
    """The training's data set, or the one in ``root`` as it lies: cutting into splits is for training."""
    if root is None:
        if not isinstance(trained_with, SyntheticConfig) and not trained_with.root.is_dir():
            raise UserError(f"the data of the training is not in {trained_with.root} any more: give data.root=FOLDER")
        return open_dataset(trained_with)[0]
    index = index_folder(root)
    if "all" in index.splits:
        with contextlib.suppress(UserError):  # too few images or classes to be cut
            cut = cut_missing_splits(
                index, trained_with.val_fraction, trained_with.test_fraction, trained_with.split_seed
            )
            if cut.fingerprint() == fingerprint:  # the training's own images, moved: all of them are not new to it
                return cut
    return index


def _choose_split(config: EvalConfig, index: Index) -> str:
    if config.split is None:
        return next(name for name in ("test", "val", "all", "train") if name in index.splits)
    if config.split != "all" and config.split not in index.splits:
        raise UserError(
            f"split={config.split}: {index.root} has {', '.join(index.splits)}; expected one of them, or all"
        )
    return config.split
