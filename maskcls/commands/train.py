"""The training command: assembles data, model and optimizer, trains, keeps the checkpoints, tests once."""

import logging
import os
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskcls.config import AnyDataConfig, DataConfig, SyntheticConfig, TrainConfig, as_dictionary, nearest
from maskcls.data.augment import build_augment
from maskcls.data.cache import open_images
from maskcls.data.groups import Groups, sampling_weights, seen_in_training
from maskcls.data.index import Index, file_state, require_classes
from maskcls.data.loaders import LabelledImages, Loader, Normalize
from maskcls.data.readable import open_readable
from maskcls.data.sources import open_dataset
from maskcls.data.statistics import IMAGENET, STUDY, Normalization, measure
from maskcls.data.streaming import StreamedImages
from maskcls.errors import TrainingError, UserError
from maskcls.evaluation.calibration import Calibration, calibrate
from maskcls.evaluation.facts import file_facts
from maskcls.evaluation.measure import Measurement
from maskcls.evaluation.metrics import percent_with_interval
from maskcls.evaluation.predictions import Predictions, log_softmax, predict_logits
from maskcls.evaluation.results import SYNTHETIC_NOTE, report_slices, write_evaluation
from maskcls.interrupts import Interrupted, leave
from maskcls.models import build_model
from maskcls.models.checkpoint import load_checkpoint, restore_model
from maskcls.models.cpu import prepare_cpu
from maskcls.models.memory import Demand, explained_memory, free_memory, inference_demand
from maskcls.models.precision import Precision, choose_device, choose_precision
from maskcls.reporting.model_card import write_model_card
from maskcls.run import Run
from maskcls.training.checkpoints import Checkpoints, Row, latest, repair_best, restore
from maskcls.training.fit import REMEDY, NotFiniteError, Trainer, average_weights, fit, train_one_epoch
from maskcls.training.health import (
    DIVISOR,
    RETRIES,
    Collapse,
    CollapsedError,
    chance_loss,
    find_collapse,
    more_careful,
)
from maskcls.training.memory import training_demand, with_batch_size
from maskcls.training.optim import build_optimizer, build_schedule

log = logging.getLogger(__name__)

# compiling for CUDA takes a minute or two, and is supposed to save some milliseconds a step; not measured
STEPS_TO_COMPILE_FOR = 30_000


@dataclass(frozen=True)
class Data:
    """A data set ready to train on.

    Attributes:
        index: its files, labels and classes.
        splits: the decoded images of each split.
        fingerprint: of the index, as it was when the images were read, those that are left out included.
        normalization: of the model's input.
        photographs: which files show one photograph, None where that is not known.
        is_synthetic: drawn by the program, so that no figure says anything about masks.
        skipped: files that cannot be read and are in no split, with the reasons, by path.
    """

    index: Index
    splits: dict[str, LabelledImages]
    fingerprint: str
    normalization: Normalization
    photographs: Groups | None
    is_synthetic: bool
    skipped: Mapping[str, str]


def train(config: TrainConfig, run: Run) -> float:
    """Train, validate and test as configured; everything is written into the run's directory.

    Returns:
        The best validation accuracy, 0..1.

    Raises:
        UserError: where the data, the device or a checkpoint is not what the configuration says.
        TrainingError: where a loss or a gradient is not finite, or the training has collapsed and is to fail.
    """
    threads = prepare_cpu(config.threads)
    device = choose_device(config.device)
    precision, reason = choose_precision(config.precision, device)
    log.info(
        "device %s, %d CPU threads, precision %s (%s), seed %d", device, threads, precision.name, reason, config.seed
    )
    with run.phase("data"):
        data = load_data(config.data)
    resident = keep_resident(config.data, data, device)
    free = free_memory(device) - (_cached_bytes(data) or 0 if resident else 0)
    config = with_batch_size(config, len(data.splits["train"]), len(data.index.classes), free)
    stored = resumable(run, data, config.epochs) if run.is_resumed else None
    run.write_config(config)  # with the batch size that it is, and what was given to a run that is resumed
    _record(run, config, data, device, precision)
    retries = 0 if stored is None else stored[0]["retries"]
    while True:
        try:
            careful = more_careful(config, retries)
            rows = train_epochs(careful, run, data, device, precision, resident, free, retries, stored)
            break
        except CollapsedError:
            stored, retries = None, retries + 1
    if len(rows) < config.epochs:
        log.info("stopped early: %d epochs without a better validation accuracy", config.early_stopping.patience)

    with run.phase("test"):
        tested = _test(config, data, run, device, precision)
    write_model_card(run.directory, run.record, tested.get("best") or tested.get("last"))
    if config.plots:
        with run.phase("plots"):
            _plot(data, rows, run.directory / "plots", f"{config.model.name}, {config.optim.name}")
    _summarize(run, data)
    return float(run.record["best"]["val_accuracy"])


