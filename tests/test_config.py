"""The schema: what each key accepts, and the one line that refuses the rest."""

import copy
import dataclasses
import math
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union

import pytest

from maskcls import config as schema
from maskcls.config import Range, as_dictionary, nearest, parse
from maskcls.errors import UserError

# every option of every group, with values that differ from the shipped ones
MODEL = {
    "resnet18": {"name": "resnet18", "default_input_size": 64, "pretrained": False},
    "vgg16": {"name": "vgg16", "default_input_size": 64, "pretrained": False, "dropout": 0.25},
    "mycnn": {"name": "mycnn", "default_input_size": 16, "dropout": 0.25},
}
SGD = {
    "name": "sgd", "lr": 0.5, "momentum": 0.8, "nesterov": True,
    "weight_decay": 0.1, "decay_norm_and_bias": False, "clip_norm": 2.0,
}  # fmt: skip
ADAM = {
    "name": "adam", "lr": 0.5, "beta1": 0.8, "beta2": 0.7, "eps": 0.1,
    "weight_decay": 0.1, "decay_norm_and_bias": False, "clip_norm": 2.0,
}  # fmt: skip
OPTIM = {"sgd": SGD, "adam": ADAM, "adamw": {**ADAM, "name": "adamw"}}
SCHEDULE = {
    "constant": {"name": "constant", "warmup_epochs": 0.5},
    "onecycle": {"name": "onecycle", "warmup_fraction": 0.2, "start_factor": 0.1, "final_factor": 0.01},
    "cosine": {"name": "cosine", "warmup_epochs": 0.5, "final_factor": 0.01},
}
COMMON_DATA = {
    "root": "/data/faces", "positive_class": "Mask", "batch_size": 16, "eval_batch_size": 64, "input_size": 64,
    "normalization": "dataset", "val_fraction": 0.2, "test_fraction": 0.3, "split_seed": 4,
    "split": "grouped", "groups": "/data/groups.csv", "sampling": "groups",
    "cache_dir": "/cache", "cache_gb": 1.5, "workers": 2, "resident": True,
    "on_bad_image": "skip",
}  # fmt: skip
DATA = {
    "folder": {**COMMON_DATA, "name": "folder"},
    "facemask12k": {**COMMON_DATA, "name": "facemask12k", "download": True},
    "synthetic": {
        **COMMON_DATA, "name": "synthetic", "seed": 3, "train_images": 40, "val_images": 20, "test_images": 10,
    },
}  # fmt: skip
AUGMENT = {
    "none": {"name": "none"},
    "flip": {"name": "flip", "flip_probability": 0.3},
    "light": {
        "name": "light", "flip_probability": 0.3, "shift": 0.1, "rotation_degrees": 5.0, "zoom": 0.2,
        "brightness": 0.1, "contrast": 0.3, "saturation": 0.4,
    },
}  # fmt: skip
GROUPS: dict[str, dict[str, dict[str, Any]]] = {
    "model": MODEL, "optim": OPTIM, "schedule": SCHEDULE, "data": DATA, "augment": AUGMENT,
}  # fmt: skip
COMMANDS: dict[str, dict[str, Any]] = {
    "train": {
        "model": MODEL["resnet18"], "optim": SGD, "schedule": SCHEDULE["constant"], "data": DATA["folder"],
        "augment": AUGMENT["none"], "epochs": 7, "seed": 5, "device": "cpu", "threads": 3, "precision": "float32",
        "compile": False, "label_smoothing": 0.1, "ema_decay": 0.9,
        "early_stopping": {"patience": 3, "min_delta": 0.01}, "test": "both", "plots": False,
        "evaluation": {"threshold": "0.5", "equalised_size": 16}, "health": {"on_collapse": "retry"},
        "checkpoint": {"every": "90steps"}, "resume": "/runs/a",
    },
    "eval": {
        "ckpt": "/runs/best.pt", "split": "val", "device": "cpu", "threads": 3, "precision": "float32", "plots": False,
        "data": {"root": "/data/faces", "batch_size": 16, "cache_dir": "/cache", "cache_gb": 1.5, "workers": 2,
                 "on_bad_image": "skip"},
        "evaluation": {"threshold": 0.25, "equalised_size": 16},
        "faces": {"mode": "auto", "model": "/models/yunet.onnx"},
    },
    "predict": {
        "ckpt": "/runs/best.pt", "source": "photos/*.jpg", "batch_size": 16, "device": "cpu", "threads": 3,
        "precision": "float32", "cache_dir": "/cache", "faces": {"mode": "yunet", "model": "/models/yunet.onnx"},
    },
    "audit": {
        "data": {"root": "/data/faces", "workers": 2}, "seed": 5,
        "fail_on": ["leak", "shortcut"],
    },
    "compare": {"runs": ["/runs/a", "/runs/b"], "split": "val", "seed": 5},
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
    with pytest.raises(UserError) as caught:
        parse(command, configuration)
    return str(caught.value)


class Leaf(NamedTuple):
    """A key of the schema that is no group."""

    command: str
    option: str  # such as optim=adam, or nothing for a key outside of the groups with options
    key: str  # from the top, with '__' for '.'
    owner: type
    name: str
    annotation: Any


def leaves() -> Iterator[Leaf]:
    """Every key of every command and option, by walking the schema."""

    def walk(command: str, option: str, prefix: str, owner: type) -> Iterator[Leaf]:
        for name, annotation in typing.get_type_hints(owner, include_extras=True).items():
            key = prefix + name
            groups = [member for member in members(annotation) if dataclasses.is_dataclass(member)]
            for group in groups:
                names = typing.get_args(typing.get_type_hints(group)["name"]) if len(groups) > 1 else [None]
                for choice in names:
                    yield from walk(command, f"{name}={choice}" if choice else option, f"{key}__", group)
            if not groups and typing.get_origin(annotation) is not tuple:
                yield Leaf(command, option, key, owner, name, annotation)

    for command, top in schema.SCHEMAS.items():
        yield from walk(command, "", "", top)


def members(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def text_of(annotation: Any) -> str | None:
    """How a text that must look like something is described."""
    for member in members(annotation):
        if typing.get_origin(member) is Annotated and isinstance(typing.get_args(member)[1], schema.Text):
            return str(typing.get_args(member)[1])
    return None


def range_of(annotation: Any) -> Range | None:
    for member in members(annotation):
        if typing.get_origin(member) is Annotated and isinstance(typing.get_args(member)[1], Range):
            return typing.get_args(member)[1]
    return None


def kind_of(annotation: Any) -> Any:
    member = members(annotation)[0]
    return typing.get_args(member)[0] if typing.get_origin(member) is Annotated else member


def declared_in(leaf: Leaf) -> str:
    """``Class.key``, of the class that declares the key and not of one that inherits it."""
    owner = next(cls for cls in reversed(leaf.owner.__mro__) if leaf.name in getattr(cls, "__annotations__", {}))
    return f"{owner.__name__}.{leaf.name}"


# a key that several options inherit is tested in one of them
LEAVES = list({declared_in(leaf): leaf for leaf in leaves()}.values())
leaf = pytest.mark.parametrize("leaf", [pytest.param(leaf, id=f"{leaf.option}-{leaf.key}") for leaf in LEAVES])


def with_leaf(leaf: Leaf, value: Any) -> dict[str, Any]:
    # so that no value contradicts another: SGD with a momentum, images that every model takes, room for both cuts
    changes: dict[str, Any] = {}
    if leaf.command == "train":
        changes = {"data__test_fraction": 0.0, "data__val_fraction": 1e-12, "epochs": 10}
        if leaf.key == "data__input_size":
            changes["model"] = MODEL["mycnn"]
        if leaf.key == "optim__momentum":
            changes["optim__nesterov"] = False
    if leaf.key == "faces__mode":
        changes["faces__model"] = None
    options = [leaf.option] if leaf.option else []
    return values(leaf.command, *options, **{**changes, leaf.key: value})


def get(configuration: Any, key: str) -> Any:
    for name in key.split("__"):
        configuration = getattr(configuration, name)
    return configuration


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_every_option_parses_to_its_values(group: str, name: str) -> None:
    configuration = values("train", f"{group}={name}")
    assert as_dictionary(parse("train", configuration)) == configuration


@pytest.mark.parametrize("command", COMMANDS)
def test_a_configuration_survives_the_round_trip(command: str) -> None:
    parsed = parse(command, values(command))
    assert isinstance(parsed, schema.SCHEMAS[command])
    assert as_dictionary(parsed) == values(command)
    assert parse(command, as_dictionary(parsed)) == parsed


def test_the_options_here_are_those_of_the_schema() -> None:
    walked = {leaf.option for leaf in leaves()} - {""}
    assert walked == {f"{group}={name}" for group, name in CHOICES}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"epohcs": 3},
            "epohcs is not a key: allowed are model, optim, schedule, data, augment, epochs, seed, device, threads, "
            "precision, compile, label_smoothing, ema_decay, early_stopping, evaluation, health, checkpoint, resume, "
            "test, plots; "
            "did you mean 'epochs'?",
        ),
        (
            {"optim__lrr": 0.1},
            "optim.lrr is not a key of optim=sgd: allowed are name, lr, momentum, nesterov, weight_decay, "
            "decay_norm_and_bias, clip_norm; did you mean 'lr'?",
        ),
        (
            {"early_stopping__pacience": 3},
            "early_stopping.pacience is not a key: allowed are patience, min_delta; did you mean 'patience'?",
        ),
        (
            {"optim__beta1": 0.9},  # another option's
            "optim.beta1 is not a key of optim=sgd: allowed are name, lr, momentum, nesterov, weight_decay, "
            "decay_norm_and_bias, clip_norm",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(changes: dict[str, Any], message: str) -> None:
    assert refusal("train", values(**changes)) == message


@leaf
def test_a_key_that_is_absent_is_refused(leaf: Leaf) -> None:
    configuration = with_leaf(leaf, None)
    *path, last = leaf.key.split("__")
    inner = configuration
    for name in path:
        inner = inner[name]
    del inner[last]
    if last == "name" and leaf.option:
        assert f"{'.'.join(path)}.name=null: expected one of " in refusal(leaf.command, configuration)
    else:
        assert refusal(leaf.command, configuration) == f"{'.'.join([*path, last])} is missing from the configuration"


@pytest.mark.parametrize(("command", "key"), [("eval", "ckpt"), ("predict", "source"), ("train", "data__root")])
def test_a_mandatory_path_that_is_not_given_is_asked_for(command: str, key: str) -> None:
    dotted = key.replace("__", ".")
    assert refusal(command, values(command, **{key: "???"})) == f"{dotted} is missing: give it as {dotted}=PATH"


@pytest.mark.parametrize("value", [3, "cosine", None, [1]])
def test_a_group_is_no_value(value: Any) -> None:
    shown = "null" if value is None else value
    expected = f"early_stopping={shown}: 'early_stopping' is a group of keys, not a value"
    assert refusal("train", values(early_stopping=value)) == expected


@pytest.mark.parametrize("name", ["resnet81", None, 18, ["resnet18"], True])
def test_an_unknown_option_is_refused_with_the_options(name: Any) -> None:
    assert re.fullmatch(
        r"model\.name=[^:]+: expected one of resnet18, vgg16, mycnn(; did you mean 'resnet18'\?)?",
        refusal("train", values(model__name=name)),
    )


WRONG = {
    bool: ([0, 1, "true", 0.5, [True]], "true or false"),
    int: ([0.5, True, "7", math.nan, math.inf, -math.inf, 2**63, 10**400, [1]], "a whole number"),
    float: ([True, "0.5", math.nan, math.inf, -math.inf, 1e300, 10**400, [0.5]], "a number"),
    str: ([3, 0.5, True, ["a"], {}], "text (quote it where it looks like a number)"),
    Path: ([3, 0.5, True, ["a"], {}], "text (quote it where it looks like a number)"),
}


# one key of each kind gets every wrong value, every key one of them
WRONG_VALUES = [
    *((leaf, WRONG[kind_of(leaf.annotation)][0][0]) for leaf in LEAVES if kind_of(leaf.annotation) in WRONG),
    *((leaf, value) for leaf in {kind_of(leaf.annotation): leaf for leaf in LEAVES}.values()
      for value in WRONG.get(kind_of(leaf.annotation), ([],))[0]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("leaf", "value"),
    [pytest.param(leaf, value, id=f"{leaf.option}-{leaf.key}-{str(value)[:9]}") for leaf, value in WRONG_VALUES],
)
def test_a_value_of_another_type_is_refused(leaf: Leaf, value: Any) -> None:
    limits = range_of(leaf.annotation)
    null = " or null" if type(None) in members(leaf.annotation) else ""
    words = " or auto" if Literal["auto"] in members(leaf.annotation) else ""
    shown = str(value).lower() if isinstance(value, bool) else value
    kind = text_of(leaf.annotation) or WRONG[kind_of(leaf.annotation)][1] + (f", {limits}" if limits else "") + words
    message = refusal(leaf.command, with_leaf(leaf, value))
    assert message == f"{leaf.key.replace('__', '.')}={shown}: expected {kind}{null}"


# written here a second time, as mathematicians write them: ( and ) leave the border out
RANGES = {
    "ResNet18Config.default_input_size": "[32, inf)",
    "VGG16Config.default_input_size": "[32, inf)",
    "VGG16Config.dropout": "[0, 1)",
    "MyCNNConfig.default_input_size": "[8, inf)",
    "MyCNNConfig.dropout": "[0, 1)",
    "SGDConfig.lr": "(0, inf)",
    "SGDConfig.momentum": "[0, 1)",
    "SGDConfig.weight_decay": "[0, inf)",
    "SGDConfig.clip_norm": "(0, inf)",
    "AdamConfig.lr": "(0, inf)",
    "AdamConfig.beta1": "[0, 1)",
    "AdamConfig.beta2": "[0, 1)",
    "AdamConfig.eps": "(0, inf)",
    "AdamConfig.weight_decay": "[0, inf)",
    "AdamConfig.clip_norm": "(0, inf)",
    "OneCycleConfig.warmup_fraction": "(0, 1)",
    "OneCycleConfig.start_factor": "(0, 1]",
    "OneCycleConfig.final_factor": "(0, 1]",
    "ConstantConfig.warmup_epochs": "[0, inf)",
    "CosineConfig.warmup_epochs": "[0, inf)",
    "CosineConfig.final_factor": "[0, 1]",
    "DataConfig.batch_size": "[1, inf)",
    "DataConfig.eval_batch_size": "[1, inf)",
    "DataConfig.input_size": "[8, inf)",
    "DataConfig.val_fraction": "(0, 1)",
    "DataConfig.test_fraction": "[0, 1)",
    "DataConfig.split_seed": "[0, inf)",
    "DataConfig.cache_gb": "[0, inf)",
    "DataConfig.workers": "[1, inf)",
    "SyntheticConfig.seed": "[0, inf)",
    "SyntheticConfig.train_images": "[4, inf)",
    "SyntheticConfig.val_images": "[2, inf)",
    "SyntheticConfig.test_images": "[2, inf)",
    "FlipAugmentConfig.flip_probability": "[0, 1]",
    "LightAugmentConfig.flip_probability": "[0, 1]",
    "LightAugmentConfig.shift": "[0, 0.5]",
    "LightAugmentConfig.rotation_degrees": "[0, 180]",
    "LightAugmentConfig.zoom": "[0, 1)",
    "LightAugmentConfig.brightness": "[0, 1)",
    "LightAugmentConfig.contrast": "[0, 1)",
    "LightAugmentConfig.saturation": "[0, 1)",
    "TrainConfig.epochs": "[1, inf)",
    "TrainConfig.seed": "[0, inf)",
    "TrainConfig.threads": "[1, inf)",
    "TrainConfig.label_smoothing": "[0, 1)",
    "TrainConfig.ema_decay": "(0, 1)",
    "EvaluationConfig.equalised_size": "[8, inf)",
    "EvalEvaluationConfig.threshold": "[0, 1]",
    "EvalEvaluationConfig.equalised_size": "[8, inf)",
    "EarlyStoppingConfig.patience": "[1, inf)",
    "EarlyStoppingConfig.min_delta": "[0, inf)",
    "EvalDataConfig.batch_size": "[1, inf)",
    "EvalDataConfig.cache_gb": "[0, inf)",
    "EvalDataConfig.workers": "[1, inf)",
    "AuditDataConfig.workers": "[1, inf)",
    "AuditConfig.seed": "[0, inf)",
    "CompareConfig.seed": "[0, inf)",
    "EvalConfig.threads": "[1, inf)",
    "PredictConfig.batch_size": "[1, inf)",
    "PredictConfig.threads": "[1, inf)",
}


def probes() -> Iterator[Any]:
    """Values at each border of each range, and just beside it, with whether they are allowed."""
    for leaf in LEAVES:
        if declared_in(leaf) not in RANGES:
            continue
        text = RANGES[declared_in(leaf)]
        low, high = (float(number) for number in text[1:-1].split(", "))
        step = 1 if kind_of(leaf.annotation) is int else 1e-9
        borders = [(low, text[0] == "["), (low - step, False)] + [(low + step, True)] * (text[0] == "(")
        if high < math.inf:
            borders += [(high, text[-1] == "]"), (high + step, False)] + [(high - step, True)] * (text[-1] == ")")
        for value, allowed in borders:
            yield pytest.param(leaf, value, allowed, id=f"{leaf.option}-{leaf.key}-{value:g}-{allowed}")


@pytest.mark.parametrize(("leaf", "value", "allowed"), list(probes()))
def test_a_range_ends_where_it_says(leaf: Leaf, value: float, allowed: bool) -> None:
    configuration = with_leaf(leaf, value)
    if allowed:
        parsed = get(parse(leaf.command, configuration), leaf.key)
        assert parsed == value
        assert type(parsed) is kind_of(leaf.annotation)
    else:
        kind = "a whole number" if kind_of(leaf.annotation) is int else "a number"
        shown = f"{leaf.key.replace('__', '.')}={value}: expected {kind}, {range_of(leaf.annotation)}"
        assert refusal(leaf.command, configuration).startswith(shown)


def test_every_range_of_the_schema_is_tested() -> None:
    assert {declared_in(leaf) for leaf in LEAVES if range_of(leaf.annotation)} == set(RANGES)


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Range(1), "at least 1"),
        (Range(0, above_low=True), "above 0"),
        (Range(0, 1), "at least 0 and at most 1"),
        (Range(0, 0.5, above_low=True, below_high=True), "above 0 and below 0.5"),
    ],
)
def test_a_range_describes_itself(limits: Range, text: str) -> None:
    assert str(limits) == text


