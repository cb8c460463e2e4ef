"""The keys of the commands: what each accepts, and which values contradict each other."""

import math
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from schema import CHOICES, COMMANDS, LEAVES, MODEL, Leaf, leaves, refusal, values

from maskcls.config import SCHEMAS, Range, as_dictionary, describe, parse

leaf = pytest.mark.parametrize("leaf", [pytest.param(leaf, id=f"{leaf.option}-{leaf.key}") for leaf in LEAVES])


def with_leaf(leaf: Leaf, value: Any) -> dict[str, Any]:
    # so that no value contradicts another: SGD with a momentum, images that every model takes, room for both cuts,
    # images that stay as they are
    changes: dict[str, Any] = {}
    if leaf.command == "train":
        changes = {"data__test_fraction": 0.0, "data__val_fraction": 1e-12, "epochs": 10}
        if leaf.key == "data__input_size":
            changes["model"] = MODEL["mycnn"]
        if leaf.key == "optim__momentum":
            changes["optim__nesterov"] = False
        if leaf.option == "augment=robust":
            changes |= {"augment__masks": 0.0, "augment__obstacles": 0.0, "augment__exchanged": 0.0}
    if leaf.key == "faces__mode":
        changes["faces__model"] = None
    if leaf.command != "train" and leaf.key in ("data__table", "data__splits"):
        changes |= {"data__table": None, "data__columns": None}
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
    assert isinstance(parsed, SCHEMAS[command])
    assert as_dictionary(parsed) == values(command)
    assert parse(command, as_dictionary(parsed)) == parsed


def test_the_options_here_are_those_of_the_schema() -> None:
    walked = {leaf.option for leaf in leaves()} - {""}
    assert walked == {f"{group}={name}" for group, name in CHOICES}


def test_an_unknown_key_is_refused_with_the_nearest_one() -> None:
    assert refusal("train", values(epohcs=3)) == (
        "epohcs is not a key: allowed are model, optim, schedule, data, augment, epochs, seed, device, threads, "
        "precision, compile, deterministic, label_smoothing, ema_decay, select, early_stopping, evaluation, health, "
        "checkpoint, resume, init, test, plots; did you mean 'epochs'?"
    )
    assert refusal("train", values(early_stopping__pacience=3)) == (
        "early_stopping.pacience is not a key: allowed are patience, min_delta; did you mean 'patience'?"
    )


# what older runs and evaluations do not have, and what it was
NEWER = {
    **{("train", f"data__{name}"): None for name in ("class_map", "splits")},
    **{("eval", f"data__{name}"): None for name in ("name", "class_map", "splits", "table", "columns")},
    ("train", "data__resize"): "squeeze",
    ("train", "model__batch_norm"): False,
    ("train", "augment__exchanged"): 0.0,
    ("train", "select"): "accuracy",
    ("train", "init"): None,
    ("train", "deterministic"): False,
}


@leaf
def test_a_key_that_is_absent_is_refused(leaf: Leaf) -> None:
    configuration = with_leaf(leaf, None)
    *path, last = leaf.key.split("__")
    inner = configuration
    for name in path:
        inner = inner[name]
    del inner[last]
    if (leaf.command, leaf.key) in NEWER:
        parsed = as_dictionary(parse(leaf.command, configuration))
        assert (parsed if len(path) == 0 else parsed[path[0]])[last] == NEWER[leaf.command, leaf.key]
    elif last == "name" and leaf.option:
        assert f"{leaf.dotted}=null: expected one of " in refusal(leaf.command, configuration)
    else:
        assert refusal(leaf.command, configuration) == f"{leaf.dotted} is missing"


@pytest.mark.parametrize(("command", "key"), [("eval", "ckpt"), ("predict", "source"), ("train", "data__root")])
def test_a_mandatory_path_that_is_not_given_is_asked_for(command: str, key: str) -> None:
    dotted = key.replace("__", ".")
    assert refusal(command, values(command, **{key: "???"})) == f"{dotted} is missing: give it as {dotted}=PATH"


# one of each type that is not allowed; more of them are in test_engine.py
WRONG: dict[Any, Any] = {bool: 1, int: 0.5, float: "0.5", str: ["a"], Path: ["a"]}


@leaf
def test_a_value_of_another_type_is_refused(leaf: Leaf) -> None:
    value = 1 if typing.get_origin(leaf.kind) is dict else WRONG.get(leaf.kind, {})
    expected = f"{leaf.dotted}={value}: expected {describe(leaf.annotation)}"
    if leaf.name == "name" and leaf.option:
        expected = f"{leaf.dotted}={value}: expected one of "
    assert refusal(leaf.command, with_leaf(leaf, value)).startswith(expected)


