"""The console commands: what they refuse in one line, what they show, and how a job's end becomes an exit status."""

import csv
import errno
import io
import logging
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from configuration import config_of

import maskcls
from maskcls import cli
from maskcls.command_line import CONFIG_DIR, read_arguments
from maskcls.config import AuditConfig, CompareConfig, EvalConfig, PredictConfig, TrainConfig, parse
from maskcls.errors import TrainingError, UserError
from maskcls.run import Run, read_run

SYNTHETIC = "data=synthetic"


class Result(NamedTuple):
    status: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    def call(name: str, *arguments: str) -> Result:
        return Result(cli.main(name, arguments), *capsys.readouterr())

    return call


JOBS = {
    "maskcls.commands.train": "train",
    "maskcls.commands.evaluate": "evaluate",
    "maskcls.commands.predict": "predict",
    "maskcls.commands.audit": "audit",
    "maskcls.commands.compare": "compare",
}


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a function in the place of what the commands run, so that nothing is trained and torch is not imported."""

    def replace(function: Callable[[Any, Run], Any]) -> None:
        for module, name in JOBS.items():
            fake = types.ModuleType(module)
            setattr(fake, name, function)
            monkeypatch.setitem(sys.modules, module, fake)

    return replace


@pytest.fixture
def real_job() -> None:
    """Lets a test run what the commands run."""


@pytest.fixture(autouse=True)
def _no_job(request: pytest.FixtureRequest, job: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)  # which the commands set
    if "real_job" not in request.fixturenames:
        job(failing(AssertionError("this job was not to run")))


def nothing(config: Any, run: Run) -> None:
    pass


def failing(error: BaseException) -> Callable[[Any, Run], None]:
    def function(config: Any, run: Run) -> None:
        raise error

    return function


def assert_refused(result: Result, message: str) -> None:
    """One line on stderr that is the message, nothing on stdout, no file left behind."""
    assert result == Result(2, "", message + "\n")
    assert list(Path().iterdir()) == []


def only_run() -> Path:
    (directory,) = Path("outputs").glob("*/*")
    return directory


# --- what is refused ---

SGD_KEYS = "name, lr, momentum, nesterov, weight_decay, decay_norm_and_bias, clip_norm"
TOP_KEYS = (
    "model, optim, schedule, data, augment, epochs, seed, device, threads, precision, compile, label_smoothing, "
    "ema_decay, early_stopping, evaluation, health, checkpoint, resume, test, plots"
)
EXPERIMENTS = "demo, fast, study/mycnn_adam, study/resnet18_adam, study/resnet18_sgd, study/vgg16_adam"


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
        ("+optim.lr=1", "+optim.lr=1: the key is there already, write it without the '+'"),
        ("~optim.lr", "optim.lr is missing from the configuration"),
        # values
        ("optim.lr=abc", "optim.lr=abc: expected a number, above 0"),
        ("optim.lr=-1", "optim.lr=-1: expected a number, above 0"),
        ("epochs=", "epochs=: expected a whole number, at least 1"),
        ("device=gpu", "device=gpu: expected auto, cpu, cuda, cuda:N or mps"),
        (
            "precision=flot16",
            "precision=flot16: expected one of auto, float32, bfloat16, float16; did you mean 'float16'?",
        ),
        ("early_stopping=3", "early_stopping=3: 'early_stopping' is a group of keys, not a value"),
        (
            "optim.nesterov=true optim.momentum=0",
            "optim.nesterov=true contradicts optim.momentum=0: Nesterov's method needs a momentum above 0",
        ),
        # options
        ("model=resnet81", "model=resnet81: expected one of mycnn, resnet18, vgg16; did you mean 'resnet18'?"),
        ("model=18", "model=18: expected one of mycnn, resnet18, vgg16"),
        ("optim=[1]", "optim=[1]: expected one of adam, adamw, sgd"),
        ("data=bse", "data=bse: expected one of facemask12k, folder, synthetic"),
        ("data=base", "data.name=null: expected one of folder, facemask12k, synthetic"),
        ("experiment=demoo", f"experiment=demoo: expected one of {EXPERIMENTS}; did you mean 'demo'?"),
        ("experiment=null", f"experiment=null: expected one of {EXPERIMENTS}"),
        # grammar
        ("optim.lr", "cannot read 'optim.lr': expected key=value (an '=' is missing); quote special characters"),
        ("epochs=a=b", "cannot read 'epochs=a=b': expected key=value; quote special characters"),
        ("--lr 0.1", "--lr is not an option: values are set as key=value, without dashes; did you mean lr=...?"),
        (
            "--config-name eval",
            "--config-name is not an option: values are set as key=value, without dashes; did you mean '--config-dir'?",
        ),
        ("--cfg jobs", "--cfg=jobs: expected job, hydra, all"),
        ("--multirun=3", "--multirun=3: --multirun takes no value"),
        ("--config-dir missing", "--config-dir missing: no such folder"),
        ("--resolve", "The --resolve flag can only be used in conjunction with --cfg or --help"),
        ("--run -m", "Only one of --run, --multirun, --cfg, --info and --shell_completion can be specified"),
        # sweeps
        ("model=mycnn,vgg16", "model=mycnn,vgg16: several values are a sweep, which needs -m"),
        ("-m optim.lr=0.1,-3", "optim.lr=-3: expected a number, above 0"),
        ("-m model=mycnn,vgg61", "model=vgg61: expected one of mycnn, resnet18, vgg16; did you mean 'vgg16'?"),
        ("-m model=glob(x*)", "model=glob(x*): this gives no value"),
        (
            "-m optim.lr=interval(0.1,0.2)",
            "optim.lr=interval(0.1,0.2): only a sweeper plugin draws from an interval; list the values",
        ),
        (
            "-m hydra.job.chdir=true,false",
            "hydra.job.chdir=true,false: expected one value, Hydra's own keys cannot be swept",
        ),
        ("hydra.job.chdir=true", "hydra.job.chdir=true: not supported, relative paths would change their meaning"),
        ("hydra.mode=MULTIRUN", "hydra.mode=MULTIRUN: leave this key alone, -m makes a sweep"),
        # interpolations
        ("epochs=${nope}", "epochs: Interpolation key 'nope' not found"),
        ("data.root=${nope}", "data.root: Interpolation key 'nope' not found"),
        ("hydra.run.dir=${nope}", "hydra.run.dir: Interpolation key 'nope' not found"),
        # folders
        ("data=folder", "data.root is missing: give it as data.root=PATH"),
        ("hydra.run.dir=", "hydra.run.dir=: expected a path"),
        (
            "data=folder data.root=faces",
            "data.root={working}/faces: no such folder; data.root=FOLDER names a folder of class folders, "
            "data=facemask12k is a public one, data=synthetic draws faces to try the program with",
        ),
        (
            "data=facemask12k",
            "data.root={working}/data/facemask12k: no such folder; data.download=true fetches it from Kaggle, "
            "data.root=FOLDER (or MASKCLS_DATA) names a copy, data=synthetic draws faces to try the program with",
        ),
    ],
)
def test_a_wrong_training_is_refused_in_one_line(command: Command, typed: str, message: str) -> None:
    arguments = typed.split(" ")
    if not typed.startswith("data="):
        arguments = [SYNTHETIC, *arguments]
    assert_refused(command("train", *arguments), f"maskcls-train: {message.replace('{working}', str(Path.cwd()))}")


@pytest.mark.parametrize(
    ("name", "typed", "message"),
    [
        ("eval", "", "ckpt is missing: give it as ckpt=PATH"),
        ("eval", "ckpt=", "ckpt=: expected a path"),
        ("eval", "ckpt=a.pt", "ckpt={working}/a.pt: no such file; a run writes RUN/checkpoints/best.pt and last.pt"),
        (
            "eval",
            "ckpt=..",
            "ckpt={working}/..: no checkpoints/best.pt in this folder; expected a file, or a run directory",
        ),
        (
            "eval",
            "ckpt=a.pt epochs=3",
            "epochs=3: no key or group 'epochs' in maskcls-eval; it has ckpt, split, data, faces, evaluation, device, "
            "threads, precision, plots",
        ),
        (
            "eval",
            "ckpt=a.pt split=tset",
            "split=tset: expected one of train, val, test, all or null; did you mean 'test'?",
        ),
        ("predict", "source=photos", "ckpt is missing: give it as ckpt=PATH"),
        ("predict", "ckpt=a.pt", "source is missing: give it as source=PATH"),
        ("predict", "ckpt=a.pt source=", "source=: expected text"),
    ],
)
def test_a_wrong_use_of_a_checkpoint_is_refused_in_one_line(
    command: Command, name: str, typed: str, message: str
) -> None:
    result = command(name, *typed.split())
    assert_refused(result, f"maskcls-{name}: {message.replace('{working}', str(Path.cwd()))}")


def test_a_data_set_to_measure_on_that_is_not_there_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "best.pt").touch()
    assert_refused(
        command("eval", f"ckpt={tmp_path}/best.pt", "data.root=faces"),
        f"maskcls-eval: data.root={Path.cwd()}/faces: no such folder",
    )


def test_a_source_that_is_not_there_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "best.pt").touch()
    assert_refused(
        command("predict", f"ckpt={tmp_path}/best.pt", "source=photos/*.jpg"),
        "maskcls-predict: source=photos/*.jpg: no such file, and no image file of this pattern; expected an image, "
        "a folder or a pattern such as photos/*.jpg",
    )


@pytest.mark.parametrize(("name", "key"), [("train", "data.root"), ("eval", "ckpt")])
def test_a_path_that_the_system_does_not_take_is_refused(command: Command, name: str, key: str) -> None:
    path = "a" * 300
    assert_refused(command(name, f"{key}={path}"), f"maskcls-{name}: {Path.cwd() / path}: File name too long")


@pytest.mark.parametrize("sweep", [[], ["-m", "epochs=1,2"]])
def test_a_run_directory_that_holds_something_is_refused(command: Command, tmp_path: Path, sweep: list[str]) -> None:
    (tmp_path / "mine" / "old").mkdir(parents=True)
    key = "hydra.sweep.dir" if sweep else "hydra.run.dir"
    assert_refused(
        command("train", SYNTHETIC, *sweep, f"{key}={tmp_path}/mine"),
        f"maskcls-train: {tmp_path}/mine: exists and is not an empty folder; name another one",
    )
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["old"]


@pytest.mark.parametrize("below", ["run", "runs/today"])
def test_a_run_directory_below_a_file_is_refused(command: Command, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    result = command("train", SYNTHETIC, f"hydra.run.dir={tmp_path}/file/{below}")
    assert result.err.startswith(f"maskcls-train: {tmp_path}/file/{below}: cannot make this folder: ")
    assert_refused(result, result.err.removesuffix("\n"))


@pytest.mark.usefixtures("real_job")
def test_a_device_that_is_not_there_is_refused_and_leaves_nothing(command: Command) -> None:
    if pytest.importorskip("torch").cuda.is_available():
        pytest.skip("there is a CUDA device")
    result = command("train", SYNTHETIC, "device=cuda")
    assert result.err.startswith("maskcls-train: device=cuda: ")
    assert_refused(result, result.err.splitlines()[0])


@pytest.mark.usefixtures("real_job")
@pytest.mark.parametrize("content", [b"", b"this is text\n"])
def test_a_checkpoint_that_is_none_is_refused_and_leaves_nothing(
    command: Command, tmp_path: Path, dataset: Path, content: bytes
) -> None:
    (tmp_path / "best.pt").write_bytes(content)
    result = command("eval", f"ckpt={tmp_path}/best.pt", f"data.root={dataset}", "device=cpu")
    assert f"{tmp_path}/best.pt" in result.err
    assert_refused(result, result.err.splitlines()[0])


def test_torch_is_not_imported_before_the_command_line_is_known_to_be_good(tmp_path: Path) -> None:
    (tmp_path / "best.pt").touch()
    script = f"""