NAMES: dict[str, tuple[str | bool, ...]] = {
    "TrainConfig.compile": ("auto", True, False),
    "TrainConfig.precision": ("auto", "float32", "bfloat16", "float16"),
    "TrainConfig.test": ("best", "last", "both", "none"),
    "HealthConfig.on_collapse": ("warn", "fail", "retry"),
    "DataConfig.on_bad_image": ("error", "skip"),
    "EvalDataConfig.on_bad_image": ("error", "skip"),
    "DataConfig.normalization": ("study", "dataset", "imagenet"),
    "DataConfig.resident": ("auto", True, False),
    "DataConfig.split": ("as_shipped", "grouped"),
    "DataConfig.sampling": ("auto", "files", "groups"),
    "EvalConfig.split": ("train", "val", "test", "all"),
    "FacesConfig.mode": ("none", "auto", "yunet"),
    "CompareConfig.split": ("train", "val", "test", "test_last", "all"),
    "EvalConfig.precision": ("auto", "float32", "bfloat16", "float16"),
    "PredictConfig.precision": ("auto", "float32", "bfloat16", "float16"),
}
NAMED = [leaf for leaf in LEAVES if typing.get_origin(kind_of(leaf.annotation)) is Literal and leaf.name != "name"]


def test_every_list_of_names_is_tested() -> None:
    assert {declared_in(leaf) for leaf in NAMED} == set(NAMES)