def train_epochs(
    config: TrainConfig,
    run: Run,
    data: Data,
    device: torch.device,
    precision: Precision,
    resident: bool,
    free: float,
    retries: int = 0,
    stored: tuple[dict[str, Any], Path] | None = None,
) -> list[Row]:
    """Train and validate epoch by epoch, and keep checkpoints.

    Args:
        resident: as `keep_resident` returns it.
        free: bytes of the device's memory, before anything is there.
        retries: how often the training has collapsed before; ``config`` heeds that already.
        stored: the checkpoint to go on from, None for the initial weights.

    Returns:
        The rows of ``metrics.csv``.

    Raises:
        TrainingError: where a loss or a gradient is not finite, or ``health.on_collapse`` says so.
        CollapsedError: where the training is to be begun again.
    """
    random.seed(config.seed)  # nothing here draws from these two, but what a user adds may
    np.random.seed(config.seed % 2**32)
    torch.manual_seed(config.seed)
    order, changes = torch.Generator(), torch.Generator(device)
    batch_size, eval_batch_size = int(config.data.batch_size), config.data.eval_batch_size  # no longer auto
    batches = Loader(data.splits["train"], batch_size, device, order, resident, draws(config.data, data))
    validation = Loader(data.splits["val"], eval_batch_size, device, resident=resident)
    trainer = build_trainer(config, data, device, precision, changes, len(batches))

    about = {**_about(config, data, precision), "retries": retries}
    checkpoints = Checkpoints(run.directory / "checkpoints", about, config.checkpoint.every)
    if stored is not None:
        resume(checkpoints, trainer, run, *stored)
    chance = chance_loss(data.splits["train"].labels, draws(config.data, data))
    classes = len(data.index.classes)

    def validation_demand() -> Demand:
        return inference_demand(as_dictionary(config.model), classes, config.data.input_size)

    in_training = partial(
        explained_memory, "data.batch_size", batch_size, free, lambda: training_demand(config, classes)
    )
    in_validation = partial(explained_memory, "data.eval_batch_size", eval_batch_size, free, validation_demand)

    def train_epoch(epoch: int) -> dict[str, float]:
        # both are functions of seed and epoch alone, so that a resumed run draws what an uninterrupted one would
        order.manual_seed(_epoch_seed(config.seed, epoch, 0))
        if trainer.epoch_so_far is None:
            changes.manual_seed(_epoch_seed(config.seed, epoch, 1))
        title = f"epoch {epoch + 1}/{config.epochs}"
        try:
            with run.phase("train"), in_training():
                return train_one_epoch(
                    trainer, batches.batches, len(batches.labels), title, lambda: checkpoints.save_if_due(trainer)
                )
        except NotFiniteError as error:
            order.manual_seed(_epoch_seed(config.seed, epoch, 0))
            start = error.batch * batch_size
            positions = batches.order()[start : start + batch_size].tolist()
            files = [data.index.splits["train"].paths[position] for position in positions]
            raise _not_finite(run, trainer, len(batches), error.batch, files) from None

    validated = torch.empty(0)

    def validate() -> tuple[float, float]:
        nonlocal validated
        with run.phase("validate"), in_validation():
            normalize = Normalize(data.normalization).to(device)
            validated = predict_logits(trainer.evaluated_model, validation, normalize, precision)
        files = data.index.splits["val"]
        predictions = Predictions.from_logits(files.paths, data.index.classes, files.labels, validated)
        return predictions.loss, predictions.accuracy

    def keep(row: Row, is_best: bool) -> None:
        collapse = find_collapse(row, validated, chance)
        if collapse is not None:
            handle_collapse(collapse, config, run, data, retries)
        checkpoints.rows.append(row)
        checkpoints.calibration = _calibrate(config, data, validated)
        run.write_metrics(checkpoints.rows)
        checkpoints.save(trainer, is_best)
        run.record.update(final=row, best=trainer.progress.best)
        run.write()
        log.info(_epoch_line(row, config.epochs, is_best))

    patience, min_delta = config.early_stopping.patience, config.early_stopping.min_delta
    try:
        fit(trainer, config.epochs, train_epoch, validate, keep, patience, min_delta)
    except Interrupted:
        leave()
        checkpoints.save(trainer)
        raise
    return checkpoints.rows