import sys
from maskcls import cli
calls = [
    ("train", "--help"), ("train", "--version"), ("train", "--cfg", "job"), ("train", "epohcs=3"),
    ("train", "epochs=0"), ("train", "data.root=nowhere"), ("train", "-m", "model=mycnn,vgg61"),
    ("train", "-sc", "install=bash"), ("train", "data=synthetic", "hydra.run.dir={tmp_path}"),
    ("eval", "ckpt=nowhere.pt"), ("predict", "ckpt={tmp_path}/best.pt", "source=nowhere"),
]
for name, *arguments in calls:
    status = cli.main(name, arguments)
    heavy = sorted({{"torch", "torchvision", "cv2", "matplotlib", "sklearn", "scipy"}} & set(sys.modules))
    print("RESULT", name, status, *heavy)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    lines = [line.removeprefix("RESULT ") for line in result.stdout.splitlines() if line.startswith("RESULT ")]
    train = [f"train {status}" for status in (0, 0, 0, 2, 2, 2, 2, 0, 2)]
    assert lines == [*train, "eval 2", "predict 2"], result.stderr
    assert result.stderr.count("\n") == lines.count("train 2") + 2


# --- paths as typed ---
def test_files_of_any_name_are_found(command: Command, job: Callable[..., None], tmp_path: Path) -> None:
    configs = []
    job(lambda config, run: configs.append(config))
    folder = tmp_path / "얼굴 [1] {2} #3 'a' \"b\" c=d"
    names = ["e=1.pt", "e=2.pt"]
    for name in [*names, "1.png"]:
        folder.mkdir(exist_ok=True)
        (folder / name).touch()
    ckpt = ",".join(str(folder / name) for name in names)
    assert command("predict", "-m", f"ckpt={ckpt}", f"source={folder}").status == 0
    assert [config.ckpt for config in configs] == [folder / name for name in names]
    assert {config.source for config in configs} == {str(folder)}
    assert list(Path().rglob("leaderboard.csv")) == []  # that ranks trainings


