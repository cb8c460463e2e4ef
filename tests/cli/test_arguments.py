"""Reading what was typed: flags, and paths that Hydra's grammar would not take."""

from pathlib import Path

import pytest
from hydra.core.override_parser.types import QuotedString
from jobs import ODD_NAMES, Command, Result, assert_refused, assert_training_refused

from maskcls.cli.arguments import CommandLine, parse_overrides, read_arguments, refuse_bare
from maskcls.errors import UserError


def test_flags_stand_anywhere() -> None:
    assert read_arguments(["a=1", "-m", "b=2", "--config-dir", "mine", "c=3", "--cfg=job"]) == CommandLine(
        ("-m", "--config-dir", "mine", "--cfg", "job"), ("a=1", "b=2", "c=3")
    )


@pytest.mark.parametrize(
    ("typed", "flags", "overrides"),
    [
        (["--info"], ("--info", "all"), ()),
        (["--info", "model=mycnn"], ("--info", "all"), ("model=mycnn",)),
        (["-i", "searchpath", "model=mycnn"], ("-i", "searchpath"), ("model=mycnn",)),
        (["--info=defaults"], ("--info", "defaults"), ()),
    ],
)
def test_the_value_of_info_may_be_left_out(
    typed: list[str], flags: tuple[str, ...], overrides: tuple[str, ...]
) -> None:
    assert read_arguments(typed) == CommandLine(flags, overrides)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("--lr=0.1", "--lr=0.1 is not an option: values are set as key=value, without dashes; did you mean lr=...?"),
        ("-x", "-x is not an option: values are set as key=value, without dashes; did you mean x=...?"),
        (
            "--config-path=configs",
            "--config-path=configs is not an option: each command has its own configuration, "
            "as maskcls-eval has that of eval; "
            "--config-dir FOLDER adds files of yours",
        ),
        ("--cfg", "--cfg=: expected one of job, hydra, all"),
        ("--cfg=jobs", "--cfg=jobs: expected one of job, hydra, all"),
        ("--info=jobs", "--info=jobs: expected one of all, config, defaults, defaults-tree, plugins, searchpath"),
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
    ("typed", "message"),
    [
        (
            "optim.lr",
            "cannot read 'optim.lr': expected key=value (an '=' is missing, or has a space beside it); "
            "quote special characters",
        ),
        ("epochs=a=b", "cannot read 'epochs=a=b': expected key=value; quote special characters"),
        ("--lr 0.1", "--lr is not an option: values are set as key=value, without dashes; did you mean lr=...?"),
        (
            "--config-name eval",
            "--config-name is not an option: each command has its own configuration, as maskcls-eval has that of eval; "
            "--config-dir FOLDER adds files of yours",
        ),
        ("--cfg jobs", "--cfg=jobs: expected one of job, hydra, all"),
        ("--multirun=3", "--multirun=3: --multirun takes no value"),
        ("--config-dir missing", "--config-dir missing: no such folder"),
        ("--resolve", "The --resolve flag can only be used in conjunction with --cfg or --help"),
        ("--run -m", "Only one of --run, --multirun, --cfg, --info and --shell_completion can be specified"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(command: Command, typed: str, message: str) -> None:
    assert_training_refused(command, typed, message)


def test_spaces_around_the_equals_sign_are_named(command: Command) -> None:
    message = "cannot read 'epochs =3': expected key=value without spaces around the '='; quote special characters"
    assert_refused(command("train", "epochs =3"), f"maskcls-train: {message}")


@pytest.mark.parametrize(
    ("command_name", "typed", "bare", "meant"),
    [
        ("predict", ["photos"], "photos", "source=photos"),
        ("predict", ["new/"], "new/", "source=new/"),
        ("predict", ["b.safetensors", "device=cpu", "photos"], "b.safetensors", "ckpt=b.safetensors source=photos"),
        ("predict", ["run", "my photos"], "run", "ckpt=run 'source=my photos'"),
        ("predict", ["new/a.jpg", "new/b.jpg"], "new/a.jpg", "'source=new/*.jpg'"),
        ("predict", ["a.jpg", "b.jpg"], "a.jpg", "'source=*.jpg'"),
        ("predict", ["photos", "my photos"], "photos", "source=photos"),
        ("predict", ["a.jpg", "new/b.jpg"], "a.jpg", "source=a.jpg"),
        ("eval", ["b.safetensors"], "b.safetensors", "ckpt=b.safetensors"),
        ("predict", ["b.onnx", "photos"], "b.onnx", "ckpt=b.onnx source=photos"),
        ("export", ["run"], "run", "ckpt=run"),
        ("export", ["my runs/a"], "my runs/a", "'ckpt=my runs/a'"),
        ("eval", ["ckpt=run", "photos"], "photos", "data.root=photos"),
        ("eval", ["run", "labels.CSV"], "run", "ckpt=run data.table=labels.CSV"),
        ("audit", ["photos"], "photos", "data.root=photos"),
        ("audit", ["new/labels.csv"], "new/labels.csv", "data.table=new/labels.csv"),
        ("compare", ["a", "b"], "a", "'runs=[a,b]'"),
        ("compare", ["runs=[a,b]", "c"], "c", "'runs=[a,b,c]'"),
        ("train", ["photos"], "photos", "data=folder data.root=photos"),
        ("train", ["labels.csv"], "labels.csv", "data=table data.table=labels.csv"),
        ("train", ["run"], "run", "resume=run"),
        ("train", ["b.safetensors"], "b.safetensors", "init=b.safetensors"),
    ],
)
def test_a_path_without_its_key_is_named_with_it(
    command: Command, command_name: str, typed: list[str], bare: str, meant: str
) -> None:
    for name in ("photos", "my photos", "run"):
        Path(name).mkdir()
    Path("run/run.json").touch()
    for name in ("a.jpg", "b.jpg"):
        Path(name).touch()
    is_cut = command_name == "predict" and len(typed) == 2 and "source=" in meant and "ckpt=" not in meant
    limit = " It takes one source: a file, a folder, or a pattern such as photos/*.jpg" if is_cut else ""
    expected = f"maskcls-{command_name}: cannot read '{bare}': expected key=value; did you mean {meant}?{limit}\n"
    assert command(command_name, *typed) == Result(2, "", expected)


def test_standard_input_needs_its_key(command: Command) -> None:
    expected = "- is not an option: source=- reads a picture or a video from standard input"
    assert command("predict", "ckpt=a", "-") == Result(2, "", f"maskcls-predict: {expected}\n")


@pytest.mark.parametrize("text", ["~hydra/launcher", "~data.root"])
def test_a_deletion_is_no_path(text: str) -> None:
    refuse_bare("train", [text])


@pytest.mark.parametrize(
    ("key", "name"),
    [
        *(("ckpt", name) for name in ODD_NAMES),
        *(
            (key, "a=b, c")
            for key in ("source", "data.root", "data.cache_dir", "hydra.run.dir", "+data.root", "data.positive_class")
        ),
    ],
)
def test_hydra_reads_a_path_as_it_was_typed(key: str, name: str) -> None:
    (override,) = parse_overrides(read_arguments([f"{key}={name}"]).overrides)
    assert override.value() == name
    assert override.get_key_element() == key
    assert not override.is_sweep_override()


@pytest.mark.parametrize("flags", [[], ["-m"]])
def test_a_dictionary_is_taken_as_it_was_typed(flags: list[str]) -> None:
    typed = """{"a, b": c, 'd=e': null, 마스크: "it's"}"""
    (override,) = parse_overrides(read_arguments([*flags, f"data.class_map={typed}"]).overrides)
    assert override.value() == typed
    assert not override.is_sweep_override()


@pytest.mark.parametrize("name", [name for name in ODD_NAMES if "," not in name])
def test_a_comma_separates_paths_in_a_sweep(name: str) -> None:
    (override,) = parse_overrides(read_arguments(["-m", f"ckpt={name},{name}"]).overrides)
    values = list(override.sweep_iterator())
    assert [value.text for value in values if isinstance(value, QuotedString)] == [name, name]


def test_hydras_own_folder_is_one_path_even_in_a_sweep() -> None:
    assert read_arguments(["-m", "hydra.sweep.dir=a,b"]).overrides == ("hydra.sweep.dir='a,b'",)


@pytest.mark.parametrize(
    "override",
    [
        "ckpt='a=b.safetensors'",
        'ckpt="a=b.safetensors"',
        "data.root=null",
        "model=mycnn",
        "optim.lr=0.1",
        "ckpt",
        "~ckpt",
    ],
)
def test_what_needs_no_quotes_is_left_alone(override: str) -> None:
    assert read_arguments([override]).overrides == (override,)


@pytest.mark.parametrize(
    ("typed", "config_dir"), [([], None), (["--config-dir", "a"], "a"), (["-cd=a", "x=1", "--config-dir", "b"], "b")]
)
def test_the_last_folder_of_configuration_files_counts(typed: list[str], config_dir: str | None) -> None:
    assert read_arguments(typed).config_dir == config_dir


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        (["epochs=1", "epochs=2"], "epochs"),
        (["data=folder", "data=synthetic"], "data"),
        (["+epochs=1", "epochs=1"], "epochs"),
        (["data.root=a b", "data.root='c'"], "data.root"),
        (["seed=1,2", "seed=3"], "seed"),
        (["hydra.run.dir=a", "hydra.run.dir=b"], "hydra.run.dir"),
        (["hydra/launcher=basic", "hydra/launcher=basic"], "hydra/launcher"),
        (["resume=a", "resume=b"], "resume"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["-m"], ["--cfg", "job"]])
def test_a_key_is_given_once(command: Command, typed: list[str], key: str, flags: list[str]) -> None:
    result = command("train", typed[0], *flags, typed[1])
    assert_refused(result, f"maskcls-train: {typed[0]} and {typed[1]}: {key} is given twice; give it once")


def test_keys_of_one_group_are_given_beside_each_other(command: Command) -> None:
    result = command("train", "data=synthetic", "data.seed=1", "seed=1", "optim=adam", "optim.lr=1", "--cfg", "job")
    assert (result.status, result.err) == (0, "")