@pytest.mark.parametrize(
    ("leaf", "name"),
    [
        pytest.param(leaf, name, id=f"{leaf.option}-{leaf.key}-{name}")
        for leaf in NAMED
        for name in NAMES[declared_in(leaf)]
    ],
)
def test_each_name_is_accepted(leaf: Leaf, name: str | bool) -> None:
    parsed = get(parse(leaf.command, with_leaf(leaf, name)), leaf.key)
    assert parsed == name
    assert type(parsed) is type(name)


WRONG_NAMES = [0, 1, 1.0, 3, True, False, "", "Auto!", "true", "False", ["auto"], [True], {}]


@pytest.mark.parametrize(
    ("leaf", "value"),
    [
        pytest.param(leaf, value, id=f"{leaf.option}-{leaf.key}-{value!r}")
        for leaf in NAMED
        for value in WRONG_NAMES
        if not (isinstance(value, bool) and value in NAMES[declared_in(leaf)])
    ],
)
def test_another_name_is_refused_with_the_names(leaf: Leaf, value: Any) -> None:
    null = " or null" if type(None) in members(leaf.annotation) else ""
    names = ", ".join(str(name).lower() for name in NAMES[declared_in(leaf)])
    shown = str(value).lower() if isinstance(value, bool) else value
    message = refusal(leaf.command, with_leaf(leaf, value))
    assert message.partition("; did you mean")[0] == (
        f"{leaf.key.replace('__', '.')}={shown}: expected one of {names}{null}"
    )