def test_a_run_directory_may_have_any_name(
    command: Command, job: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job(nothing)
    monkeypatch.setenv("HOME", str(tmp_path))
    name = "내 결과, #1 [a=b] {c} 'd'"
    assert command("train", SYNTHETIC, f"hydra.run.dir=~/{name}").status == 0
    assert read_run(tmp_path / name)["status"] == "finished"
    assert list(Path().iterdir()) == []


# --- Hydra's flags ---


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
        patch.setattr(cli, "_enter_hydra", lambda *_: pytest.fail("Hydra composes once more"))
        ours = command(name, *arguments)
    assert cli._enter_hydra(name, read_arguments(arguments)) == 0
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


def test_package_alone_shows_nothing_and_runs(command: Command, job: Callable[..., None]) -> None:
    job(failing(TrainingError("the loss is nan")))
    assert command("train", SYNTHETIC, "--package", "optim").status == 3
    assert read_run(only_run())["exit_status"] == 3


def test_cfg_refuses_a_wrong_value(command: Command) -> None:
    assert_refused(
        command("train", "--cfg", "job", "epochs=0"),
        "maskcls-train: epochs=0: expected a whole number, at least 1",
    )


@pytest.mark.parametrize("arguments", [["--version"], ["epohcs=3", "--version"]])
def test_version(command: Command, arguments: list[str]) -> None:
    assert command("train", *arguments) == Result(0, f"maskcls {maskcls.__version__}\n", "")


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


@pytest.fixture
def own_experiments(tmp_path: Path) -> Path:
    folder = tmp_path / "my configs" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("# @package _global_\ndefaults:\n  - override /model: mycnn\nepochs: 3\n")
    (folder / "broken.yaml").write_text("# @package _global_\nepochs: [3\n")
    (folder / "wrong.yaml").write_text("# @package _global_\nepohcs: 3\n")
    return folder.parent


def test_a_users_own_experiment_is_taken(command: Command, job: Callable[..., None], own_experiments: Path) -> None:
    configs: list[TrainConfig] = []
    job(lambda config, run: configs.append(config))
    assert command("train", SYNTHETIC, "--config-dir", "../my configs", "experiment=mine").status == 0
    assert [(config.model.name, config.epochs) for config in configs] == [("mycnn", 3)]


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        (
            "mina",
            f"experiment=mina: expected one of broken, demo, fast, mine, {EXPERIMENTS[12:]}, wrong; "
            "did you mean 'mine'?",
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


# --- how one job ends ---


def test_a_finished_job(command: Command, job: Callable[..., None]) -> None:
    def train(config: TrainConfig, run: Run) -> float:
        assert run.directory.is_absolute()
        assert read_run(run.directory)["status"] == "running"
        logging.getLogger("maskcls").info("told to people")
        logging.getLogger("maskcls").warning("told as a warning")
        return 0.5

    job(train)
    assert command("train", SYNTHETIC, "epochs=3") == Result(0, "told to people\n", "told as a warning\n")
    directory = only_run()
    assert re.fullmatch(r"outputs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d_resnet18_sgd", directory.as_posix())
    assert sorted(path.name for path in directory.iterdir()) == ["config.yaml", "run.json", "train.log"]
    record = read_run(directory)
    assert (record["status"], record["exit_status"]) == ("finished", 0)
    assert record["overrides"] == [SYNTHETIC, "epochs=3"]
    config = parse("train", yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8")))
    assert config == config_of("train", SYNTHETIC, "epochs=3")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d [\d:,]+ INFO told to people\n\d{4}-\d\d-\d\d [\d:,]+ WARNING told as a warning\n",
        (directory / "train.log").read_text(encoding="utf-8"),
    )


def test_wrong_input_found_by_the_job_leaves_nothing(command: Command, job: Callable[..., None]) -> None:
    job(failing(UserError("data.root=/faces: no images")))
    assert_refused(command("train", SYNTHETIC), "maskcls-train: data.root=/faces: no images")


def test_wrong_input_leaves_the_folders_that_were_there(
    command: Command, job: Callable[..., None], tmp_path: Path
) -> None:
    job(failing(UserError("no images")))
    (tmp_path / "results" / "mine").mkdir(parents=True)
    for name in ("mine", "new/er"):
        assert command("train", SYNTHETIC, f"hydra.run.dir={tmp_path}/results/{name}").status == 2
        assert list((tmp_path / "results").rglob("*")) == [tmp_path / "results" / "mine"]


def test_wrong_input_leaves_the_runs_of_the_same_day(command: Command, job: Callable[..., None]) -> None:
    job(nothing)
    assert command("train", SYNTHETIC).status == 0
    before = only_run()
    job(failing(UserError("no images")))
    assert command("train", SYNTHETIC).status == 2
    assert only_run() == before


def test_wrong_input_found_after_a_checkpoint_was_written_keeps_the_run(
    command: Command, job: Callable[..., None]
) -> None:
    def train(config: TrainConfig, run: Run) -> None:
        (run.directory / "checkpoints").mkdir()
        raise UserError("the test split is gone")

    job(train)
    assert command("train", SYNTHETIC) == Result(2, "", "maskcls-train: the test split is gone\n")
    record = read_run(only_run())
    assert (record["status"], record["exit_status"], record["error"]) == ("failed", 2, "the test split is gone")


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


def os_error(number: int, filename: str | None = None) -> OSError:
    return OSError(number, "the system's words", filename)


def nothing_written(name: str) -> None:
    raise os_error(errno.ENOSPC, f"/disk/{name}")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (TrainingError("the loss is nan"), 3, "the loss is nan"),
        (
            OutOfMemoryError("CUDA out of memory"),
            5,
            "CUDA out of memory; a smaller batch size takes less",
        ),
        (MemoryError(), 5, "out of memory; a smaller batch size takes less"),
        (os_error(errno.ENOSPC, "/disk/best.pt"), 5, "the system's words: /disk/best.pt"),
        (os_error(errno.EIO), 5, "the system's words: {directory}"),
    ],
)
def test_a_failed_job_keeps_its_directory(
    command: Command, job: Callable[..., None], error: Exception, status: int, message: str
) -> None:
    job(failing(error))
    result = command("train", SYNTHETIC)
    message = message.format(directory=only_run().absolute())
    assert result == Result(status, "", f"maskcls-train: {message}\n")
    record = read_run(only_run())
    assert (record["status"], record["exit_status"], record["error"]) == ("failed", status, message)
    assert (only_run() / "train.log").read_text(encoding="utf-8").endswith(f"ERROR maskcls-train: {message}\n")


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
    message = f"maskcls-train: {Path.cwd()}/here: cannot write in this folder: the system's words\n"
    assert command("train", SYNTHETIC, *sweep, f"{key}=here") == Result(status, "", message)
    assert list(Path().iterdir()) == []


