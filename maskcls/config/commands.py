"""The keys of each command, as in ``configs/COMMAND.yaml``, and which of their values contradict each other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from maskcls.config.augment import AugmentConfig, RobustAugmentConfig
from maskcls.config.data import AnyDataConfig, ClassMapping, Columns, SplitFolders, public_root
from maskcls.config.engine import convert
from maskcls.config.model import ModelConfig, MyCNNConfig, check_input_size
from maskcls.config.optim import OptimConfig, SGDConfig
from maskcls.config.schedule import OneCycleConfig, ScheduleConfig
from maskcls.config.types import (
    Choice,
    Count,
    Device,
    Fraction,
    FractionBelowOne,
    FractionBetween,
    ImageSize,
    Interval,
    NonNegative,
    OnBadImage,
    PrecisionChoice,
    Select,
    Threshold,
    WholeNumber,
)
from maskcls.config.use import DemoConfig, ExportConfig, FacesConfig, PredictConfig
from maskcls.errors import UserError

_PACKAGE = Path(__file__).resolve().parents[1]
# a wheel holds the YAML files in the package, a checkout beside it
CONFIG_DIR = _PACKAGE / "configs" if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent / "configs"


@dataclass(frozen=True)
class EvaluationConfig:
    """How a trained network is measured."""

    threshold: Threshold
    equalised_size: ImageSize | None


@dataclass(frozen=True)
class EarlyStoppingConfig:
    """When a training ends before its last epoch."""

    patience: Count | None
    min_delta: NonNegative


@dataclass(frozen=True)
class HealthConfig:
    """What is done about a training that learns nothing."""

    on_collapse: Literal["warn", "fail", "retry"]


@dataclass(frozen=True)
class CheckpointConfig:
    """When a checkpoint is written within an epoch."""

    every: Interval | None


@dataclass(frozen=True)
class TrainConfig:
    """The keys of maskcls-train."""

    model: ModelConfig
    optim: OptimConfig
    schedule: ScheduleConfig
    data: AnyDataConfig
    augment: AugmentConfig
    epochs: Count
    seed: WholeNumber
    device: Device
    threads: Count | None
    precision: PrecisionChoice
    compile: Choice
    deterministic: bool = field(default=False, kw_only=True)  # older runs do not have it
    label_smoothing: FractionBelowOne
    ema_decay: FractionBetween | None
    select: Select = field(default="accuracy", kw_only=True)  # nor this
    early_stopping: EarlyStoppingConfig
    evaluation: EvaluationConfig
    health: HealthConfig
    checkpoint: CheckpointConfig
    resume: Path | None
    init: Path | None = field(default=None, kw_only=True)  # nor this
    test: Literal["best", "last", "both", "none"]
    plots: bool

    @property
    def selected_figure(self) -> str:
        """The column of ``metrics.csv`` that runs are ranked by."""
        return "val_balanced_accuracy" if self.select == "balanced_accuracy" else "val_accuracy"


@dataclass(frozen=True)
class EvalDataConfig:
    """The images that a checkpoint is measured on."""

    # older evaluations have only root of these
    name: Literal["folder", "table", "facemask12k", "synthetic"] | None = field(default=None, kw_only=True)
    root: Path | None
    class_map: ClassMapping | None = field(default=None, kw_only=True)
    splits: SplitFolders | None = field(default=None, kw_only=True)
    table: Path | None = field(default=None, kw_only=True)
    columns: Columns | None = field(default=None, kw_only=True)
    batch_size: Count | None
    cache_dir: Path
    cache_gb: NonNegative | None
    workers: Count | None
    on_bad_image: OnBadImage

    def __post_init__(self) -> None:
        if self.name == "facemask12k" and self.root is None and self.table is None:
            object.__setattr__(self, "root", public_root())


@dataclass(frozen=True)
class EvalEvaluationConfig:
    """How a checkpoint is measured."""

    threshold: Fraction | None
    equalised_size: ImageSize | None


@dataclass(frozen=True)
class EvalConfig:
    """The keys of maskcls-eval."""

    ckpt: Path
    split: Literal["train", "val", "test", "all"] | None
    data: EvalDataConfig
    faces: FacesConfig
    evaluation: EvalEvaluationConfig
    device: Device
    threads: Count | None
    precision: PrecisionChoice | None
    plots: bool


@dataclass(frozen=True)
class AuditDataConfig:
    """The images that are audited."""

    root: Path | None
    class_map: ClassMapping | None
    splits: SplitFolders | None
    table: Path | None
    columns: Columns | None
    workers: Count | None


@dataclass(frozen=True)
class AuditConfig:
    """The keys of maskcls-audit."""

    data: AuditDataConfig
    faces: FacesConfig
    cache_dir: Path
    fail_on: tuple[Literal["leak", "conflict", "shortcut", "bad_file", "imbalance"], ...]
    seed: WholeNumber


@dataclass(frozen=True)
class CompareConfig:
    """The keys of maskcls-compare."""

    runs: tuple[Path, ...]
    split: Literal["train", "val", "test", "test_last", "all"] | None
    seed: WholeNumber


SCHEMAS: dict[str, type] = {
    "train": TrainConfig,
    "eval": EvalConfig,
    "predict": PredictConfig,
    "demo": DemoConfig,
    "audit": AuditConfig,
    "compare": CompareConfig,
    "export": ExportConfig,
}


def parse(command: str, values: Mapping[str, Any]) -> Any:
    """Check the configuration of a command and return it typed.

    Args:
        command: a key of `SCHEMAS`.
        values: plain nested dictionaries, interpolations resolved, as OmegaConf's ``to_container`` returns them.

    Returns:
        An instance of ``SCHEMAS[command]``.

    Raises:
        UserError: naming the first key that is unknown, missing, of a wrong type, out of range, or in contradiction.
    """
    for key in _missing(values):
        raise UserError(f"{key} is missing: give it as {key}=PATH")  # only paths are mandatory
    config = convert(values, SCHEMAS[command], "")
    if isinstance(config, TrainConfig):
        check_input_size(config.model, config.data.input_size)
    for contradiction in _contradictions(config):
        raise UserError(contradiction)
    return config


def _contradictions(config: Any) -> Iterator[str]:
    """What contradicts each other in the configuration of any command."""
    if isinstance(config, TrainConfig):
        yield from _contradictions_in_training(config)
        yield from _contradictions_in_data(config)
    if isinstance(config, EvalConfig):
        yield from _contradictions_in_evaluation(config.data)
    if isinstance(config, ExportConfig) and config.int8 and config.format != "onnx":
        yield f"int8=true contradicts format={config.format}: only ONNX files are written in int8"
    if isinstance(config, TrainConfig | EvalConfig | AuditConfig):
        yield from _contradictions_in_table(config.data)
    if isinstance(config, EvalConfig | PredictConfig | DemoConfig | AuditConfig):
        yield from _contradictions_in_faces(config.faces)


def _missing(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The keys that OmegaConf marks as mandatory and not given."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _missing(value, f"{prefix}{name}.")
        elif value == "???":
            yield f"{prefix}{name}"


def _contradictions_in_training(config: TrainConfig) -> Iterator[str]:
    is_pretrained = not isinstance(config.model, MyCNNConfig) and config.model.pretrained
    if is_pretrained and config.data.normalization != "imagenet":
        yield (
            f"model.pretrained=true contradicts data.normalization={config.data.normalization}: "
            "these weights expect data.normalization=imagenet"
        )
    if is_pretrained and config.init is not None:
        yield f"init={config.init} contradicts model.pretrained=true: a training starts from one of them"
    if isinstance(config.optim, SGDConfig) and config.optim.nesterov and config.optim.momentum == 0:
        yield "optim.nesterov=true contradicts optim.momentum=0: Nesterov's method needs a momentum above 0"
    if not isinstance(config.schedule, OneCycleConfig) and config.schedule.warmup_epochs >= config.epochs:
        yield (
            f"schedule.warmup_epochs={config.schedule.warmup_epochs:g} contradicts epochs={config.epochs}: "
            "the warm-up must end before the training does"
        )


def _contradictions_in_data(config: TrainConfig) -> Iterator[str]:
    data = config.data
    if data.positive_class is None and config.evaluation.threshold not in ("0.5", ".5"):
        yield (
            f"evaluation.threshold={config.evaluation.threshold} contradicts data.positive_class=null: "
            "the threshold applies to the probability of the positive class, which data.positive_class=NAME names"
        )
    if isinstance(config.augment, RobustAugmentConfig):
        for key in ("masks", "obstacles"):
            if (share := getattr(config.augment, key)) + config.augment.exchanged >= 1:
                yield (
                    f"augment.{key}={share:g} and augment.exchanged={config.augment.exchanged:g} leave no image as it "
                    "is: their sum must be below 1"
                )
    if data.val_fraction + data.test_fraction >= 1:
        yield (
            f"data.val_fraction={data.val_fraction:g} and data.test_fraction={data.test_fraction:g} "
            "leave nothing to train on: their sum must be below 1"
        )


def _contradictions_in_faces(faces: FacesConfig) -> Iterator[str]:
    if faces.mode == "none":
        for name in ("model", "min_size"):
            if (value := getattr(faces, name, None)) is not None:
                yield f"faces.{name}={value} contradicts faces.mode=none: faces.mode=auto or yunet looks for faces"


def _contradictions_in_table(data: AnyDataConfig | EvalDataConfig | AuditDataConfig) -> Iterator[str]:
    table = getattr(data, "table", None)
    if table is not None and data.splits is not None:
        yield f"data.splits contradicts data.table={table}: a column named split says which image is in which split"
    if table is None and getattr(data, "columns", None) is not None:
        yield "data.columns needs data.table=FILE: these are the columns of a table"


def _contradictions_in_evaluation(data: EvalDataConfig) -> Iterator[str]:
    if data.root is None and data.table is None:
        for key in ("class_map", "splits", "columns"):
            if getattr(data, key) is not None:
                yield f"data.{key} needs data.root=FOLDER: the images of the training are read as in training"
    if data.name == "table" and data.table is None:
        yield "data.table is missing: give it as data.table=PATH"
    if data.name in ("folder", "facemask12k") and data.table is not None:
        yield f"data.table={data.table} contradicts data={data.name}: data=table takes a table"
    if data.name == "folder" and data.root is None:
        yield "data.root is missing: give it as data.root=PATH"
    if data.name == "synthetic" and (data.root or data.table):
        yield "data=synthetic stands for the drawn faces of the training: it takes neither data.root nor data.table"