# written here a second time, as mathematicians write them: ( and ) leave the border out
RANGES = {
    "ResNet18Config.default_input_size": "[32, inf)",
    "VGG16Config.default_input_size": "[32, inf)",
    "VGG16Config.dropout": "[0, 1)",
    "TorchvisionConfig.default_input_size": "[32, inf)",
    "TorchvisionConfig.dropout": "[0, 1)",
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
    "RobustAugmentConfig.masks": "[0, 1)",
    "RobustAugmentConfig.obstacles": "[0, 1)",
    "RobustAugmentConfig.exchanged": "[0, 1)",
    "RobustAugmentConfig.distance": "[0, 1]",
    "RobustAugmentConfig.smallest": "(0, 1)",
    "RobustAugmentConfig.flip_probability": "[0, 1]",
    "RobustAugmentConfig.rotation_degrees": "[0, 180]",
    "RobustAugmentConfig.stretch": "[0, 1)",
    "RobustAugmentConfig.zoom": "[0, 1)",
    "RobustAugmentConfig.shift": "[0, 0.5]",
    "RobustAugmentConfig.patches": "[0, 1]",
    "RobustAugmentConfig.brightness": "[0, 1)",
    "RobustAugmentConfig.contrast": "[0, 1)",
    "RobustAugmentConfig.saturation": "[0, 1)",
    "RobustAugmentConfig.gamma": "[0, 1)",
    "RobustAugmentConfig.white_balance": "[0, 1)",
    "RobustAugmentConfig.grey": "[0, 1]",
    "RobustAugmentConfig.blur": "[0, 1]",
    "RobustAugmentConfig.low_resolution": "[0, 1]",
    "RobustAugmentConfig.smallest_side": "[8, inf)",
    "RobustAugmentConfig.noise": "[0, 1]",
    "RobustAugmentConfig.compression": "[0, 1]",
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
    "PredictConfig.every": "[1, inf)",
    "PredictConfig.max_fps": "(0, inf)",
    "PredictFacesConfig.min_size": "[10, inf)",
    "DemoConfig.port": "[1, 65535]",
    "DemoConfig.threads": "[1, inf)",
    "ExportConfig.images": "[1, inf)",
    "ExportConfig.threads": "[1, inf)",
}


def probes() -> Iterator[tuple[Leaf, list[float], list[float]]]:
    """For each key with a range, numbers within it and outside of it: at each border, and just beside it."""
    for leaf in LEAVES:
        if leaf.declared_in not in RANGES:
            continue
        text = RANGES[leaf.declared_in]
        low, high = (float(number) for number in text[1:-1].split(", "))
        step = 1 if leaf.kind is int else 1e-9
        inside = [low if text[0] == "[" else low + step]
        outside = [low - step] + [low] * (text[0] == "(")
        if high < math.inf:
            inside.append(high if text[-1] == "]" else high - step)
            outside += [high + step] + [high] * (text[-1] == ")")
        yield leaf, inside, outside


@pytest.mark.parametrize(
    ("leaf", "inside", "outside"),
    [pytest.param(*probe, id=f"{probe[0].option}-{probe[0].key}") for probe in probes()],
)
def test_a_range_ends_where_it_says(leaf: Leaf, inside: list[float], outside: list[float]) -> None:
    for number in inside:
        parsed = get(parse(leaf.command, with_leaf(leaf, number)), leaf.key)
        assert parsed == number
        assert type(parsed) is leaf.kind
    for number in outside:
        expected = f"{leaf.dotted}={number}: expected {describe(leaf.annotation)}"
        assert refusal(leaf.command, with_leaf(leaf, number)) == expected


def test_every_range_of_the_schema_is_tested() -> None:
    assert {leaf.declared_in for leaf in LEAVES if isinstance(leaf.limits, Range)} == set(RANGES)


NAMES: dict[str, tuple[str | bool, ...]] = {
    "TrainConfig.compile": ("auto", True, False),
    "TrainConfig.precision": ("auto", "float32", "tf32", "bfloat16", "float16"),
    "TrainConfig.test": ("best", "last", "both", "none"),
    "HealthConfig.on_collapse": ("warn", "fail", "retry"),
    "DataConfig.on_bad_image": ("error", "skip", "use"),
    "EvalDataConfig.on_bad_image": ("error", "skip", "use"),
    "DataConfig.normalization": ("study", "dataset", "imagenet"),
    "DataConfig.resize": ("squeeze", "crop", "pad"),
    "DataConfig.resident": ("auto", True, False),
    "DataConfig.split": ("as_shipped", "grouped"),
    "DataConfig.sampling": ("auto", "files", "groups", "classes"),
    "TrainConfig.select": ("accuracy", "balanced_accuracy", "last"),
    "EvalConfig.split": ("train", "val", "test", "all"),
    "FacesConfig.mode": ("none", "auto", "yunet"),
    "ExportConfig.format": ("onnx", "torch_export"),
    "CompareConfig.split": ("train", "val", "test", "test_last", "all"),
    "EvalConfig.precision": ("auto", "float32", "tf32", "bfloat16", "float16"),
    "PredictConfig.precision": ("auto", "float32", "tf32", "bfloat16", "float16"),
    "PredictConfig.format": ("csv", "jsonl"),
    "PredictConfig.show": ("auto", True, False),
    "DemoConfig.precision": ("auto", "float32", "tf32", "bfloat16", "float16"),
}
NAMED = [leaf for leaf in LEAVES if typing.get_origin(leaf.kind) is Literal and leaf.name != "name"]


