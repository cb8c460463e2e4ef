"""Reading what was typed: flags, and paths that Hydra's grammar would not take."""

from pathlib import Path

import pytest
import yaml
from configuration import config_of
from hydra.core.override_parser.overrides_parser import OverridesParser

from maskcls.command_line import CommandLine, _groups, check, describe, read_arguments
from maskcls.errors import UserError


def test_flags_stand_anywhere() -> None:
    assert read_arguments(["a=1", "-m", "b=2", "--config-dir", "mine", "c=3", "--cfg=job"]) == CommandLine(
        ["-m", "--config-dir", "mine", "--cfg", "job"], ["a=1", "b=2", "c=3"]
    )


@pytest.mark.parametrize(
    ("typed", "flags", "overrides"),
    [
        (["--info"], ["--info", "all"], []),
        (["--info", "model=mycnn"], ["--info", "all"], ["model=mycnn"]),
        (["-i", "searchpath", "model=mycnn"], ["-i", "searchpath"], ["model=mycnn"]),
        (["--info=defaults"], ["--info", "defaults"], []),
    ],
)
def test_the_value_of_info_may_be_left_out(typed: list[str], flags: list[str], overrides: list[str]) -> None:
    assert read_arguments(typed) == CommandLine(flags, overrides)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("--lr=0.1", "--lr=0.1 is not an option: values are set as key=value, without dashes; did you mean lr=...?"),
        ("-x", "-x is not an option: values are set as key=value, without dashes; did you mean x=...?"),
        (
            "--config-path=configs",
            "--config-path=configs is not an option: values are set as key=value, without dashes; "
            "did you mean '--config-dir'?",
        ),
        ("--cfg", "--cfg=: expected job, hydra, all"),
        ("--cfg=jobs", "--cfg=jobs: expected job, hydra, all"),
        ("--info=jobs", "--info=jobs: expected all, config, defaults, defaults-tree, plugins, searchpath"),
        ("--config-dir", "--config-dir=: expected a value"),
        ("--config-dir=", "--config-dir=: expected a value"),
        ("-m=3", "-m=3: -m takes no value"),
    ],
)
def test_a_wrong_flag_is_refused(typed: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_arguments([typed])
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "typed", [["--cfg", "all"], ["--cfg", "job", "--resolve"], ["--help", "--config-dir", "."], ["--info"], []]
)
def test_flags_beyond_help_and_cfg_are_left_to_hydra(typed: list[str]) -> None:
    line = read_arguments([*typed, "data=synthetic"])
    assert describe(line, check("train", line, partial=True)[0].composed) is None


def test_what_is_described_keeps_the_configuration_whole() -> None:
    line = read_arguments(["--cfg", "job"])
    composed = check("train", line, partial=True)[0].composed
    before = composed.copy()
    assert "hydra" not in yaml.safe_load(describe(line, composed))
    assert composed == before
    assert "hydra" in composed


@pytest.mark.parametrize(
    ("command", "groups"),
    [("train", ["model", "optim", "schedule", "data", "augment", "experiment"]), ("eval", []), ("predict", [])],
)
def test_a_commands_groups_are_those_of_its_file(command: str, groups: list[str]) -> None:
    assert _groups(command) == groups


def test_a_sweep_may_be_written_as_lists_ranges_and_patterns() -> None:
    line = read_arguments(["-m", "data=synthetic", "seed=7,8", "epochs=range(1,3)", "model=glob(*net*)"])
    configs = [job.config for job in check("train", line)]
    assert [(config.seed, config.epochs) for config in configs] == [(7, 1), (7, 2), (8, 1), (8, 2)]
    assert {config.model.name for config in configs} == {"resnet18"}


NAMES = [
    "epoch=03-acc=0.98.pt",
    "two words.pt",
    "[1](2){3}.pt",
    "{a: b}",
    "it's.pt",
    'say "hi".pt',
    "one,two.pt",
    "#1 & co.pt",
    "얼굴/사진.pt",
    "é.pt",
    "C:\\runs\\best.pt",
    "ends in\\",
    "back\\'slash.pt",
    "two\\\\'.pt",
    "null.pt",
    "0",
    "100%.pt",
    "$HOME.pt",
    "choice(a).pt",
    "tab\there",
]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        *(("ckpt", name) for name in NAMES),
        *(
            (key, "a=b, c")
            for key in ("source", "data.root", "data.cache_dir", "hydra.run.dir", "+data.root", "data.positive_class")
        ),
    ],
)
def test_hydra_reads_a_path_as_it_was_typed(key: str, name: str) -> None:
    (override,) = OverridesParser.create().parse_overrides(read_arguments([f"{key}={name}"]).overrides)
    assert override.value() == name
    assert override.get_key_element() == key
    assert not override.is_sweep_override()


@pytest.mark.parametrize("name", [name for name in NAMES if "," not in name])
def test_a_comma_separates_paths_in_a_sweep(name: str) -> None:
    (override,) = OverridesParser.create().parse_overrides(read_arguments(["-m", f"ckpt={name},{name}"]).overrides)
    assert [value.text for value in override.sweep_iterator()] == [name, name]


def test_hydras_own_folder_is_one_path_even_in_a_sweep() -> None:
    assert read_arguments(["-m", "hydra.sweep.dir=a,b"]).overrides == ["hydra.sweep.dir='a,b'"]


@pytest.mark.parametrize(
    "override", ["ckpt='a=b.pt'", 'ckpt="a=b.pt"', "data.root=null", "model=mycnn", "optim.lr=0.1", "ckpt", "~ckpt"]
)
def test_what_needs_no_quotes_is_left_alone(override: str) -> None:
    assert read_arguments([override]).overrides == [override]


@pytest.mark.parametrize("names", [NAMES[0::2], NAMES[1::2]])
def test_a_path_reaches_the_configuration_as_it_was_typed(names: list[str]) -> None:
    name = "/".join(names)
    config = config_of("predict", f"ckpt={name}", f"source={name}")
    assert config.ckpt == Path.cwd() / name
    assert config.source == name


def test_a_path_may_start_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config_of("eval", "ckpt=~/a=b.pt", "data.root=~").data.root == tmp_path
    assert config_of("eval", "ckpt=~/a=b.pt").ckpt == tmp_path / "a=b.pt"


def test_a_path_may_name_an_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACES", str(tmp_path))
    assert config_of("train", "data.root=${oc.env:FACES}/a b").data.root == tmp_path / "a b"


def test_the_data_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKCLS_DATA", str(tmp_path / "a=b, c"))
    assert config_of("train").data.root == tmp_path / "a=b, c"
