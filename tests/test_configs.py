"""The shipped YAML files: each composes and parses."""

import itertools
import typing
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from configuration import config_of
from omegaconf import OmegaConf
from schema import names_of

from maskcls.cli.composition import plain
from maskcls.config import CONFIG_DIR, SGDConfig, TrainConfig, as_dictionary, parse

GROUPS = ("model", "optim", "schedule", "data", "augment")


def options(group: str) -> list[str]:
    names = [path.relative_to(CONFIG_DIR / group).with_suffix("").as_posix() for path in group_files(group)]
    return [name for name in names if name != "base"]


def group_files(group: str) -> list[Path]:
    return sorted((CONFIG_DIR / group).rglob("*.yaml"))


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_of_the_schema_has_a_file(group: str) -> None:
    union = typing.get_type_hints(TrainConfig)[group]
    names = {name for option in typing.get_args(union) for name in names_of(option)}
    assert set(options(group)) == names


@pytest.mark.parametrize(("group", "option"), [(group, option) for group in GROUPS for option in options(group)])
def test_every_option_composes_and_parses(group: str, option: str) -> None:
    needed = {"folder": ["data.root=faces"], "table": ["data.table=labels.csv"]}
    config = config_of("train", f"{group}={option}", *needed.get(option, []))
    assert getattr(config, group).name == option


@pytest.mark.slow
def test_every_combination_of_options_composes_and_parses() -> None:
    with hydra.initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        for names in itertools.product(*map(options, GROUPS)):
            overrides = [f"{group}={name}" for group, name in zip(GROUPS, names, strict=True)]
            composed = hydra.compose(
                "train",
                overrides=[*overrides, "data.root=faces", *(["data.table=a"] if "data=table" in overrides else [])],
            )
            config = parse("train", plain(composed))
            assert tuple(getattr(config, group).name for group in GROUPS) == names


@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_composes_and_parses(experiment: str) -> None:
    settings = yaml.safe_load((CONFIG_DIR / "experiment" / f"{experiment}.yaml").read_text(encoding="utf-8"))
    chosen = {key.removeprefix("override /"): name for item in settings.pop("defaults") for key, name in item.items()}
    values = as_dictionary(config_of("train", f"experiment={experiment}"))
    assert {group: values[group]["name"] for group in chosen} == chosen
    assert OmegaConf.merge(values, settings) == values  # each setting has arrived


@pytest.mark.parametrize("path", sorted((CONFIG_DIR / "recipe").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_arrives_and_gives_way_to_what_is_typed(path: Path) -> None:
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    chosen = [f"experiment={path.parent.name}", f"model={path.stem}"]
    values = as_dictionary(config_of("train", *chosen))
    assert OmegaConf.merge(values, settings) == values
    typed = config_of("train", *chosen, "epochs=7", "optim.lr=0.007")
    assert (typed.epochs, typed.optim.lr) == (7, 0.007)


def test_the_fast_experiment_has_a_recipe_for_every_model() -> None:
    assert options("recipe/fast") == options("model")


def test_the_best_experiment_has_a_recipe_for_each_network_of_the_study() -> None:
    assert options("recipe/best") == sorted({str(row["model"]) for row in STUDY.values()})


def test_the_best_mycnn_is_the_network_of_the_study() -> None:
    best, study = (config_of("train", f"experiment={name}", "model=mycnn") for name in ("best", "study/mycnn_adam"))
    assert best.model == study.model
    assert (best.epochs, best.data.input_size, best.data.batch_size) == (10, 32, 32)


@pytest.mark.parametrize("experiment", ["best", "fast"])
def test_vgg16_is_normalized_except_in_the_study(experiment: str) -> None:
    assert as_dictionary(config_of("train", f"experiment={experiment}", "model=vgg16"))["model"]["batch_norm"] is True
    assert as_dictionary(config_of("train", "experiment=study/vgg16_adam"))["model"]["batch_norm"] is False


@pytest.mark.parametrize("command", ["eval", "predict"])
def test_the_other_commands_compose_and_parse(command: str) -> None:
    paths = ["ckpt=best.pt", *(["source=photos"] if command == "predict" else [])]
    assert config_of(command, *paths).ckpt == Path.cwd() / "best.pt"


def test_the_defaults_are_the_winning_row_of_the_study() -> None:
    config = config_of("train")
    assert study_values(config) == {**STUDY["resnet18_sgd"], "test": "best"}
    assert config.data.name == "facemask12k"


# the study's table; 0.9 is the momentum of SGD and the first coefficient of Adam
ROW = {"lr": 0.01, "momentum": 0.9, "schedule": "constant", "augment": "none", "batch": 32, "normalization": "study"}
STUDY: dict[str, dict[str, Any]] = {
    "resnet18_sgd": {**ROW, "model": "resnet18", "optim": "sgd", "epochs": 10, "input": 224, "test": "both"},
    "resnet18_adam": {**ROW, "model": "resnet18", "optim": "adam", "epochs": 10, "input": 224, "test": "both"},
    "vgg16_adam": {**ROW, "model": "vgg16", "optim": "adam", "epochs": 5, "input": 224, "test": "both"},
    "mycnn_adam": {**ROW, "model": "mycnn", "optim": "adam", "epochs": 10, "input": 32, "test": "both"},
}


def study_values(config: TrainConfig) -> dict[str, Any]:
    return {
        "model": config.model.name,
        "optim": config.optim.name,
        "lr": config.optim.lr,
        "momentum": config.optim.momentum if isinstance(config.optim, SGDConfig) else config.optim.beta1,
        "schedule": config.schedule.name,
        "augment": config.augment.name,
        "epochs": config.epochs,
        "batch": config.data.batch_size,
        "input": config.data.input_size,
        "normalization": config.data.normalization,
        "test": config.test,
    }


@pytest.mark.parametrize("row", STUDY)
def test_a_study_experiment_has_the_values_of_the_study(row: str) -> None:
    config = config_of("train", f"experiment=study/{row}")
    assert study_values(config) == STUDY[row]
    # what the study did without
    assert config.optim.weight_decay == 0
    assert config.optim.clip_norm is None
    assert config.label_smoothing == 0
    assert config.ema_decay is None
    assert config.early_stopping.patience is None
    assert not getattr(config.model, "pretrained", False)
    assert getattr(config.model, "dropout", 0.5) == 0.5


def test_every_row_of_the_study_has_an_experiment() -> None:
    assert {name for name in options("experiment") if name.startswith("study/")} == {f"study/{row}" for row in STUDY}


def test_an_experiment_gives_way_to_the_command_line() -> None:
    config = config_of("train", "experiment=study/vgg16_adam", "model=mycnn", "epochs=2")
    assert (config.model.name, config.optim.name, config.epochs) == ("mycnn", "adam", 2)


def name_of(path: Path) -> str:
    return path.relative_to(CONFIG_DIR).as_posix()


@pytest.mark.parametrize("path", sorted(CONFIG_DIR.rglob("*.yaml")), ids=name_of)
def test_every_file_says_what_it_is(path: Path) -> None:
    first, second = path.read_text(encoding="utf-8").splitlines()[:2]
    assert (second if first.startswith("# @package") else first).startswith("# ")