def handle_collapse(collapse: Collapse, config: TrainConfig, run: Run, data: Data, retries: int) -> None:
    """Record a collapse, say what was seen and what helps, and do what ``health.on_collapse`` says.

    Raises:
        TrainingError: where that is to fail, or another try has collapsed, too.
        CollapsedError: where it is to try again; the checkpoints of this try are gone.
    """
    told = run.record.setdefault("collapses", {})
    is_new, told[f"try {retries + 1}"] = f"try {retries + 1}" not in told, collapse._asdict()
    seen = (
        f"epoch {collapse.epoch}: the training has collapsed: every validation image is taken for "
        f"{data.index.classes[collapse.label]}, and the training loss, {collapse.train_loss:.4g}, is no better than "
        f"that of guessing, {collapse.chance_loss:.4f}, at a learning rate of {config.optim.lr:g}"
    )
    helps = f"a lower optim.lr, such as {config.optim.lr / DIVISOR:g}, schedule.warmup_epochs=1 or another seed helps"
    if config.health.on_collapse == "warn":
        if is_new:
            log.warning("%s; %s, and health.on_collapse=retry does both of the first two", seen, helps)
        return
    if config.health.on_collapse == "fail" or retries == RETRIES:
        raise TrainingError(f"{seen}; {helps}")
    log.warning("%s; begun again at a learning rate of %g, with a warm-up", seen, config.optim.lr / DIVISOR)
    for name in ("last", "previous", "best"):
        (run.directory / "checkpoints" / f"{name}.pt").unlink(missing_ok=True)
    for key in ("final", "best"):
        run.record.pop(key, None)
    run.write_metrics([])
    run.write()
    raise CollapsedError


def load_data(config: AnyDataConfig) -> Data:
    """Find, decode and measure a data set."""
    index, photographs = open_dataset(config)
    if config.positive_class is not None and config.positive_class not in index.classes:
        hint = nearest(config.positive_class, index.classes)
        raise UserError(
            f"data.positive_class={config.positive_class}: the classes are {', '.join(index.classes)}{hint}; "
            "null where none is positive"
        )
    fingerprint = index.fingerprint()

    def opener(index: Index) -> dict[str, np.ndarray | StreamedImages]:
        require_classes(index)
        paths = {name: split.paths for name, split in index.splits.items()}
        return open_images(index.root, paths, config.input_size, config)

    images, index, skipped = open_readable(index, opener, config.on_bad_image)
    if "test" in index.splits and not len(index.splits["test"]):
        log.warning("%s: no file of the test split can be read, left out", index.root)
        index = index.without_split("test")
    splits = {name: LabelledImages(images[name], split.labels) for name, split in index.splits.items()}
    match config.normalization:
        case "study":
            normalization = STUDY
        case "imagenet":
            normalization = IMAGENET
        case _:
            normalization = measure(splits["train"].images)
    is_synthetic = isinstance(config, SyntheticConfig)
    return Data(index, splits, fingerprint, normalization, photographs, is_synthetic, skipped)


def draws(config: DataConfig, data: Data) -> list[float] | None:
    """How often each training image is to be drawn, None for once an epoch.

    Raises:
        UserError: where it is not known which files show one photograph, and ``data.sampling`` asks for it.
    """
    by_photograph = config.sampling == "groups" or (config.sampling == "auto" and config.split == "grouped")
    if not by_photograph:
        return None
    if data.photographs is None:
        raise UserError(
            "data.sampling=groups needs data.groups=FILE, which says what files show one photograph: "
            f"maskcls-audit data.root={data.index.root} writes one"
        )
    return sampling_weights(data.index.splits["train"], data.photographs)


def keep_resident(config: DataConfig, data: Data, device: torch.device) -> bool:
    """Whether training and validation images are copied to the device once, rather than a batch at a time.

    Raises:
        UserError: where ``data.resident=true`` contradicts ``data.cache_gb``.
    """
    size = _cached_bytes(data)
    if config.resident != "auto":
        if config.resident and size is None:
            raise UserError("data.resident=true: the images are more than the cache may hold, see data.cache_gb")
        return config.resident
    return device.type == "cuda" and size is not None and size <= free_memory(device) / 2