def test_every_list_of_names_is_tested() -> None:
    assert {leaf.declared_in for leaf in NAMED} == set(NAMES)


@pytest.mark.parametrize("leaf", [pytest.param(leaf, id=f"{leaf.option}-{leaf.key}") for leaf in NAMED])
def test_each_name_is_accepted_and_no_other(leaf: Leaf) -> None:
    names = NAMES[leaf.declared_in]
    for name in names:
        parsed = get(parse(leaf.command, with_leaf(leaf, name)), leaf.key)
        assert parsed == name
        assert type(parsed) is type(name)
    null = ", or null" if type(None) in leaf.members else ""
    expected = f"expected one of {', '.join(str(name).lower() for name in names)}{null}"
    for value in (0, 1, "", "Auto!", "true", ["auto"], {}, *({True, False} - set(names))):
        shown = str(value).lower() if isinstance(value, bool) else value
        message = refusal(leaf.command, with_leaf(leaf, value))
        assert message.partition("; did you mean")[0] == f"{leaf.dotted}={shown}: {expected}"


# keys that say how a data set is laid out
DESCRIBING = ("class_map", "splits", "table", "columns")
OPTIONAL = {
    "TrainConfig.init",
    "RobustAugmentConfig.detector",
    "EvalDataConfig.name",
    *("DataConfig.class_map", "DataConfig.splits", "TableConfig.columns"),
    *(f"{owner}.{key}" for owner in ("EvalDataConfig", "AuditDataConfig") for key in DESCRIBING),
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
    "AuditDataConfig.root",
    "EvalDataConfig.batch_size",
    "EvalDataConfig.cache_gb",
    "EvalDataConfig.workers",
    "AuditDataConfig.workers",
    "PredictConfig.batch_size",
    "PredictConfig.threads",
    "PredictConfig.precision",
    "PredictConfig.max_fps",
    "PredictFacesConfig.min_size",
    "DemoConfig.port",
    "DemoConfig.threads",
    "DemoConfig.precision",
    "ExportConfig.threads",
}


@leaf
def test_null_is_taken_by_optional_keys_alone(leaf: Leaf) -> None:
    if leaf.declared_in in OPTIONAL:
        assert get(parse(leaf.command, with_leaf(leaf, None)), leaf.key) is None
    else:
        assert f"{leaf.dotted}=null: expected " in refusal(leaf.command, with_leaf(leaf, None))


@pytest.mark.parametrize(
    ("value", "parsed"),
    [([], ()), (["leak"], ("leak",)), ("shortcut", ("shortcut",)), (["bad_file", "leak"], ("bad_file", "leak"))],
)
def test_a_list_of_names_may_be_a_single_one(value: Any, parsed: tuple[str, ...]) -> None:
    config = parse("audit", values("audit", fail_on=value))
    assert config.fail_on == parsed
    assert parse("audit", as_dictionary(config)) == config


@pytest.mark.parametrize(
    ("value", "shown", "hint"),
    [
        (["leek"], "leek", "; did you mean 'leak'?"),
        ("leek", "leek", "; did you mean 'leak'?"),
        ([["leak"]], "['leak']", "; did you mean 'leak'?"),
        ([1], "1", ""),
        (None, "null", ""),
    ],
)
def test_a_list_with_another_name_is_refused(value: Any, shown: str, hint: str) -> None:
    message = refusal("audit", values("audit", fail_on=value))
    assert message == f"fail_on={shown}: expected one of leak, conflict, shortcut, bad_file, imbalance{hint}"


def test_a_source_stays_as_typed() -> None:
    assert parse("predict", values("predict", source="~/photos/*.jpg")).source == "~/photos/*.jpg"


def test_a_pretrained_network_expects_its_normalization() -> None:
    assert refusal("train", values("train", "model=vgg16", model__pretrained=True)) == (
        "model.pretrained=true contradicts data.normalization=dataset: these weights expect data.normalization=imagenet"
    )
    configuration = values("train", model__pretrained=True, data__normalization="imagenet", init=None)
    assert as_dictionary(parse("train", configuration)) == configuration