@pytest.mark.parametrize("key", ["compile", "data__resident"])
@pytest.mark.parametrize(
    ("value", "shown"), [(1, "1"), (0, "0"), ("true", "true"), ("false", "false"), ("on", "on"), (None, "null")]
)
def test_a_choice_takes_only_true_and_false_themselves(key: str, value: Any, shown: str) -> None:
    expected = f"{key.replace('__', '.')}={shown}: expected one of auto, true, false"
    assert refusal("train", values("train", **{key: value})) == expected


def test_a_misspelt_name_gets_the_nearest() -> None:
    assert refusal("train", values(precision="bf16")) == (
        "precision=bf16: expected one of auto, float32, bfloat16, float16; did you mean 'bfloat16'?"
    )


OPTIONAL = {
    "SGDConfig.clip_norm",
    "AdamConfig.clip_norm",
    "DataConfig.positive_class",
    "DataConfig.cache_gb",
    "DataConfig.workers",
    "DataConfig.groups",
    "TrainConfig.threads",
    "TrainConfig.ema_decay",
    "EvaluationConfig.equalised_size",
    "CheckpointConfig.every",
    "TrainConfig.resume",
    "EvalEvaluationConfig.threshold",
    "EvalEvaluationConfig.equalised_size",
    "EarlyStoppingConfig.patience",
    "EvalConfig.split",
    "CompareConfig.split",
    "FacesConfig.model",
    "EvalConfig.threads",
    "EvalConfig.precision",
    "EvalDataConfig.root",
    "EvalDataConfig.batch_size",
    "EvalDataConfig.cache_gb",
    "EvalDataConfig.workers",
    "AuditDataConfig.workers",
    "PredictConfig.batch_size",
    "PredictConfig.threads",
    "PredictConfig.precision",
}


