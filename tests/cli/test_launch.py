"""What Hydra is asked to show, and how the ends of jobs become an exit status."""

import errno
import re
from pathlib import Path

import pytest
import yaml
from configuration import config_of
from jobs import (
    SYNTHETIC,
    Command,
    ReplaceJob,
    Result,
    assert_refused,
    failing,
    nothing,
    only_run,
    os_error,
)

from maskcls.cli import launch
from maskcls.cli.arguments import CommandLine, read_arguments
from maskcls.config import CONFIG_DIR, parse
from maskcls.errors import TrainingError
from maskcls.run import read_run


@pytest.mark.parametrize("name", ["train", "eval", "predict"])
def test_help_shows_the_command_its_options_and_its_keys(command: Command, name: str) -> None:
    result = command(name, "--help")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"maskcls-{name} ")
    assert "\ndevice: auto\n" in result.out
    if name == "train":
        for group, option in {"model": "vgg16", "optim": "adamw", "schedule": "onecycle", "augment": "light"}.items():
            assert re.search(rf"^ *{group}:? .*\b{option}\b", result.out, re.MULTILINE)
        assert "\noptim:\n  name: sgd\n  lr: 0.01\n" in result.out
    assert list(Path().iterdir()) == []


def test_cfg_shows_the_configuration(command: Command) -> None:
    result = command("train", "model=mycnn", "--cfg=job", "epochs=3")
    assert (result.status, result.err) == (0, "")
    shown = yaml.safe_load(result.out)
    assert (shown["model"]["name"], shown["epochs"]) == ("mycnn", 3)
    assert shown["data"]["input_size"] == "${model.default_input_size}"
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("train", "--help"),
        ("train", "model=mycnn -h epochs=3"),
        ("train", "--cfg job data.root=/faces optim=adam"),
        ("eval", "--help"),
        ("eval", "-c job data.root=${oc.env:HOME}"),
        ("predict", "--help"),
        ("predict", "--cfg=job threads=3"),
    ],
)
def test_what_is_shown_is_what_hydra_would_show(
    command: Command, name: str, typed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = typed.split(" ")
    with monkeypatch.context() as patch:
        patch.setattr(launch, "enter_hydra", lambda *_: pytest.fail("Hydra composes once more"))
        ours = command(name, *arguments)
    assert launch.enter_hydra(name, read_arguments(arguments)) == 0
    hydras = capsys.readouterr()
    now = re.compile(r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d")  # in the run directory that the help page names
    assert (now.sub("NOW", ours.out), ours.err) == (now.sub("NOW", hydras.out), hydras.err)
    assert ours.status == 0


def test_cfg_with_resolve_shows_a_configuration_that_parses(command: Command) -> None:
    result = command("train", "model=mycnn", "--cfg", "job", "--resolve")
    assert parse("train", yaml.safe_load(result.out)) == config_of("train", "model=mycnn")


def test_cfg_shows_one_package(command: Command) -> None:
    assert command("train", "--cfg", "job", "--package", "early_stopping").out == (
        "# @package early_stopping\npatience: null\nmin_delta: 0.0\n"
    )


def test_cfg_shows_mandatory_keys_as_missing(command: Command) -> None:
    result = command("predict", "--cfg", "job")
    assert (result.status, yaml.safe_load(result.out)["source"]) == (0, "???")


def test_package_alone_shows_nothing_and_runs(command: Command, job: ReplaceJob) -> None:
    job(failing(TrainingError("the loss is nan")))
    assert command("train", SYNTHETIC, "--package", "optim").status == 3
    assert read_run(only_run())["exit_status"] == 3


def test_cfg_refuses_a_wrong_value(command: Command) -> None:
    assert_refused(
        command("train", "--cfg", "job", "epochs=0"),
        "maskcls-train: epochs=0: expected a whole number, at least 1",
    )


def test_info_shows_where_files_are_searched(command: Command) -> None:
    result = command("train", "--info", "searchpath", "model=mycnn")
    assert (result.status, result.err) == (0, "")
    assert f"file://{CONFIG_DIR}" in result.out


def test_the_shell_gets_a_completion_script(command: Command) -> None:
    result = command("train", "-sc", "install=bash")
    assert (result.status, result.err) == (0, "")
    assert result.out.strip().endswith("hydra_bash_completion maskcls-train")


def test_the_shell_completes_a_key(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", "maskcls-train model=res")
    assert command("train", "-sc", "query=bash") == Result(0, "model=resnet18\n", "")


@pytest.mark.parametrize(
    "typed", [["--cfg", "all"], ["--cfg", "job", "--resolve"], ["--help", "--config-dir", "."], ["--info"]]
)
def test_flags_beyond_help_and_cfg_are_left_to_hydra(typed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[tuple[str, CommandLine]] = []

    def enter(command: str, line: CommandLine) -> int:
        entered.append((command, line))
        return 7

    monkeypatch.setattr(launch, "enter_hydra", enter)
    line = read_arguments([*typed, "data=synthetic"])
    assert launch.show("train", line) == 7
    assert entered == [("train", line)]


@pytest.mark.parametrize(
    ("sweep", "number", "status"), [([], errno.ENOSPC, 5), (["-m"], errno.EDQUOT, 5), ([], errno.EACCES, 2)]
)
def test_a_directory_that_cannot_be_written_is_left_at_once(
    command: Command, monkeypatch: pytest.MonkeyPatch, sweep: list[str], number: int, status: int
) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise os_error(number)

    monkeypatch.setattr(Path, "write_bytes", refuse)
    key = "hydra.sweep.dir" if sweep else "hydra.run.dir"
    ways = "hydra.run.dir=FOLDER names another (in a sweep: hydra.sweep.dir)"
    message = f"maskcls-train: {Path.cwd()}/here: cannot write in this folder: the system's words; {ways}\n"
    assert command("train", SYNTHETIC, *sweep, f"{key}=here") == Result(status, "", message)
    assert list(Path().iterdir()) == []


def jobs_of(sweep: Path) -> list[str]:
    return sorted(path.name for path in sweep.iterdir() if path.is_dir())


def test_a_sweeps_directories_are_named_after_what_varies(command: Command, job: ReplaceJob) -> None:
    job(nothing)
    arguments = ["model=mycnn", "-m", SYNTHETIC, "optim.lr=0.01", "data.cache_dir=얼굴 #1,b c"]
    assert command("train", *arguments).status == 0
    (sweep,) = Path("multirun").glob("*/*")
    assert re.fullmatch(r"multirun/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d", sweep.as_posix())
    names = jobs_of(sweep)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)
    assert names == ["0_data.cache_dir------1", "1_data.cache_dir--b-c"]
    config = parse("train", yaml.safe_load((sweep / names[1] / "config.yaml").read_text(encoding="utf-8")))
    assert (config.model.name, config.data.cache_dir) == ("mycnn", Path.cwd() / "b c")