def test_a_run_that_cannot_start_is_the_machines_failure(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "start", lambda *_: nothing_written("config.yaml"))
    assert command("train", SYNTHETIC) == Result(5, "", "maskcls-train: the system's words: /disk/config.yaml\n")


def test_a_log_that_cannot_be_written_shows_no_traceback(
    command: Command, job: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(config: TrainConfig, run: Run) -> None:
        (log,) = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.FileHandler)]
        with monkeypatch.context() as patch:
            patch.setattr(log, "flush", lambda: nothing_written("train.log"))
            logging.getLogger("maskcls").info("epoch 1")

    job(train)
    assert command("train", SYNTHETIC) == Result(0, "epoch 1\n", "")


def test_a_disk_too_full_for_the_record_is_the_machines_failure(
    command: Command, job: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(config: TrainConfig, run: Run) -> None:
        monkeypatch.setattr(run, "write", lambda: nothing_written("run.json"))

    job(train)
    assert command("train", SYNTHETIC) == Result(5, "", "maskcls-train: the system's words: /disk/run.json\n")
    assert read_run(only_run())["status"] == "running"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("shapes differ:\n  [1]\n\t[2]"), "RuntimeError: shapes differ: [1] [2]"),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "/gone"),
            "FileNotFoundError: [Errno 2] No such file: '/gone'",
        ),
    ],
)
def test_a_defect_is_one_line_on_the_screen_and_a_traceback_in_the_log(
    command: Command, job: Callable[..., None], error: Exception, message: str
) -> None:
    job(failing(error))
    result = command("train", SYNTHETIC)
    log = only_run().absolute() / "train.log"
    message = f"{message} (a defect in maskcls; more in {log})"
    assert result == Result(1, "", f"maskcls-train: {message}\n")
    record = read_run(only_run())
    assert (record["status"], record["exit_status"], record["error"]) == ("failed", 1, message)
    text = log.read_text(encoding="utf-8")
    assert "\nTraceback (most recent call last):\n" in text
    assert ", in function\n    raise error\n" in text