def _cached_bytes(data: Data) -> int | None:
    """Of the training and validation images, None where they are not decoded in advance."""
    arrays = [data.splits[name].images for name in ("train", "val")]
    sizes = [array.nbytes for array in arrays if isinstance(array, np.ndarray)]
    return sum(sizes) if len(sizes) == len(arrays) else None


def build_trainer(
    config: TrainConfig,
    data: Data,
    device: torch.device,
    precision: Precision,
    generator: torch.Generator,
    steps_per_epoch: int,
) -> Trainer:
    """The model with new weights from torch's global generator, and everything that trains it.

    Args:
        generator: draws the augmentation, on the device.
        steps_per_epoch: for the schedule.
    """
    model = build_model(as_dictionary(config.model), len(data.index.classes), config.data.input_size)
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    normalize = Normalize(data.normalization).to(device)
    augment = build_augment(config.augment, generator)

    def augment_and_normalize(images: Tensor) -> Tensor:
        normalized: Tensor = normalize(images if augment is None else augment(images))
        return normalized

    optimizer = build_optimizer(config.optim, model)
    if precision.name == "float16":
        optimizer._opt_called = True  # type: ignore[attr-defined]  # torch warns where the scaler skips the first step
    return Trainer(
        model=model,
        forward=_compiled(model, device) if compiles(config, device, steps_per_epoch) else model,
        optimizer=optimizer,
        schedule=build_schedule(config.schedule, optimizer, config.epochs, steps_per_epoch),
        transform=augment_and_normalize,
        loss_function=nn.CrossEntropyLoss(label_smoothing=config.label_smoothing),
        precision=precision,
        scaler=precision.grad_scaler(),
        clip_norm=config.optim.clip_norm,
        average=average_weights(model, config.ema_decay),
        generator=generator,
    )


def compiles(config: TrainConfig, device: torch.device, steps_per_epoch: int) -> bool:
    """Whether the model is compiled: ``auto`` does where the run is long enough to pay for it.

    On the CPU it never did: see docs/benchmarks.md.
    """
    if config.compile == "auto":
        is_long = config.epochs * steps_per_epoch >= STEPS_TO_COMPILE_FOR
        return device.type == "cuda" and is_long and _can_compile()
    return config.compile


