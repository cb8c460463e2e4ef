"""The typed schema behind every YAML file of ``configs/``: types, ranges, allowed names, and what contradicts what.

`parse` turns a resolved configuration into frozen dataclasses; whatever is wrong with it ends in a `UserError` of one
line. The values and their defaults stand in the YAML files, not here. Nothing here imports torch or Hydra.
"""

import dataclasses
import difflib
import math
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from maskcls.errors import UserError


@dataclass(frozen=True)
class Range:
    """Bounds of a number, inclusive unless said otherwise."""

    low: float
    high: float = math.inf
    above_low: bool = False
    below_high: bool = False

    def __contains__(self, value: float) -> bool:
        return (value > self.low if self.above_low else value >= self.low) and (
            value < self.high if self.below_high else value <= self.high
        )

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.above_low else f"at least {self.low:g}"
        if self.high == math.inf:
            return low
        return f"{low} and {'below' if self.below_high else 'at most'} {self.high:g}"


Count = Annotated[int, Range(1)]
WholeNumber = Annotated[int, Range(0)]
Positive = Annotated[float, Range(0, above_low=True)]
NonNegative = Annotated[float, Range(0)]
Fraction = Annotated[float, Range(0, 1)]
FractionBelowOne = Annotated[float, Range(0, 1, below_high=True)]
BatchSize = Count | Literal["auto"]


@dataclass(frozen=True)
class Text:
    """What a text must look like: a regular expression, and how it is said to people."""

    pattern: str
    description: str

    def __contains__(self, value: str) -> bool:
        return re.fullmatch(self.pattern, value) is not None

    def __str__(self) -> str:
        return self.description


_SHARE = r"(0(\.\d*)?|1(\.0*)?|0?\.\d+)"
Device = Annotated[str, Text(r"auto|cpu|cuda(:[0-9]+)?|mps", "auto, cpu, cuda, cuda:N or mps")]
Threshold = Annotated[
    str,
    Text(
        rf"{_SHARE}|youden|(recall|fpr)@{_SHARE}",
        "a number from 0 to 1, youden, recall@R or fpr@F, such as recall@0.99",
    ),
]
Interval = Annotated[
    str,
    Text(r"(?!0*(\.0*)?min)[0-9]+(\.[0-9]+)?min|[1-9][0-9]*steps", "a time or a count, such as 10min or 500steps"),
]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Choice = Literal["auto", True, False]


@dataclass(frozen=True)
class ResNet18Config:
    name: Literal["resnet18"]
    default_input_size: Annotated[int, Range(32)]
    pretrained: bool


@dataclass(frozen=True)
class VGG16Config:
    name: Literal["vgg16"]
    default_input_size: Annotated[int, Range(32)]
    pretrained: bool
    dropout: FractionBelowOne


@dataclass(frozen=True)
class MyCNNConfig:
    name: Literal["mycnn"]
    default_input_size: Annotated[int, Range(8)]
    dropout: FractionBelowOne


ModelConfig = ResNet18Config | VGG16Config | MyCNNConfig


@dataclass(frozen=True)
class SGDConfig:
    name: Literal["sgd"]
    lr: Positive
    momentum: FractionBelowOne
    nesterov: bool
    weight_decay: NonNegative
    decay_norm_and_bias: bool
    clip_norm: Positive | None


@dataclass(frozen=True)
class AdamConfig:
    name: Literal["adam", "adamw"]
    lr: Positive
    beta1: FractionBelowOne
    beta2: FractionBelowOne
    eps: Positive
    weight_decay: NonNegative
    decay_norm_and_bias: bool
    clip_norm: Positive | None


OptimConfig = SGDConfig | AdamConfig


@dataclass(frozen=True)
class ConstantConfig:
    name: Literal["constant"]
    warmup_epochs: NonNegative


@dataclass(frozen=True)
class OneCycleConfig:
    name: Literal["onecycle"]
    warmup_fraction: Annotated[float, Range(0, 1, above_low=True, below_high=True)]
    start_factor: Annotated[float, Range(0, 1, above_low=True)]
    final_factor: Annotated[float, Range(0, 1, above_low=True)]


@dataclass(frozen=True)
class CosineConfig:
    name: Literal["cosine"]
    warmup_epochs: NonNegative
    final_factor: Fraction


ScheduleConfig = ConstantConfig | OneCycleConfig | CosineConfig


