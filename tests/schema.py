"""Configurations that parse, with values that differ from the shipped ones; and every key of the schema."""

import copy
import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, Union

import pytest

from maskcls.config import SCHEMAS, parse
from maskcls.errors import UserError

MODEL: dict[str, dict[str, Any]] = {
    "resnet18": {"name": "resnet18", "default_input_size": 64, "pretrained": False},
    "vgg16": {"name": "vgg16", "default_input_size": 64, "pretrained": False, "dropout": 0.25, "batch_norm": True},
    "mobilenet_v3_small": {
        "name": "mobilenet_v3_small",
        "default_input_size": 64,
        "pretrained": False,
        "dropout": 0.25,
    },
    "efficientnet_b0": {"name": "efficientnet_b0", "default_input_size": 64, "pretrained": False, "dropout": 0.25},
    "mycnn": {"name": "mycnn", "default_input_size": 16, "dropout": 0.25},
}
SGD: dict[str, Any] = {
    "name": "sgd", "lr": 0.5, "momentum": 0.8, "nesterov": True,
    "weight_decay": 0.1, "decay_norm_and_bias": False, "clip_norm": 2.0,
}  # fmt: skip
ADAM: dict[str, Any] = {
    "name": "adam", "lr": 0.5, "beta1": 0.8, "beta2": 0.7, "eps": 0.1,
    "weight_decay": 0.1, "decay_norm_and_bias": False, "clip_norm": 2.0,
}  # fmt: skip
OPTIM: dict[str, dict[str, Any]] = {"sgd": SGD, "adam": ADAM, "adamw": {**ADAM, "name": "adamw"}}
SCHEDULE: dict[str, dict[str, Any]] = {
    "constant": {"name": "constant", "warmup_epochs": 0.5},
    "onecycle": {"name": "onecycle", "warmup_fraction": 0.2, "start_factor": 0.1, "final_factor": 0.01},
    "cosine": {"name": "cosine", "warmup_epochs": 0.5, "final_factor": 0.01},
}
COMMON_DATA: dict[str, Any] = {
    "root": "/data/faces", "positive_class": "Mask", "batch_size": 16, "eval_batch_size": 64, "input_size": 64,
    "normalization": "dataset", "val_fraction": 0.2, "test_fraction": 0.3, "split_seed": 4,
    "split": "grouped", "groups": "/data/groups.csv", "sampling": "groups",
    "cache_dir": "/cache", "cache_gb": 1.5, "workers": 2, "resident": True,
    "on_bad_image": "skip", "class_map": {"with mask": "Mask", "other": None}, "splits": {"train": "a", "val": "b"},
    "resize": "pad",
}  # fmt: skip
TABLE: dict[str, Any] = {"table": "/data/labels.csv", "columns": {"path": "image id"}}
DATA: dict[str, dict[str, Any]] = {
    "folder": {**COMMON_DATA, "name": "folder"},
    "table": {**COMMON_DATA, **TABLE, "splits": None, "name": "table"},
    "facemask12k": {**COMMON_DATA, "name": "facemask12k", "download": True},
    "synthetic": {
        **COMMON_DATA, "name": "synthetic", "seed": 3, "train_images": 40, "val_images": 20, "test_images": 10,
    },
}  # fmt: skip
AUGMENT: dict[str, dict[str, Any]] = {
    "none": {"name": "none"},
    "flip": {"name": "flip", "flip_probability": 0.3},
    "light": {
        "name": "light", "flip_probability": 0.3, "shift": 0.1, "rotation_degrees": 5.0, "zoom": 0.2,
        "brightness": 0.1, "contrast": 0.3, "saturation": 0.4,
    },
    "robust": {
        "name": "robust", "masks": 0.4, "obstacles": 0.3, "exchanged": 0.2, "detector": "/models/yunet.onnx",
        "distance": 0.35, "smallest": 0.25, "flip_probability": 0.3, "rotation_degrees": 20.0, "stretch": 0.2,
        "zoom": 0.1, "shift": 0.05, "patches": 0.1, "brightness": 0.2, "contrast": 0.2, "saturation": 0.3,
        "gamma": 0.4, "white_balance": 0.1, "grey": 0.15, "blur": 0.2, "low_resolution": 0.6,
        "smallest_side": 16, "noise": 0.3, "compression": 0.25,
    },
}  # fmt: skip
GROUPS: dict[str, dict[str, dict[str, Any]]] = {
    "model": MODEL, "optim": OPTIM, "schedule": SCHEDULE, "data": DATA, "augment": AUGMENT,
}  # fmt: skip
COMMANDS: dict[str, dict[str, Any]] = {
    "train": {
        "model": MODEL["resnet18"], "optim": SGD, "schedule": SCHEDULE["constant"], "data": DATA["folder"],
        "augment": AUGMENT["none"], "epochs": 7, "seed": 5, "device": "cpu", "threads": 3, "precision": "float32",
        "compile": False, "deterministic": True, "label_smoothing": 0.1, "ema_decay": 0.9,
        "early_stopping": {"patience": 3, "min_delta": 0.01}, "test": "both", "plots": False,
        "evaluation": {"threshold": "0.5", "equalised_size": 16}, "health": {"on_collapse": "retry"},
        "checkpoint": {"every": "90steps"}, "resume": "/runs/a", "init": "/runs/b", "select": "balanced_accuracy",
    },
    "eval": {
        "ckpt": "/runs/best.pt", "split": "val", "device": "cpu", "threads": 3, "precision": "float32", "plots": False,
        "data": {"name": None, "root": "/data/faces", "batch_size": 16, "cache_dir": "/cache", "cache_gb": 1.5,
                 "workers": 2, "on_bad_image": "skip", "class_map": {"a": None}, "splits": None, **TABLE},
        "evaluation": {"threshold": 0.25, "equalised_size": 16},
        "faces": {"mode": "auto", "model": "/models/yunet.onnx"},
    },
    "predict": {
        "ckpt": "/runs/best.pt", "source": "photos/*.jpg", "batch_size": 16, "device": "cpu", "threads": 3,
        "precision": "float32", "cache_dir": "/cache", "every": 2, "max_fps": 5.0, "format": "jsonl", "save": True,
        "report": True, "explain": True, "show": False,
        "faces": {"mode": "yunet", "model": "/models/yunet.onnx", "min_size": 30},
    },
    "demo": {
        "ckpt": "/runs/best.pt", "host": "0.0.0.0", "port": 8000, "device": "cpu", "threads": 3,
        "precision": "float32", "cache_dir": "/cache",
        "faces": {"mode": "yunet", "model": "/models/yunet.onnx", "min_size": 30},
    },
    "audit": {
        "data": {"root": "/data/faces", "workers": 2, "class_map": {"a": "A"}, "splits": None, **TABLE},
        "seed": 5, "faces": {"mode": "yunet", "model": "/models/yunet.onnx"}, "cache_dir": "/cache",
        "fail_on": ["leak", "shortcut"],
    },
    "compare": {"runs": ["/runs/a", "/runs/b"], "split": "val", "seed": 5},
    "export": {"ckpt": "/runs/best.pt", "format": "onnx", "int8": False, "images": 9, "threads": 3},
}  # fmt: skip
CHOICES = [(group, name) for group, options in GROUPS.items() for name in options]