def _can_compile() -> bool:
    """Whether there is what compiling for CUDA needs: Triton, for this GPU, and a C compiler."""
    from torch.utils._triton import has_triton

    return has_triton() and any(map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang")))


def _compiled(model: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    torch.compiler.reset()  # what earlier jobs of a sweep compiled counts towards a limit
    log.info("the model is compiled at its first batch, which takes a minute or so")
    # max-autotune replays forward and backward as CUDA graphs
    compiled: Callable[[Tensor], Tensor] = torch.compile(
        model, dynamic=False, mode="max-autotune" if device.type == "cuda" else None
    )
    return compiled


def _calibrate(config: TrainConfig, data: Data, logits: Tensor) -> Calibration:
    """Temperature and threshold, fitted to the validation images' logits."""
    classes, name = data.index.classes, config.data.positive_class
    labels = np.array(data.index.splits["val"].labels)
    positive = None if name is None else classes.index(name)
    return calibrate(log_softmax(logits).numpy(), labels, positive, config.evaluation.threshold)


def _test(
    config: TrainConfig, data: Data, run: Run, device: torch.device, precision: Precision
) -> dict[str, dict[str, Any]]:
    """Use the test split, once, with the checkpoints that the configuration names; return each one's figures."""
    if "test" not in data.splits or config.test == "none":
        log.info("not tested: %s", "test=none" if "test" in data.splits else f"{data.index.root} has no test split")
        return {}
    tested = {}
    run.record["test"] = {}
    files = data.index.splits["test"]
    trained_on = data.photographs and {data.photographs[path].group for path in data.index.splits["train"].paths}
    facts = file_facts(data.index.root, files, data.photographs, trained_on)
    low = None
    if (size := config.evaluation.equalised_size) is not None:
        low = open_images(data.index.root, {"test": files.paths}, config.data.input_size, config.data, size)["test"]
    for name in ("best", "last") if config.test == "both" else (config.test,):
        path = run.directory / "checkpoints" / f"{name}.pt"
        content = load_checkpoint(path)
        model, normalize = restore_model(content, path, device)
        measurement = Measurement(
            model,
            content["config"]["model"],
            normalize,
            precision,
            device,
            content["input_size"],
            config.data.eval_batch_size,
            "data.eval_batch_size",
            data.index.classes,
            config.data.positive_class,
            Calibration.of(content),
        )
        predictions = measurement.answers(files, data.splits["test"].images, facts)
        equalised = None if low is None else measurement.answers(files, low, facts)
        directory = run.directory / "evaluation" / ("test" if name == config.test or name == "best" else "test_last")
        about = {
            "split": "test",
            "checkpoint": str(path.relative_to(run.directory)),
            "epoch": content["progress"]["epoch"],
            "temperature": content["temperature"],
            "threshold": content["threshold"],
            "data_split": config.data.split,
            **({"note": SYNTHETIC_NOTE} if data.is_synthetic else {}),
        }
        metrics = write_evaluation(directory, predictions, config.data.positive_class, about, config.plots, equalised)
        report_slices("test" if name == "best" else f"test, {name} checkpoint", metrics)
        keys = ("epoch", "accuracy", "accuracy_interval_95", "correct", "images", "loss")
        run.record["test"][name] = {key: metrics[key] for key in keys}
        tested[name] = metrics
    return tested


def _about(config: TrainConfig, data: Data, precision: Precision) -> dict[str, Any]:
    """What all checkpoints of a training hold."""
    return {
        "config": as_dictionary(config),
        "classes": list(data.index.classes),
        "positive_class": config.data.positive_class,
        "normalization": data.normalization._asdict(),
        "input_size": config.data.input_size,
        "precision": precision.name,
        "data_fingerprint": data.fingerprint,
    }


def resumable(run: Run, data: Data, epochs: int) -> tuple[dict[str, Any], Path] | None:
    """The checkpoint that a run goes on from, and its path; None where none had been written.

    Raises:
        UserError: where no checkpoint is whole, the data is not what it was, or more epochs than these have begun.
    """
    found = latest(run.directory / "checkpoints")
    if found is None:
        log.info("no checkpoint had been written: the training starts from its beginning")
        return None
    content, _ = found
    began = run.record.get("data", {})
    is_same = content["data_fingerprint"] == data.fingerprint and _is_normalized_by(data.normalization, content)
    if not is_same or began.get("skipped", {}).keys() != data.skipped.keys():
        raise UserError(f"resume={run.directory}: {data.index.root} does not hold the files that this run began with")
    _report_changes(data, found[1])
    begun = content["progress"]["epoch"] + (content["epoch_so_far"] is not None)
    if epochs < begun:
        raise UserError(f"resume={run.directory}: epochs={epochs}, but epoch {begun} has begun; give that or more")
    return found


def _is_normalized_by(normalization: Normalization, content: Mapping[str, Any]) -> bool:
    return all(np.allclose(getattr(normalization, key), value) for key, value in content["normalization"].items())


def _report_changes(data: Data, checkpoint: Path) -> None:
    """Say how many files are younger than a checkpoint: of the same size, they may not be what they were."""
    written = checkpoint.stat().st_mtime_ns
    younger = [path for path in data.index.all_images().paths if file_state(data.index.root / path)[1] > written]
    if younger:
        log.warning("%d files have changed since %s was written, such as %s", len(younger), checkpoint, younger[0])


def resume(checkpoints: Checkpoints, trainer: Trainer, run: Run, content: Mapping[str, Any], path: Path) -> None:
    """Put a training where a checkpoint left it.

    Raises:
        UserError: where it makes no sense.
    """
    restore(trainer, content, path)
    if path.name != "last.pt":
        # it is damaged, and would take the place of the one that is not
        (checkpoints.directory / "last.pt").unlink(missing_ok=True)
    checkpoints.rows[:] = content["rows"]
    checkpoints.calibration = Calibration.of(content)
    if not repair_best(checkpoints.directory, content):
        if trainer.progress.best:
            log.warning(
                "best.pt of epoch %d is missing or damaged: the best epoch is looked for anew from here",
                trainer.progress.best["epoch"],
            )
        trainer.progress.best = {}
    run.write_metrics(checkpoints.rows)
    if checkpoints.rows:  # the process may have died before it wrote them
        run.record.update(final=checkpoints.rows[-1], best=trainer.progress.best or run.record.get("best", {}))
    so_far = trainer.epoch_so_far
    within = f" and {so_far.batches} steps of the next" if so_far is not None and so_far.batches else ""
    log.info("resumed from %s, after %d epochs%s", path, trainer.progress.epoch, within)


def _not_finite(run: Run, trainer: Trainer, steps_per_epoch: int, batch: int, files: list[str]) -> TrainingError:
    """What to say of a loss or gradient that is not finite; the batch's files are in ``run.json``."""
    epoch = trainer.progress.epoch
    rate = trainer.learning_rate
    run.record["failed_batch"] = {"epoch": epoch + 1, "batch": batch + 1, "learning_rate": rate, "files": files}
    shown = ", ".join(files[:3]) + (", ..." if len(files) > 3 else "")
    return TrainingError(
        f"epoch {epoch + 1}, step {epoch * steps_per_epoch + batch + 1}: the loss or its gradient is not finite, at a "
        f"learning rate of {rate:g}, on the batch of {shown} (all in run.json); {REMEDY}"
    )


def _epoch_seed(seed: int, epoch: int, purpose: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, purpose]).generate_state(1)[0])


