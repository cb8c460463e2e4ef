"""What is said about overrides that make no configuration."""

from pathlib import Path

import pytest
from jobs import SYNTHETIC, Command, ReplaceJob, assert_refused, assert_training_refused

from maskcls.cli.explanation import groups_of
from maskcls.config import TrainConfig

SGD_KEYS = "name, lr, momentum, nesterov, weight_decay, decay_norm_and_bias, clip_norm"
TOP_KEYS = (
    "model, optim, schedule, data, augment, epochs, seed, device, threads, precision, compile, deterministic, "
    "label_smoothing, ema_decay, select, early_stopping, evaluation, health, checkpoint, resume, init, test, plots"
)
MODELS = "one of efficientnet_b0, mobilenet_v3_small, mycnn, resnet18, vgg16"
EXPERIMENTS = "best, demo, fast, robust, study/mycnn_adam, study/resnet18_adam, study/resnet18_sgd, study/vgg16_adam"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        # keys
        ("epohcs=3", "epohcs=3: no key or group 'epohcs' in maskcls-train; did you mean 'epochs'?"),
        ("modle=mycnn", "modle=mycnn: no key or group 'modle' in maskcls-train; did you mean 'model'?"),
        ("lr=0.1", "lr=0.1: no key or group 'lr' in maskcls-train; did you mean 'optim.lr'?"),
        ("wings=2", f"wings=2: no key or group 'wings' in maskcls-train; it has {TOP_KEYS}"),
        ("=3", f"=3: no key or group '' in maskcls-train; it has {TOP_KEYS}"),
        ("optim.lrr=1", f"optim.lrr=1: optim=sgd has no key 'lrr', it has {SGD_KEYS}; did you mean 'lr'?"),
        (
            "early_stopping.pacience=3",
            "early_stopping.pacience=3: early_stopping has no key 'pacience', it has patience, min_delta; "
            "did you mean 'patience'?",
        ),
        (
            "optim=adam optim.momentum=0.9",
            "optim.momentum=0.9: optim=adam has no key 'momentum', it has name, lr, beta1, beta2, eps, weight_decay, "
            "decay_norm_and_bias, clip_norm",
        ),
        ("+optim.lrr=1", f"optim.lrr is not a key of optim=sgd: allowed are {SGD_KEYS}; did you mean 'lr'?"),
        ("++optim.lrr=1", f"optim.lrr is not a key of optim=sgd: allowed are {SGD_KEYS}; did you mean 'lr'?"),
        ("+optim.lr=1", "+optim.lr=1: this key exists already; write it without the '+'"),
        ("hydra.nope=1", "hydra.nope=1: Hydra has no key 'hydra.nope'"),
        ("hydra.job.chdir=maybe", "hydra.job.chdir=maybe: Value 'maybe' is not a valid bool (type str)"),
        (
            "-m hydra/sweeper=optuna",
            "hydra/sweeper=optuna: not installed; there is basic; pip install hydra-optuna-sweeper adds it",
        ),
        ("hydra/launcher=basci", "hydra/launcher=basci: not installed; there is basic; did you mean 'basic'?"),
        ("hydra/nope=1", "hydra/nope=1: Hydra has no group 'hydra/nope'"),
        # options
        ("+model=mycnn", "+model=mycnn: this key exists already; write it without the '+'"),
        (
            "model=resnet81",
            f"model=resnet81: expected {MODELS}; did you mean 'resnet18'?",
        ),
        ("model=18", f"model=18: expected {MODELS}"),
        ("optim=[1]", "optim=[1]: expected one of adam, adamw, sgd"),
        ("data=bse", "data=bse: expected one of facemask12k, folder, synthetic, table"),
        ("data=base", "data.name=null: expected one of folder, table, facemask12k, synthetic"),
        ("experiment=demoo", f"experiment=demoo: expected one of {EXPERIMENTS}; did you mean 'demo'?"),
        ("experiment=null", f"experiment=null: expected one of {EXPERIMENTS}"),
        # experiments that are made for other options
        (
            "data=folder data.root=. experiment=demo epochs=2",
            "experiment=demo sets data.train_images, of data=synthetic, which data=folder does not have: "
            "leave out experiment=demo, or leave out data=folder and what belongs to it",
        ),
        (
            "data=folder data.root=. experiment=demo -m model=mycnn,resnet18",
            "experiment=demo sets data.train_images, of data=synthetic, which data=folder does not have: "
            "leave out experiment=demo, or leave out data=folder and what belongs to it",
        ),
        (
            "experiment=demo +data.wings=2",
            "data.wings is not a key of data=synthetic: allowed are root, positive_class, batch_size, eval_batch_size, "
            "input_size, normalization, val_fraction, test_fraction, split_seed, split, groups, sampling, cache_dir, "
            "cache_gb, workers, on_bad_image, resident, resize, class_map, splits, name, seed, train_images, "
            "val_images, test_images",
        ),
    ],
)
def test_wrong_keys_and_options_are_refused_in_one_line(command: Command, typed: str, message: str) -> None:
    assert_training_refused(command, typed, message)


@pytest.mark.parametrize(
    ("command", "groups"),
    [("train", ["model", "optim", "schedule", "data", "augment", "experiment"]), ("eval", []), ("predict", [])],
)
def test_a_commandsgroups_of_are_those_of_its_file(command: str, groups: list[str]) -> None:
    assert groups_of(command) == groups


@pytest.fixture
def own_experiments(tmp_path: Path) -> Path:
    folder = tmp_path / "my configs" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("# @package _global_\ndefaults:\n  - override /model: mycnn\nepochs: 3\n")
    (folder / "broken.yaml").write_text("# @package _global_\nepochs: [3\n")
    (folder / "wrong.yaml").write_text("# @package _global_\nepohcs: 3\n")
    return folder.parent


def test_a_users_own_experiment_is_taken(command: Command, job: ReplaceJob, own_experiments: Path) -> None:
    configs: list[TrainConfig] = []
    job(lambda config, run: configs.append(config))
    assert command("train", SYNTHETIC, "--config-dir", "../my configs", "experiment=mine").status == 0
    assert [(config.model.name, config.epochs) for config in configs] == [("mycnn", 3)]


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        (
            "mina",
            "experiment=mina: expected one of "
            f"{', '.join(sorted(['broken', 'mine', 'wrong', *EXPERIMENTS.split(', ')]))}; did you mean 'mine'?",
        ),
        ("wrong", f"epohcs is not a key: allowed are {TOP_KEYS}; did you mean 'epochs'?"),
    ],
)
def test_a_users_own_experiment_is_checked(
    command: Command, own_experiments: Path, experiment: str, message: str
) -> None:
    result = command("train", SYNTHETIC, f"--config-dir={own_experiments}", f"experiment={experiment}")
    assert_refused(result, f"maskcls-train: {message}")


def test_a_file_that_is_no_yaml_is_refused(command: Command, own_experiments: Path) -> None:
    result = command("train", SYNTHETIC, "--config-dir", str(own_experiments), "experiment=broken")
    assert f'{own_experiments}/experiment/broken.yaml", line 2' in result.err
    assert_refused(result, result.err.removesuffix("\n"))
