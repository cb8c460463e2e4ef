"""The training command: prepares data and network, trains, tests once, and describes the result."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from maskcls.commands.imbalance import advice, report_sizes
from maskcls.commands.recording import RunRecorder, forget_training
from maskcls.commands.resuming import Stored, record_typed_rate, resumable, resume, retries_before_rate
from maskcls.commands.samples import plot_samples
from maskcls.commands.testing import evaluate_on_test
from maskcls.config import MyCNNConfig, TrainConfig, as_dictionary
from maskcls.data.groups import seen_in_training
from maskcls.data.loaders import Loader
from maskcls.errors import TrainingError
from maskcls.evaluation.metrics import percent_with_interval, proportion_interval
from maskcls.evaluation.results import SYNTHETIC_NOTE
from maskcls.models.calibration import UNCALIBRATED
from maskcls.models.cpu import prepare_cpu
from maskcls.models.device import choose_device, use_device
from maskcls.models.document import Document, EpochRow, Progress
from maskcls.models.memory import free_memory
from maskcls.models.normalize import Normalize
from maskcls.models.precision import Precision, choose_precision
from maskcls.reporting.model_card import write_model_card
from maskcls.run import Run
from maskcls.training.batches import TrainingBatches
from maskcls.training.build import build_state
from maskcls.training.checkpoints import CheckpointWriter
from maskcls.training.collapse import CollapsedError, CollapsePolicy, chance_loss, more_careful
from maskcls.training.compilation import compiled
from maskcls.training.crowding import CrowdingWatch
from maskcls.training.data import TrainingData, cached_bytes, draws_alike, keep_resident, load_data
from maskcls.training.examples import Examples, training_examples
from maskcls.training.initial import origin_of, start_from
from maskcls.training.loop import NotFiniteError, Plan, fit
from maskcls.training.memory import explained_training, with_batch_size
from maskcls.training.randomness import determinism, seed_everything
from maskcls.training.validation import Validator
from maskcls.wording import counted, named

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Machine:
    """Where a training computes.

    Attributes:
        device: the device.
        precision: number format of the forward pass.
        free: bytes of the device's memory that are free before the training begins.
        resident: whether all images are copied to the device at the start.
    """

    device: torch.device
    precision: Precision
    free: float
    resident: bool


def train(config: TrainConfig, run: Run) -> float:
    """Train, validate and test as configured; everything is written into the run's directory.

    Returns:
        The validation figure of the best epoch that runs are ranked by, 0..1.

    Raises:
        UserError: if the data, the device or a checkpoint is not what the configuration says.
        TrainingError: if a loss or a gradient is not finite, or the training has collapsed and is to fail.
        MachineError: if memory runs out.
    """
    threads = prepare_cpu(config.threads)
    device = choose_device(config.device)
    use_device(device)
    precision, reason = choose_precision(config.precision, device)
    where, chosen = f"{device}, {counted(threads, 'CPU thread')}", f"{precision.name} ({reason})"
    log.info("device %s, precision %s, seed %d", where, chosen, config.seed)
    if config.init is not None and "init" not in run.record:
        run.record["init"] = origin_of(config.init, config.model)
    with run.phase("data"):
        data = load_data(config.data)
        examples = training_examples(config, data)
    size = cached_bytes(examples.split.images, data.splits["val"].images)
    resident = keep_resident(config.data, size, device)
    free = free_memory(device) - (size or 0 if resident else 0)
    machine = Machine(device, precision, free, resident)
    config = with_batch_size(config, len(data.splits["train"]), len(data.classes), precision, free)
    stored = resumable(run, data, config.epochs) if run.is_resumed else None
    if stored is not None:
        record_typed_rate(run, stored[0], config.optim.lr)
    run.write_config(config)  # with the batch size in place of auto, and the keys that were changed on resuming
    _record(run, config, data, examples, machine)
    if run.record["pretrained"]:
        log.info("model.pretrained=true: torchvision's ImageNet weights, except for the last layer, which is new")
    images = data.index.counts()
    report_sizes(images["val"], advice(images["train"], draws_alike=draws_alike(config.data)), config.select)
    with determinism(on=config.deterministic), precision.products():  # backward passes, too
        rows = _train_with_retries(config, run, data, examples, machine, stored)
    _record_validation(run, len(data.splits["val"]))
    with run.phase("test"):
        tested = evaluate_on_test(config, data, run, device, precision)
    write_model_card(run.directory, run.record, tested.get("best") or tested.get("last"))
    if config.plots:
        with run.phase("plots"):
            _plot(config, data, examples, rows, run)
    _summarize(run, data)
    return float(run.record["best"][config.selected_figure])


def _train_with_retries(
    config: TrainConfig, run: Run, data: TrainingData, examples: Examples, machine: Machine, stored: Stored | None
) -> Sequence[EpochRow]:
    """Train; start again, more carefully, as often as the training collapses and may be retried."""
    training = stored[0].document.training if stored else None
    retries = training.retries if training else 0
    before_rate = retries_before_rate(run, config.optim.lr)
    while True:
        try:
            careful = more_careful(config, retries, before_rate)
            return _train_once(careful, run, data, examples, machine, retries, stored)
        except CollapsedError:
            forget_training(run)
            stored, retries = None, retries + 1
        except NotFiniteError as error:
            run.record["failed_batch"] = dict(vars(error))
            raise


def _train_once(
    config: TrainConfig,
    run: Run,
    data: TrainingData,
    examples: Examples,
    machine: Machine,
    retries: int,
    stored: Stored | None,
) -> Sequence[EpochRow]:
    """Train from the initial weights, or from a checkpoint; return the rows of metrics.csv. Raises as `fit` does."""
    seed_everything(config.seed)
    batches = _batches(config, examples, machine)
    normalize = Normalize(data.normalization).to(machine.device)
    state = build_state(config, len(data.classes), normalize, machine.precision, batches.changes, len(batches))
    state.retries = retries

    about = _about(config, data, machine.precision)
    trained = {key: about.config[key] for key in ("epochs", "optim", "schedule")}
    run.record["trained"] = {**trained, "batch_size": config.data.batch_size, "retries": retries}
    writer = CheckpointWriter(run.checkpoints, about, config.checkpoint.every)
    recorder = RunRecorder(run, writer, config.epochs, config.select)
    if stored is not None:
        resume(state, recorder, *stored)
    elif config.init is not None:
        start_from(state, config.init, run.record["init"]["sha256"], about)
    collapse = CollapsePolicy(
        action=config.health.on_collapse,
        chance_loss=chance_loss(examples.split.labels, examples.weights),
        classes=data.classes,
        learning_rate=config.optim.lr,
    )
    validator = Validator(
        batches=Loader(data.splits["val"], config.data.eval_batch_size, machine.device, resident=machine.resident),
        normalize=normalize,
        positive=None if about.positive_class is None else data.classes.index(about.positive_class),
        threshold_rule=config.evaluation.threshold,
    )
    try:
        with (
            explained_training(config, state.model, len(data.classes), machine.precision, machine.free),
            compiled(config, state, batches),
        ):
            fit(state, batches, validator, Plan.of(config, collapse), [recorder, CrowdingWatch()])
    except (TrainingError, CollapsedError):  # the epoch will not be done; after an interruption it may be
        run.count_seconds("train", state.sums.seconds if state.sums else 0.0)
        raise
    return state.rows


def _batches(config: TrainConfig, examples: Examples, machine: Machine) -> TrainingBatches:
    """The batches of each epoch."""
    order, changes = torch.Generator(), torch.Generator(machine.device)
    loader = Loader(
        examples.split,
        int(config.data.batch_size),  # no longer auto
        machine.device,
        shuffle=order,
        resident=machine.resident,
        sampling=examples.sampling,
    )
    return TrainingBatches(loader, order, changes, config.seed, examples.paths)


def _about(config: TrainConfig, data: TrainingData, precision: Precision) -> Document:
    """What all checkpoints of a training have in common."""
    return Document(
        model=config.model,
        classes=data.classes,
        positive_class=config.data.positive_class,
        normalization=data.normalization,
        input_size=config.data.input_size,
        resize=config.data.resize,
        precision=precision.name,
        temperature=UNCALIBRATED.temperature,
        threshold=UNCALIBRATED.threshold,
        data_fingerprint=data.fingerprint,
        progress=Progress(),
        config=as_dictionary(config),
    )


def _record(run: Run, config: TrainConfig, data: TrainingData, examples: Examples, machine: Machine) -> None:
    """Add to ``run.json`` what the run works with, and log it."""
    index = data.index
    seen = None if data.groups is None else seen_in_training(index, data.groups)
    run.record.update(
        device=str(machine.device),
        precision=machine.precision.name,
        seed=config.seed,
        epochs=config.epochs,
        selected_by=config.select.replace("_", " "),
        model=config.model.name,
        pretrained=not isinstance(config.model, MyCNNConfig) and config.model.pretrained,
        optimizer=config.optim.name,
        data={
            "root": str(index.root),
            "fingerprint": data.fingerprint,
            "split": index.origin,
            "images": index.counts(),
            "skipped": dict(data.skipped),
            "left_out": dict(index.left_out),
            "damaged": dict(data.damaged),
            "made": dict(examples.made),
            "seen_in_training": seen,
        },
    )
    run.write()
    log.info("data %s, classes %s", index.root, ", ".join(map(named, index.classes)))
    for split, counts in index.counts().items():
        each = ", ".join(f"{count} {named(name)}" for name, count in counts.items())
        log.info("  %-5s %6d images: %s", split, sum(counts.values()), each)
    _report_split(index.origin, seen)
    if data.is_synthetic:
        log.warning("note: %s", SYNTHETIC_NOTE)


def _report_split(split: str, seen: Mapping[str, Mapping[str, int]] | None) -> None:
    """Say how the data was split, and how many evaluated files show a photograph that is also in training."""
    if seen is None:
        log.info("split %s; which files show the same photograph is not known (maskcls-audit finds out)", split)
        return
    counts = [
        f"{count} {named(name)} of {part}"
        for part, by_class in seen.items()
        for name, count in by_class.items()
        if count
    ]
    if counts:
        log.warning(
            "split %s; files whose photograph is also in training: %s. data.split=grouped has none",
            split,
            ", ".join(counts),
        )
    else:
        log.info("split %s; no photograph is in two splits", split)


def _plot(config: TrainConfig, data: TrainingData, examples: Examples, rows: Sequence[EpochRow], run: Run) -> None:
    """Draw the learning curves, the number of images by split and class, and some training images."""
    from maskcls.reporting.plots import class_distribution, learning_curves

    directory = run.directory / "plots"
    directory.mkdir(exist_ok=True)
    title = f"{config.model.name}, {config.optim.name}"
    learning_curves([dataclasses.asdict(row) for row in rows], directory / "curves.png", title, run.record["best"])
    class_distribution(data.index.counts(), directory / "class_distribution.png", "images by split and class")
    plot_samples(examples, config.augment, data.classes, directory / "samples.png")


def _record_validation(run: Run, images: int) -> None:
    """Add to ``run.json`` the validation accuracy of the final and the best epoch with its interval."""
    run.record["validation"] = {}
    for name in ("final", "best"):
        row = run.record[name]
        correct = round(images * row["val_accuracy"])
        run.record["validation"][name] = {
            "epoch": row["epoch"],
            "accuracy": row["val_accuracy"],
            "balanced_accuracy": row["val_balanced_accuracy"],
            "accuracy_interval_95": proportion_interval(correct, total=images),
            "correct": correct,
            "images": images,
        }


def _summarize(run: Run, data: TrainingData) -> None:
    for name, metrics in run.record["validation"].items():
        log.info("%s epoch %d: validation accuracy %s", name, metrics["epoch"], percent_with_interval(metrics))
    if missed := run.record["best"]["val_never_predicted"]:
        log.warning("best epoch: %d of %d classes never predicted in validation", missed, len(data.classes))
    for name, metrics in run.record.get("test", {}).items():
        log.info("test, %s checkpoint (epoch %d): %s", name, metrics["epoch"], percent_with_interval(metrics))
    if data.is_synthetic:
        log.warning("note: %s", SYNTHETIC_NOTE)
    log.info("everything is in %s", run.directory)