def _record(run: Run, config: TrainConfig, data: Data, device: torch.device, precision: Precision) -> None:
    """Add to ``run.json`` what the run works with, and show it."""
    index = data.index
    seen = None if data.photographs is None else seen_in_training(index, data.photographs)
    run.record.update(
        device=str(device),
        precision=precision.name,
        seed=config.seed,
        epochs=config.epochs,
        model=config.model.name,
        optimizer=config.optim.name,
        data={
            "root": str(index.root),
            "fingerprint": data.fingerprint,
            "split": config.data.split,
            "images": index.counts(),
            "skipped": dict(data.skipped),
            "seen_in_training": seen,
        },
    )
    run.write()
    log.info("data %s, classes %s", index.root, ", ".join(index.classes))
    for split, counts in index.counts().items():
        each = ", ".join(f"{count} {name}" for name, count in counts.items())
        log.info("  %-5s %6d images: %s", split, sum(counts.values()), each)
    _report_split(config.data.split, seen)
    if data.is_synthetic:
        log.warning("note: %s", SYNTHETIC_NOTE)


def _report_split(split: str, seen: dict[str, dict[str, int]] | None) -> None:
    """Say which split it is, and how much of its evaluation is on photographs that are trained on."""
    if seen is None:
        log.info("split %s; which files show one photograph is not known (maskcls-audit finds out)", split)
        return
    counts = [
        f"{count} {name} of {part}" for part, by_class in seen.items() for name, count in by_class.items() if count
    ]
    if not counts:
        log.info("split %s; no photograph is in two splits", split)
        return
    log.warning(
        "split %s; photographs that are trained on, too: %s. data.split=grouped has none", split, ", ".join(counts)
    )


def _plot(data: Data, rows: list[dict[str, float]], directory: Path, title: str) -> None:
    """Draw the learning curves, the images by split and class, and a sample of them as the model sees them."""
    from maskcls.reporting.plots import class_distribution, learning_curves, sample_grid

    directory.mkdir(exist_ok=True)
    learning_curves(rows, directory / "curves.png", title)
    class_distribution(data.index.counts(), directory / "class_distribution.png", "images by split and class")
    train = data.splits["train"]
    # apart from the run's generators: drawing plots or not changes no figure
    chosen = np.random.default_rng(0).permutation(len(train))[:32]
    names = [data.index.classes[train.labels[i]] for i in chosen]
    sample_grid([train.images[i] for i in chosen], names, directory / "samples.png", "training images")


def _epoch_line(row: dict[str, float], epochs: int, is_best: bool) -> str:
    return (
        f"epoch {row['epoch']:>3}/{epochs}  train loss {row['train_loss']:.4f} accuracy {row['train_accuracy']:7.2%}  "
        f"val loss {row['val_loss']:.4f} accuracy {row['val_accuracy']:7.2%}  "
        f"{row['images_per_second']:.0f} images/s  {row['seconds']:.1f} s{'  best so far' if is_best else ''}"
    )


def _summarize(run: Run, data: Data) -> None:
    for name in ("final", "best"):
        row = run.record[name]
        log.info("%s epoch %d: validation accuracy %.2f %%", name, row["epoch"], 100 * row["val_accuracy"])
    for name, metrics in run.record.get("test", {}).items():
        log.info("test, %s checkpoint (epoch %d): %s", name, metrics["epoch"], percent_with_interval(metrics))
    if data.is_synthetic:
        log.warning("note: %s", SYNTHETIC_NOTE)
    log.info("everything is in %s", run.directory)