@dataclass(frozen=True)
class DataConfig:
    """What every data set has in common."""

    root: Path
    positive_class: str | None
    batch_size: BatchSize
    eval_batch_size: Count
    input_size: Annotated[int, Range(8)]
    normalization: Literal["study", "dataset", "imagenet"]
    val_fraction: Annotated[float, Range(0, 1, above_low=True, below_high=True)]
    test_fraction: FractionBelowOne
    split_seed: WholeNumber
    split: Literal["as_shipped", "grouped"]
    groups: Path | None
    sampling: Literal["auto", "files", "groups"]
    cache_dir: Path
    cache_gb: NonNegative | None
    workers: Count | None
    on_bad_image: Literal["error", "skip"]
    resident: Choice


@dataclass(frozen=True)
class FolderConfig(DataConfig):
    name: Literal["folder"]


@dataclass(frozen=True)
class FaceMask12KConfig(DataConfig):
    name: Literal["facemask12k"]
    download: bool


@dataclass(frozen=True)
class SyntheticConfig(DataConfig):
    name: Literal["synthetic"]
    seed: WholeNumber
    train_images: Annotated[int, Range(4)]
    val_images: Annotated[int, Range(2)]
    test_images: Annotated[int, Range(2)]


AnyDataConfig = FolderConfig | FaceMask12KConfig | SyntheticConfig


@dataclass(frozen=True)
class NoAugmentConfig:
    name: Literal["none"]


@dataclass(frozen=True)
class FlipAugmentConfig:
    name: Literal["flip"]
    flip_probability: Fraction


@dataclass(frozen=True)
class LightAugmentConfig:
    name: Literal["light"]
    flip_probability: Fraction
    shift: Annotated[float, Range(0, 0.5)]
    rotation_degrees: Annotated[float, Range(0, 180)]
    zoom: FractionBelowOne
    brightness: FractionBelowOne
    contrast: FractionBelowOne
    saturation: FractionBelowOne


AugmentConfig = NoAugmentConfig | FlipAugmentConfig | LightAugmentConfig


@dataclass(frozen=True)
class EvaluationConfig:
    threshold: Threshold
    equalised_size: Annotated[int, Range(8)] | None


@dataclass(frozen=True)
class EarlyStoppingConfig:
    patience: Count | None
    min_delta: NonNegative


@dataclass(frozen=True)
class HealthConfig:
    on_collapse: Literal["warn", "fail", "retry"]


@dataclass(frozen=True)
class CheckpointConfig:
    every: Interval | None


@dataclass(frozen=True)
class TrainConfig:
    model: ModelConfig
    optim: OptimConfig
    schedule: ScheduleConfig
    data: AnyDataConfig
    augment: AugmentConfig
    epochs: Count
    seed: WholeNumber
    device: Device
    threads: Count | None
    precision: Precision
    compile: Choice
    label_smoothing: FractionBelowOne
    ema_decay: Annotated[float, Range(0, 1, above_low=True, below_high=True)] | None
    early_stopping: EarlyStoppingConfig
    evaluation: EvaluationConfig
    health: HealthConfig
    checkpoint: CheckpointConfig
    resume: Path | None
    test: Literal["best", "last", "both", "none"]
    plots: bool


@dataclass(frozen=True)
class EvalDataConfig:
    root: Path | None
    batch_size: Count | None
    cache_dir: Path
    cache_gb: NonNegative | None
    workers: Count | None
    on_bad_image: Literal["error", "skip"]


@dataclass(frozen=True)
class FacesConfig:
    mode: Literal["none", "auto", "yunet"]
    model: Path | None


@dataclass(frozen=True)
class EvalEvaluationConfig:
    threshold: Fraction | None
    equalised_size: Annotated[int, Range(8)] | None


@dataclass(frozen=True)
class EvalConfig:
    ckpt: Path
    split: Literal["train", "val", "test", "all"] | None
    data: EvalDataConfig
    faces: FacesConfig
    evaluation: EvalEvaluationConfig
    device: Device
    threads: Count | None
    precision: Precision | None
    plots: bool


@dataclass(frozen=True)
class PredictConfig:
    ckpt: Path
    source: str
    faces: FacesConfig
    cache_dir: Path
    batch_size: Count | None
    device: Device
    threads: Count | None
    precision: Precision | None


@dataclass(frozen=True)
class AuditDataConfig:
    root: Path
    workers: Count | None


