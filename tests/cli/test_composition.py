"""From a command line to configurations: what reaches them, and what is refused."""

from pathlib import Path

import pytest
import yaml
from configuration import config_of
from jobs import ODD_NAMES, Command, assert_training_refused

from maskcls.cli.arguments import read_arguments
from maskcls.cli.composition import compose_jobs, configuration_text, directory_of, help_text


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        # values
        ("optim.lr=abc", "optim.lr=abc: expected a number, above 0"),
        ("optim.lr=-1", "optim.lr=-1: expected a number, above 0"),
        ("epochs=", "epochs=: expected a whole number, at least 1"),
        ("device=gpu", "device=gpu: expected auto, cpu, cuda, cuda:N or mps"),
        (
            "precision=flot16",
            "precision=flot16: expected one of auto, float32, tf32, bfloat16, float16; did you mean 'float16'?",
        ),
        ("early_stopping=3", "early_stopping=3: expected a group with the keys patience, min_delta"),
        (
            "optim.nesterov=true optim.momentum=0",
            "optim.nesterov=true contradicts optim.momentum=0: Nesterov's method needs a momentum above 0",
        ),
        # what Hydra's grammar has and maskcls has not
        ("~optim.lr", "~optim.lr: keys and groups cannot be removed; give optim.lr another value"),
        ("~model", "~model: keys and groups cannot be removed; give model another value"),
        ("optim@x=sgd", "optim@x=sgd: write optim=sgd; an '@' has no meaning in maskcls"),
        ("model.name=mycnn", "model.name=mycnn: model=mycnn chooses it, with the keys that belong to it"),
        # sweeps
        ("model=mycnn,vgg16", "model=mycnn,vgg16: several values make a sweep, which needs -m"),
        ("-m optim.lr=0.1,-3", "optim.lr=-3: expected a number, above 0"),
        (
            "-m model=mycnn,vgg61",
            "model=vgg61: expected one of efficientnet_b0, mobilenet_v3_small, mycnn, resnet18, vgg16; "
            "did you mean 'vgg16'?",
        ),
        ("-m seed=range(1,3,0)", "seed=range(1,3,0): range() arg 3 must not be zero"),
        ("-m model=glob(x*)", "model=glob(x*): this gives no value"),
        (
            "-m optim.lr=interval(0.1,0.2)",
            "optim.lr=interval(0.1,0.2): only a sweeper plugin can draw from an interval; list the values",
        ),
        (
            "-m hydra.job.chdir=true,false",
            "hydra.job.chdir=true,false: expected one value; Hydra's own keys cannot be swept",
        ),
        (
            "hydra.job.chdir=true",
            "hydra.job.chdir=true: not supported, because relative paths would change their meaning",
        ),
        ("hydra.mode=MULTIRUN", "hydra.mode=MULTIRUN: this key cannot be set; -m makes a sweep"),
        # interpolations
        ("epochs=${nope}", "epochs: ${nope} names no key"),
        ("data.root=${nope}", "data.root: ${nope} names no key"),
        ("epochs=${oc.env:NOPE_}", "epochs: the environment variable NOPE_ is not set"),
        ("epochs=${nope:1}", "epochs: ${nope:...} has no meaning; ${oc.env:NAME} is a variable of the shell"),
        ("epochs=${epochs}", "epochs: this value refers to itself"),
        ("hydra.run.dir=${nope}", "hydra.run.dir: ${nope} names no key"),
    ],
)
def test_wrong_values_are_refused_in_one_line(command: Command, typed: str, message: str) -> None:
    assert_training_refused(command, typed, message)


def test_what_is_described_keeps_the_configuration_whole() -> None:
    line = read_arguments(["--cfg", "job"])
    composed = compose_jobs("train", line, partial=True)[0].composed
    before = composed.copy()
    assert "hydra" not in yaml.safe_load(configuration_text(composed))
    text = help_text(composed)
    assert configuration_text(composed) in text
    assert "  schedule    constant cosine onecycle\n" in text
    assert composed == before
    assert "hydra" in composed


@pytest.mark.parametrize(("flags", "directory"), [([], "run"), (["-m"], "sweeps")])
def test_a_run_and_a_sweep_have_directories_of_their_own(flags: list[str], directory: str) -> None:
    line = read_arguments(["hydra.run.dir=~/../run", "hydra.sweep.dir=sweeps", *flags])
    found = directory_of(compose_jobs("train", line)[0].composed, is_sweep=line.is_sweep)
    assert found == (Path.home() / "../run" if directory == "run" else Path.cwd() / directory)


def test_a_sweep_may_be_written_as_lists_ranges_and_patterns() -> None:
    line = read_arguments(["-m", "data=synthetic", "seed=7,8", "epochs=range(1,3)", "model=glob(*net18)"])
    configs = [job.config for job in compose_jobs("train", line)]
    assert [(config.seed, config.epochs) for config in configs] == [(7, 1), (7, 2), (8, 1), (8, 2)]
    assert {config.model.name for config in configs} == {"resnet18"}


@pytest.mark.parametrize("names", [ODD_NAMES[0::2], ODD_NAMES[1::2]])
def test_a_path_reaches_the_configuration_as_it_was_typed(names: list[str]) -> None:
    name = "/".join(names)
    config = config_of("predict", f"ckpt={name}", f"source={name}")
    assert config.ckpt == Path.cwd() / name
    assert config.source == name


@pytest.mark.parametrize(
    "source",
    [
        *("0", "-", "my photos/*.jpg", "udp://@239.0.0.1:1234", "rtsp://user:pw@host/x?y=1&z=a b#2"),
        *("rtsp://user:p%40[w]{$@host:8554/Streaming/Channels/101", "http://[::1]:8080/live.ts", "list of paths.txt"),
    ],
)
def test_a_source_reaches_the_configuration_as_it_was_typed(source: str) -> None:
    assert config_of("predict", "ckpt=best.safetensors", f"source={source}").source == source


def test_a_path_may_start_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config_of("eval", "ckpt=~/a=b.safetensors", "data.root=~").data.root == tmp_path
    assert config_of("eval", "ckpt=~/a=b.safetensors").ckpt == tmp_path / "a=b.safetensors"


def test_a_path_may_name_an_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACES", str(tmp_path))
    assert config_of("train", "data.root=${oc.env:FACES}/a b").data.root == tmp_path / "a b"


def test_the_data_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKCLS_DATA", str(tmp_path / "a=b, c"))
    assert config_of("train").data.root == tmp_path / "a=b, c"