@leaf
def test_null_is_taken_by_optional_keys_alone(leaf: Leaf) -> None:
    if declared_in(leaf) in OPTIONAL:
        assert get(parse(leaf.command, with_leaf(leaf, None)), leaf.key) is None
    else:
        assert f"{leaf.key.replace('__', '.')}=null: expected " in refusal(leaf.command, with_leaf(leaf, None))


@pytest.mark.parametrize(("value", "epochs"), [(1e2, 100), (3, 3)])
def test_a_float_without_fraction_is_a_whole_number(value: float, epochs: int) -> None:
    parsed = parse("train", values(epochs=value)).epochs
    assert parsed == epochs
    assert type(parsed) is int


def test_a_whole_number_is_a_float_where_one_is_asked_for() -> None:
    assert type(parse("train", values(optim__lr=1)).optim.lr) is float


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:13", "mps"])
def test_a_device_is_accepted(device: str) -> None:
    assert parse("train", values(device=device)).device == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1.0", "cpu:0", "mps:0", "CPU", ""])
def test_another_device_is_refused(device: str) -> None:
    assert refusal("train", values(device=device)) == f"device={device}: expected auto, cpu, cuda, cuda:N or mps"


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        (
            values("train", "model=mycnn", data__input_size=30),
            "data.input_size=30 contradicts model=mycnn: three 2x2 poolings need a multiple of 8, such as 32",
        ),
        (
            values("train", "model=mycnn", data__input_size=9),
            "data.input_size=9 contradicts model=mycnn: three 2x2 poolings need a multiple of 8, such as 8",
        ),
        (
            values("train", "model=vgg16", data__input_size=31),
            "data.input_size=31 contradicts model=vgg16: it needs at least 32",
        ),
        (
            values("train", "model=resnet18", data__input_size=31),
            "data.input_size=31 contradicts model=resnet18: it needs at least 32",
        ),
        (
            values("train", "model=vgg16", model__pretrained=True),
            "model.pretrained=true contradicts data.normalization=dataset: these weights expect "
            "data.normalization=imagenet",
        ),
        (
            values(optim__momentum=0.0),
            "optim.nesterov=true contradicts optim.momentum=0: Nesterov's method needs a momentum above 0",
        ),
        (
            values("train", "schedule=cosine", schedule__warmup_epochs=7),
            "schedule.warmup_epochs=7 contradicts epochs=7: the warm-up must end before the training does",
        ),
        (
            values(data__val_fraction=0.5, data__test_fraction=0.5),
            "data.val_fraction=0.5 and data.test_fraction=0.5 leave nothing to train on: their sum must be below 1",
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused(configuration: dict[str, Any], message: str) -> None:
    assert refusal("train", configuration) == message


@pytest.mark.parametrize(
    "configuration",
    [
        values("train", "model=mycnn", data__input_size=8),
        values("train", "model=vgg16", data__input_size=32),
        values("train", model__pretrained=True, data__normalization="imagenet"),
        values(optim__momentum=0.0, optim__nesterov=False),
        values("train", "schedule=cosine", schedule__warmup_epochs=6.9),
        values(data__val_fraction=0.5, data__test_fraction=0.49),
    ],
)
def test_values_just_short_of_a_contradiction_are_accepted(configuration: dict[str, Any]) -> None:
    assert as_dictionary(parse("train", configuration)) == configuration


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("faces", "{working}/faces"),
        ("../faces", "{working}/../faces"),
        ("~/faces", "{home}/faces"),
        ("~", "{home}"),
        ("/data/faces", "/data/faces"),
        ("a b/얼굴", "{working}/a b/얼굴"),
        ("~nobody-of-this-name/faces", "{working}/~nobody-of-this-name/faces"),
    ],
)
def test_a_path_becomes_absolute(typed: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    expected = Path(path.format(working=Path.cwd(), home=tmp_path / "home"))
    parsed = parse("train", values(data__root=typed, data__cache_dir=typed)).data
    assert (parsed.root, parsed.cache_dir) == (expected, expected)
    assert parse("eval", values("eval", ckpt=typed)).ckpt == expected


def test_a_source_stays_as_typed() -> None:
    assert parse("predict", values("predict", source="~/photos/*.jpg")).source == "~/photos/*.jpg"


@pytest.mark.parametrize(
    ("command", "key", "message"),
    [
        ("train", "data__root", "data.root=: expected a path"),
        ("eval", "data__root", "data.root=: expected a path or null"),
        ("eval", "ckpt", "ckpt=: expected a path"),
        ("predict", "source", "source=: expected text"),
    ],
)
def test_an_empty_path_is_refused(command: str, key: str, message: str) -> None:
    assert refusal(command, values(command, **{key: ""})) == message


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse("train", values()).epochs = 3


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("optm.lr", "; did you mean 'optim.lr'?"),
        ("lr", "; did you mean 'optim.lr'?"),
        ("model.lr", "; did you mean 'optim.lr'?"),
        ("unlike", ""),
    ],
)
def test_nearest_finds_what_was_meant(name: str, hint: str) -> None:
    assert nearest(name, iter(["epochs", "optim.lr", "seed"])) == hint