@dataclass(frozen=True)
class AuditConfig:
    data: AuditDataConfig
    fail_on: tuple[Literal["leak", "conflict", "shortcut", "bad_file"], ...]
    seed: WholeNumber


@dataclass(frozen=True)
class CompareConfig:
    runs: tuple[Path, ...]
    split: Literal["train", "val", "test", "test_last", "all"] | None
    seed: WholeNumber


SCHEMAS: dict[str, type] = {
    "train": TrainConfig,
    "eval": EvalConfig,
    "predict": PredictConfig,
    "audit": AuditConfig,
    "compare": CompareConfig,
}


def parse(command: str, values: Mapping[str, Any]) -> Any:
    """Check a resolved configuration and return it typed.

    Args:
        command: a key of `SCHEMAS`.
        values: plain nested dictionaries, interpolations resolved, as OmegaConf's ``to_container`` returns them.

    Returns:
        An instance of ``SCHEMAS[command]``.

    Raises:
        UserError: naming the first key that is unknown, missing, of a wrong type, out of range, or in contradiction.
    """
    config = _convert(values, SCHEMAS[command], "")
    if isinstance(config, TrainConfig):
        _check_contradictions(config)
    if isinstance(config, EvalConfig | PredictConfig):
        _check_faces(config.faces)
    return config


def parse_stored_data(values: Any) -> AnyDataConfig:
    """The data configuration that a checkpoint holds.

    Raises:
        UserError: as `parse` does.
    """
    config: AnyDataConfig = _convert(values, AnyDataConfig, "data")
    return config


def parse_stored_model(values: Any, input_size: int) -> ModelConfig:
    """The model configuration that a checkpoint holds.

    Raises:
        UserError: as `parse` does.
    """
    config: ModelConfig = _convert(values, ModelConfig, "model")
    _check_input_size(config, input_size)
    return config