def values(command: str = "train", *options: str, **changes: Any) -> dict[str, Any]:
    """A configuration that parses, with options such as ``optim=adam``; changes are keyed ``group__key``."""
    result = copy.deepcopy(COMMANDS[command])
    for option in options:
        group, _, name = option.partition("=")
        result[group] = copy.deepcopy(GROUPS[group][name])
    for key, value in changes.items():
        *path, last = key.split("__")
        inner = result
        for name in path:
            inner = inner[name]
        inner[last] = value
    return result


def refusal(command: str, configuration: dict[str, Any]) -> str:
    """The message that refuses a configuration."""
    with pytest.raises(UserError) as caught:
        parse(command, configuration)
    return str(caught.value)


class Leaf(NamedTuple):
    """A key of the schema that is not a group.

    Attributes:
        option: such as ``optim=adam``; empty for a key outside of the groups that have options.
        key: full name, with ``__`` for the dots.
        owner: the dataclass that has the key.
    """

    command: str
    option: str
    key: str
    owner: Any
    name: str
    annotation: Any

    @property
    def dotted(self) -> str:
        """The key as people write it."""
        return self.key.replace("__", ".")

    @property
    def members(self) -> tuple[Any, ...]:
        """The members of the annotation, if it is a union, or the annotation alone."""
        return members(self.annotation)

    @property
    def kind(self) -> Any:
        """The type of the first member, without its limits."""
        first = self.members[0]
        return typing.get_args(first)[0] if typing.get_origin(first) is Annotated else first

    @property
    def limits(self) -> Any:
        """The range or the pattern of the first member that has one."""
        annotated = [member for member in self.members if typing.get_origin(member) is Annotated]
        return typing.get_args(annotated[0])[1] if annotated else None

    @property
    def declared_in(self) -> str:
        """``Class.key``, of the class that declares the key and not of one that inherits it."""
        owner = next(cls for cls in reversed(self.owner.__mro__) if self.name in getattr(cls, "__annotations__", {}))
        return f"{owner.__name__}.{self.name}"


def members(annotation: Any) -> tuple[Any, ...]:
    """The members of an annotation, if it is a union, or the annotation alone."""
    is_union = typing.get_origin(annotation) in (Union, types.UnionType)
    return typing.get_args(annotation) if is_union else (annotation,)


def leaves() -> Iterator[Leaf]:
    """Every key of every command and option."""
    for command, schema in SCHEMAS.items():
        yield from _walk(command, "", "", schema)


def _walk(command: str, option: str, prefix: str, owner: Any) -> Iterator[Leaf]:
    for name, annotation in typing.get_type_hints(owner, include_extras=True).items():
        key = prefix + name
        groups = [member for member in members(annotation) if dataclasses.is_dataclass(member)]
        for group in groups:
            for choice in names_of(group) if len(groups) > 1 else [None]:
                yield from _walk(command, f"{name}={choice}" if choice else option, f"{key}__", group)
        if not groups and typing.get_origin(annotation) is not tuple:
            yield Leaf(command, option, key, owner, name, annotation)


def names_of(group: Any) -> tuple[str, ...]:
    """The names of a group's option, such as adam and adamw."""
    return typing.get_args(typing.get_type_hints(group)["name"])


# a key that several options inherit is tested in one of them
LEAVES = list({leaf.declared_in: leaf for leaf in leaves()}.values())