@pytest.mark.parametrize(
    ("value", "parsed"),
    [([], ()), (["leak"], ("leak",)), ("shortcut", ("shortcut",)), (["bad_file", "leak"], ("bad_file", "leak"))],
)
def test_a_list_of_names_may_be_a_single_one(value: Any, parsed: tuple[str, ...]) -> None:
    config = parse("audit", values("audit", fail_on=value))
    assert config.fail_on == parsed
    assert parse("audit", as_dictionary(config)) == config


@pytest.mark.parametrize(
    ("value", "shown"), [(["leek"], "leek"), ("leek", "leek"), ([1], "1"), ([["leak"]], "['leak']"), (None, "null")]
)
def test_a_list_with_another_name_is_refused(value: Any, shown: str) -> None:
    hint = "; did you mean 'leak'?" if shown == "leek" else "; did you mean 'leak'?" if shown == "['leak']" else ""
    message = refusal("audit", values("audit", fail_on=value))
    assert message == f"fail_on={shown}: expected one of leak, conflict, shortcut, bad_file{hint}"


def test_what_a_checkpoint_holds_is_read() -> None:
    assert schema.parse_stored_data(DATA["synthetic"]) == parse("train", values("train", "data=synthetic")).data
    assert schema.parse_stored_model(MODEL["mycnn"], 24) == parse("train", values("train", "model=mycnn")).model
    with pytest.raises(UserError, match="'data' is a group of keys, not a value"):
        schema.parse_stored_data(None)
    with pytest.raises(UserError, match=r"^data\.input_size=20 contradicts model=mycnn"):
        schema.parse_stored_model(MODEL["mycnn"], 20)