def test_a_training_starts_from_pretrained_weights_or_from_ones_own() -> None:
    configuration = values("train", model__pretrained=True, data__normalization="imagenet", init="/runs/b")
    assert refusal("train", configuration) == (
        "init=/runs/b contradicts model.pretrained=true: a training starts from one of them"
    )


def test_nesterovs_method_needs_a_momentum() -> None:
    assert refusal("train", values(optim__momentum=0.0)) == (
        "optim.nesterov=true contradicts optim.momentum=0: Nesterov's method needs a momentum above 0"
    )
    assert parse("train", values(optim__momentum=0.0, optim__nesterov=False)).optim.momentum == 0


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_warm_up_ends_before_the_training(schedule: str) -> None:
    assert refusal("train", values("train", f"schedule={schedule}", schedule__warmup_epochs=7)) == (
        "schedule.warmup_epochs=7 contradicts epochs=7: the warm-up must end before the training does"
    )
    configuration = values("train", f"schedule={schedule}", schedule__warmup_epochs=6.9)
    assert parse("train", configuration).schedule.warmup_epochs == 6.9


def test_something_is_left_to_train_on() -> None:
    assert refusal("train", values(data__val_fraction=0.5, data__test_fraction=0.5)) == (
        "data.val_fraction=0.5 and data.test_fraction=0.5 leave nothing to train on: their sum must be below 1"
    )
    assert parse("train", values(data__val_fraction=0.5, data__test_fraction=0.49)).data.test_fraction == 0.49


@pytest.mark.parametrize("key", ["masks", "obstacles"])
def test_some_images_stay_as_they_are(key: str) -> None:
    shares = {f"augment__{key}": 0.5, "augment__exchanged": 0.5}
    assert refusal("train", values("train", "augment=robust", **shares)) == (
        f"augment.{key}=0.5 and augment.exchanged=0.5 leave no image as it is: their sum must be below 1"
    )
    shares["augment__exchanged"] = 0.4
    assert parse("train", values("train", "augment=robust", **shares)).augment.exchanged == 0.4


def test_a_threshold_needs_a_positive_class() -> None:
    message = refusal("train", values(evaluation__threshold="youden", data__positive_class=None))
    assert message.startswith("evaluation.threshold=youden contradicts data.positive_class=null: ")
    assert parse("train", values(evaluation__threshold=0.5, data__positive_class=None)).data.positive_class is None


def test_a_face_detector_needs_a_mode_that_looks_for_faces() -> None:
    message = refusal("eval", values("eval", faces__mode="none"))
    assert message.startswith("faces.model=/models/yunet.onnx contradicts faces.mode=none")
    assert parse("eval", values("eval", faces__mode="none", faces__model=None)).faces.mode == "none"
    message = refusal("predict", values("predict", faces__mode="none", faces__model=None))
    assert message.startswith("faces.min_size=30 contradicts faces.mode=none")


def test_a_network_and_its_input_size_are_checked_together() -> None:
    message = refusal("train", values("train", "model=mycnn", data__input_size=30))
    assert message.startswith("data.input_size=30 contradicts model=mycnn: ")


@pytest.mark.parametrize("command", ["train", "eval", "audit"])
def test_a_table_has_a_column_for_splits(command: str) -> None:
    options = ["data=table"] if command == "train" else []
    assert refusal(command, values(command, *options, data__splits={"train": "a"})) == (
        "data.splits contradicts data.table=/data/labels.csv: a column named split says which image is in which split"
    )


@pytest.mark.parametrize("command", ["eval", "audit"])
def test_columns_are_those_of_a_table(command: str) -> None:
    message = "data.columns needs data.table=FILE: these are the columns of a table"
    assert refusal(command, values(command, data__table=None)) == message


@pytest.mark.parametrize("key", ["class_map", "splits", "columns"])
def test_folders_of_other_images_are_described_with_their_root(key: str) -> None:
    other = dict.fromkeys(("class_map", "splits", "columns"))
    changes: dict[str, Any] = {f"data__{name}": value for name, value in {**other, key: {"train": "a"}}.items()}
    assert refusal("eval", values("eval", data__root=None, data__table=None, **changes)) == (
        f"data.{key} needs data.root=FOLDER: the images of the training are read as in training"
    )


def test_int8_is_a_matter_of_onnx() -> None:
    assert parse("export", values("export", int8=True)).int8
    message = "int8=true contradicts format=torch_export: only ONNX files are written in int8"
    assert refusal("export", values("export", int8=True, format="torch_export")) == message