def as_dictionary(config: Any) -> dict[str, Any]:
    """A configuration as `parse` takes it: plain nested dictionaries, paths as text."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return as_dictionary(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def nearest(name: str, names: Iterable[str]) -> str:
    """``; did you mean 'X'?`` for the most similar of ``names``, or nothing."""
    candidates = list(names)
    matches = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
    # 'lr' for 'optim.lr': a key typed without its group
    matches = matches or [c for c in candidates if c.rpartition(".")[2] == name.rpartition(".")[2]]
    return f"; did you mean '{matches[0]}'?" if matches else ""


def _convert(value: Any, annotation: Any, key: str) -> Any:
    """Return ``value`` as ``annotation`` asks, or raise a UserError that names ``key``."""
    options = _union_members(annotation)
    if value == "???":
        raise UserError(f"{key} is missing: give it as {key}=PATH")  # only paths are mandatory
    if value is None and type(None) in options:
        return None
    options = [option for option in options if option is not type(None)]
    if typing.get_origin(options[0]) is tuple:
        element = typing.get_args(options[0])[0]
        return tuple(_convert(item, element, key) for item in (value if isinstance(value, list) else [value]))
    if all(dataclasses.is_dataclass(option) for option in options):
        return _convert_group(value, options, key)
    others = [f" or {word}" for option in options[1:] for word in typing.get_args(option)]
    if f" or {value}" in others:
        return value
    if type(None) in _union_members(annotation):
        others.append(" or null")
    return _convert_scalar(value, options[0], key, "".join(others))


def _union_members(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return list(typing.get_args(annotation))
    return [annotation]


def _convert_group(value: Any, options: list[Any], key: str) -> Any:
    if not isinstance(value, Mapping):
        raise UserError(f"{key}={_shown(value)}: '{key}' is a group of keys, not a value")
    schema = options[0]
    if len(options) > 1:
        by_name = {name: option for option in options for name in _allowed_names(option)}
        name = value.get("name")
        if not isinstance(name, str) or name not in by_name:
            hint = nearest(str(name), by_name)
            raise UserError(f"{key}.name={_shown(name)}: expected one of {', '.join(by_name)}{hint}")
        schema = by_name[name]
    hints = typing.get_type_hints(schema, include_extras=True)
    prefix = f"{key}." if key else ""
    for name in value:
        if name not in hints:
            where = f" of {key}={value['name']}" if len(options) > 1 else ""
            raise UserError(
                f"{prefix}{name} is not a key{where}: allowed are {', '.join(hints)}{nearest(str(name), hints)}"
            )
    for name in hints:
        if name not in value:
            raise UserError(f"{prefix}{name} is missing from the configuration")
    return schema(**{name: _convert(value[name], hint, prefix + name) for name, hint in hints.items()})


def _allowed_names(schema: Any) -> tuple[str, ...]:
    names: tuple[str, ...] = typing.get_args(typing.get_type_hints(schema)["name"])
    return names


def _convert_scalar(value: Any, annotation: Any, key: str, others: str) -> Any:
    """Convert to a type that is no group; ``others`` says what is allowed besides."""

    def refuse(expected: str, hint: str = "") -> UserError:
        return UserError(f"{key}={_shown(value)}: expected {expected}{others}{hint}")

    if typing.get_origin(annotation) is Literal:
        choices = typing.get_args(annotation)
        if not any(value == choice and type(value) is type(choice) for choice in choices):  # 1 is not true
            names = [_shown(choice) for choice in choices]
            hint = nearest(str(value), [name for name in names if name != value])
            raise refuse(f"one of {', '.join(names)}" if len(names) > 1 else names[0], hint)
        return value
    kind, limits = annotation, None
    if typing.get_origin(annotation) is Annotated:
        kind, limits = typing.get_args(annotation)
    if kind is bool:
        if not isinstance(value, bool):
            raise refuse("true or false")
        return value
    if kind in (str, Path):
        if isinstance(limits, Text) and isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)  # evaluation.threshold=0.5
        if not isinstance(value, str):
            raise refuse(str(limits) if limits else "text (quote it where it looks like a number)")
        if limits is not None and value not in limits:
            raise refuse(str(limits))
        if not value:
            raise refuse("a path" if kind is Path else "text")
        # absolute: a configuration is read back from other folders, by maskcls-eval for one
        return Path(os.path.expanduser(value)).absolute() if kind is Path else value
    number = _as_number(value, kind)
    if number is None:
        raise refuse(f"{'a whole number' if kind is int else 'a number'}{f', {limits}' if limits else ''}")
    if limits is not None and number not in limits:
        raise refuse(f"{'a whole number' if kind is int else 'a number'}, {limits}")
    return number


def _as_number(value: Any, kind: type) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**63:  # nor is NaN
        return None
    if kind is int:
        return int(value) if value == int(value) else None  # epochs=1e2 arrives as 100.0
    return float(value)


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _check_contradictions(config: TrainConfig) -> None:
    """Raise a UserError for values that are fine alone and make no sense together."""
    _check_input_size(config.model, config.data.input_size)
    if getattr(config.model, "pretrained", False) and config.data.normalization != "imagenet":
        raise UserError(
            f"model.pretrained=true contradicts data.normalization={config.data.normalization}: "
            "these weights expect data.normalization=imagenet"
        )
    if isinstance(config.optim, SGDConfig) and config.optim.nesterov and config.optim.momentum == 0:
        raise UserError("optim.nesterov=true contradicts optim.momentum=0: Nesterov's method needs a momentum above 0")
    if not isinstance(config.schedule, OneCycleConfig) and config.schedule.warmup_epochs >= config.epochs:
        raise UserError(
            f"schedule.warmup_epochs={config.schedule.warmup_epochs:g} contradicts epochs={config.epochs}: "
            "the warm-up must end before the training does"
        )
    if config.data.positive_class is None and config.evaluation.threshold not in ("0.5", ".5"):
        raise UserError(
            f"evaluation.threshold={config.evaluation.threshold} contradicts data.positive_class=null: "
            "it is the probability of the positive class, which data.positive_class=NAME names"
        )
    if config.data.val_fraction + config.data.test_fraction >= 1:
        raise UserError(
            f"data.val_fraction={config.data.val_fraction:g} and data.test_fraction={config.data.test_fraction:g} "
            "leave nothing to train on: their sum must be below 1"
        )


def _check_faces(config: FacesConfig) -> None:
    if config.mode == "none" and config.model is not None:
        raise UserError(
            f"faces.model={config.model} contradicts faces.mode=none: faces.mode=auto or yunet looks for faces"
        )


def _check_input_size(model: ModelConfig, size: int) -> None:
    if isinstance(model, MyCNNConfig) and size % 8:
        raise UserError(
            f"data.input_size={size} contradicts model=mycnn: three 2x2 poolings need a multiple of 8, "
            f"such as {max(8, round(size / 8) * 8)}"
        )
    if not isinstance(model, MyCNNConfig) and size < 32:
        raise UserError(f"data.input_size={size} contradicts model={model.name}: it needs at least 32")