@pytest.mark.parametrize("value", ["10min", "0.5min", "0.01min", "1steps", "500steps"])
def test_an_interval_of_checkpoints(value: str) -> None:
    assert parse("train", values(checkpoint__every=value)).checkpoint.every == value


@pytest.mark.parametrize("value", ["10", "min", "0min", "0.0min", "0steps", "-1min", "1.5steps", "10 min", "1h", ""])
def test_another_interval_of_checkpoints_is_refused(value: str) -> None:
    message = refusal("train", values(checkpoint__every=value))
    assert message == f"checkpoint.every={value}: expected a time or a count, such as 10min or 500steps or null"


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        (0.5, "0.5"), (0, "0"), (1, "1"), ("0.25", "0.25"), ("youden", "youden"),
        ("recall@0.99", "recall@0.99"), ("fpr@0.01", "fpr@0.01"), ("fpr@0", "fpr@0"), ("recall@1", "recall@1"),
    ],
)  # fmt: skip
def test_a_threshold_is_a_number_or_a_rule(value: Any, parsed: str) -> None:
    config = parse("train", values(evaluation__threshold=value))
    assert config.evaluation.threshold == parsed


@pytest.mark.parametrize(
    "value", [-0.1, 1.1, "jouden", "recall", "recall@", "recall@2", "fpr@-1", "recall@0.9x", True, None]
)
def test_another_threshold_is_refused(value: Any) -> None:
    message = refusal("train", values(evaluation__threshold=value))
    assert message.endswith("expected a number from 0 to 1, youden, recall@R or fpr@F, such as recall@0.99")


def test_a_threshold_needs_a_positive_class() -> None:
    message = refusal("train", values(evaluation__threshold="youden", data__positive_class=None))
    assert message.startswith("evaluation.threshold=youden contradicts data.positive_class=null")


def test_a_detector_is_for_those_who_look_for_faces() -> None:
    message = refusal("eval", values("eval", faces__mode="none"))
    assert message.startswith("faces.model=/models/yunet.onnx contradicts faces.mode=none")
    assert parse("eval", values("eval", faces__mode="none", faces__model=None)).faces.mode == "none"