def test_an_interrupted_job(command: Command, job: Callable[..., None]) -> None:
    job(failing(KeyboardInterrupt()))
    result = command("train", SYNTHETIC)
    line = f"interrupted; it goes on with: maskcls-train resume={only_run().absolute()}\n"
    assert result == Result(130, "", line)
    record = read_run(only_run())
    assert (record["status"], record["exit_status"], record["error"]) == ("interrupted", 130, "interrupted")


@pytest.mark.parametrize(
    ("entry", "name", "schema"),
    [
        (cli.train, "train", TrainConfig),
        (cli.evaluate, "eval", EvalConfig),
        (cli.predict, "predict", PredictConfig),
        (cli.audit, "audit", AuditConfig),
        (cli.compare, "compare", CompareConfig),
    ],
)
def test_each_console_command_runs_its_job(
    entry: Callable[[], int], name: str, schema: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    for module, function in JOBS.items():
        monkeypatch.setattr(sys.modules[module], function, lambda *call, name=function: calls.append((name, *call)))
    for file in ("best.pt", "1.png"):
        (tmp_path / file).touch()
    typed = {"train": [SYNTHETIC], "eval": [f"ckpt={tmp_path}/best.pt"]}
    typed["predict"] = [*typed["eval"], f"source={tmp_path}/1.png"]
    typed["audit"] = [f"data.root={tmp_path}"]
    (tmp_path / "run.json").touch()
    typed["compare"] = [f"runs=[{tmp_path},{tmp_path}]"]
    monkeypatch.setattr(sys, "argv", [f"maskcls-{name}", *typed[name]])
    assert entry() == 0
    ((called, config, run),) = calls
    assert called == entry.__name__
    assert isinstance(config, schema)
    assert (run.directory / f"{name}.log").is_file()


def told(text: str) -> logging.LogRecord:
    return logging.LogRecord("maskcls", logging.INFO, "", 0, text, None, None)


def test_a_console_that_lacks_letters_shows_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    console = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", console)
    cli.ConsoleHandler().handle(told("얼굴 1"))
    assert console.buffer.getvalue() == b"\\uc5bc\\uad74 1\n"


def test_a_console_that_goes_away_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", Closed())
    cli.ConsoleHandler().handle(told("epoch 1"))
    assert written == ["epoch 1"]


# --- sweeps ---


def leaderboard(sweep: Path) -> list[dict[str, str]]:
    with (sweep / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def jobs_of(sweep: Path) -> list[str]:
    return sorted(path.name for path in sweep.iterdir() if path.is_dir())


def test_a_sweeps_directories_are_named_after_what_varies(command: Command, job: Callable[..., None]) -> None:
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


def test_a_failing_job_leaves_the_others_alone(command: Command, job: Callable[..., None]) -> None:
    ends = {1: None, 2: UserError("no images"), 3: TrainingError("the loss is nan"), 4: None, 5: ValueError("a defect")}
    boards = []

    def train(config: TrainConfig, run: Run) -> float:
        sweep = run.directory.parent
        boards.append([row["run"] for row in leaderboard(sweep)] if (sweep / "leaderboard.csv").exists() else [])
        logging.getLogger("maskcls").info("this is job %d", config.epochs)
        run.record["best"] = {"epoch": 1, "val_accuracy": config.epochs / 10, "val_loss": 0.5}
        if error := ends[config.epochs]:
            raise error
        return config.epochs / 10

    job(train)
    result = command("train", SYNTHETIC, "-m", "epochs=1,2,3,4,5", "hydra.sweep.dir=sweep")
    sweep = Path("sweep")
    names = [f"{number}_epochs-{number + 1}" for number in range(5)]
    defect = f"ValueError: a defect (a defect in maskcls; more in {sweep.absolute()}/4_epochs-5/train.log)"

    assert result.status == 3
    assert result.err.splitlines() == [
        "maskcls-train: no images",
        "maskcls-train: the loss is nan",
        f"maskcls-train: {defect}",
    ]
    assert jobs_of(sweep) == names
    assert [read_run(sweep / name)["exit_status"] for name in names] == [0, 2, 3, 0, 1]

    # written after each job, the best first, those that failed last
    assert [sorted(board) for board in boards] == [names[:count] for count in range(5)]
    assert [(row["run"], row["status"], row["epochs"], row["error"]) for row in leaderboard(sweep)] == [
        (names[3], "finished", "4", ""),
        (names[0], "finished", "1", ""),
        (names[4], "failed", "5", defect),
        (names[2], "failed", "3", "the loss is nan"),
        (names[1], "failed", "2", "no images"),
    ]

    # each log has the lines of its own job alone
    logs = [(sweep / name / "train.log").read_text(encoding="utf-8") for name in names]
    assert [re.findall(r"this is job (\d)", text) for text in logs] == [["1"], ["2"], ["3"], ["4"], ["5"]]
    assert [re.findall(r"ERROR maskcls-train: ([\w ]+)", text) for text in logs] == [
        [], ["no images"], ["the loss is nan"], [], ["ValueError"],
    ]  # fmt: skip


def test_an_interrupted_sweep_ends_there(command: Command, job: Callable[..., None]) -> None:
    def train(config: TrainConfig, run: Run) -> None:
        if config.epochs == 2:
            raise KeyboardInterrupt

    job(train)
    result = command("train", SYNTHETIC, "-m", "epochs=1,2,3", "hydra.sweep.dir=sweep")
    line = f"interrupted; it goes on with: maskcls-train resume={Path('sweep').absolute()}\n"
    assert (result.status, result.err) == (130, line)
    assert [(row["run"], row["status"]) for row in leaderboard(Path("sweep"))] == [
        ("0_epochs-1", "finished"),
        ("1_epochs-2", "interrupted"),
    ]


def test_a_sweep_of_one_job_survives_a_leaderboard_that_cannot_be_written(
    command: Command, job: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    job(failing(os_error(errno.ENOSPC, "/disk/best.pt")))
    monkeypatch.setattr("maskcls.reporting.leaderboard.table", lambda path: nothing_written(path.name))
    result = command("train", SYNTHETIC, "-m", "hydra.sweep.dir=sweep")
    assert (result.status, result.err) == (5, "maskcls-train: the system's words: /disk/best.pt\n")
    assert jobs_of(Path("sweep")) == ["0"]


def test_jobs_that_would_share_a_directory_end_the_sweep(command: Command, job: Callable[..., None]) -> None:
    job(nothing)
    result = command("train", SYNTHETIC, "-m", "epochs=1,2", "hydra.sweep.dir=sweep", "hydra.sweep.subdir=same")
    message = f"maskcls-train: {Path.cwd()}/sweep/same: holds a run already, and would be overwritten\n"
    assert (result.status, result.err) == (2, message)
    assert read_run(Path("sweep/same"))["overrides"] == [SYNTHETIC, "epochs=1"]


@pytest.mark.parametrize(
    ("number", "overrides", "name"),
    [
        (0, "", "0"),
        (3, "model=mycnn,optim.lr=0.1", "3_model-mycnn_optim.lr-0.1"),
        (1, "data.root='/얼굴/a b'", "1_data.root------a-b"),
        (12, "x=" + "a" * 200, "12_x-" + "a" * 95),
    ],
)
def test_a_jobs_directory_has_a_name_that_every_file_system_takes(number: int, overrides: str, name: str) -> None:
    assert cli._slug(number, overrides) == name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("faces/1.png", "faces/1.png"),
        ("얼굴 é", "얼굴 é"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[2J\x1b[31mred", "\\x1b[2J\\x1b[31mred"),
        ("a\rb\x07\x00", "a\\rb\\x07\\x00"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("\udcff.png", "\\udcff.png"),
    ],
)
def test_control_characters_do_not_reach_a_terminal(text: str, shown: str) -> None:
    assert cli.printable(text) == shown


def test_an_error_about_a_name_with_control_characters(command: Command) -> None:
    assert "\x1b" not in command("train", "data=folder", "data.root=/none/\x1b[31m").err
