"""The files that a job starts from, and the directory that it gets or gives back."""

from pathlib import Path

import pytest
from configuration import small, start_run
from jobs import (
    SYNTHETIC,
    Command,
    ReplaceJob,
    Result,
    assert_refused,
    assert_training_refused,
    failing,
    nothing,
    only_run,
)

from maskcls.config import TrainConfig
from maskcls.errors import UserError
from maskcls.run import Run, read_run


@pytest.mark.parametrize(
    ("typed", "message"),
    [
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
def test_a_folder_that_is_not_there_is_refused_in_one_line(command: Command, typed: str, message: str) -> None:
    assert_training_refused(command, typed, message)


@pytest.mark.parametrize(
    ("name", "typed", "message"),
    [
        ("eval", "", "ckpt is missing: give it as ckpt=PATH"),
        ("eval", "ckpt=", "ckpt=: expected a path"),
        (
            "eval",
            "ckpt=a.safetensors",
            "ckpt={working}/a.safetensors: no such file; a run writes RUN/checkpoints/best.safetensors "
            "and last.safetensors",
        ),
        (
            "eval",
            "ckpt=..",
            "ckpt={parent}: no checkpoints/best.safetensors in this folder; "
            "expected a checkpoint file or a run directory",
        ),
        (
            "eval",
            "ckpt=a.safetensors device=cpu epochs=3",  # device is a key of both
            "epochs=3: a key of maskcls-train; maskcls-eval takes it from the checkpoint",
        ),
        (
            "eval",
            "ckpt=a.safetensors data=nope",
            "data.name=nope: expected one of folder, table, facemask12k, synthetic, or null",
        ),
        ("eval", "ckpt=a.safetensors data=folder", "data.root is missing: give it as data.root=PATH"),
        ("eval", "ckpt=a.safetensors data=table", "data.table is missing: give it as data.table=PATH"),
        (
            "eval",
            "ckpt=a.safetensors data=synthetic data.root=x",
            "data=synthetic stands for the drawn faces of the training: it takes neither data.root nor data.table",
        ),
        (
            "audit",
            "data.root=. data.table=a.csv",
            "data.table={working}/a.csv: no such file; expected a CSV file with the columns path and label",
        ),
        (
            "audit",
            "data=folder data.root=.",
            "data=folder: maskcls-audit takes data.root=FOLDER or data.table=FILE instead",
        ),
        ("predict", "ckpt=a data.root=.", "data.root='.': maskcls-predict takes source=FOLDER instead"),
        ("compare", "data=folder", "data=folder: maskcls-compare takes runs=[A,B] instead"),
        ("compare", "runs=a,b", "runs=a,b: a list stands in brackets, as in runs=[a,b]"),
        (
            "eval",
            "ckpt=a.safetensors split=tset",
            "split=tset: expected one of train, val, test, all, or null; did you mean 'test'?",
        ),
        ("predict", "source=photos", "ckpt is missing: give it as ckpt=PATH"),
        ("predict", "ckpt=a.safetensors", "source is missing: give it as source=PATH"),
        ("predict", "ckpt=a.safetensors source=", "source=: expected text"),
    ],
)
def test_a_wrong_use_of_a_checkpoint_is_refused_in_one_line(
    command: Command, name: str, typed: str, message: str
) -> None:
    result = command(name, *typed.split())
    assert_refused(result, f"maskcls-{name}: {message.format(working=Path.cwd(), parent=Path.cwd().parent)}")


def test_a_data_set_to_measure_on_that_is_not_there_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").touch()
    assert_refused(
        command("eval", f"ckpt={tmp_path}/best.safetensors", "data.root=faces"),
        f"maskcls-eval: data.root={Path.cwd()}/faces: no such folder",
    )


def test_the_public_data_set_is_looked_for_where_training_looks_for_it(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "best.safetensors").touch()
    ways = "data.root=FOLDER or the environment variable MASKCLS_DATA names a copy of it"
    for root in (Path.cwd() / "data/facemask12k", tmp_path / "set"):
        result = command("eval", f"ckpt={tmp_path}/best.safetensors", "data=facemask12k")
        assert_refused(result, f"maskcls-eval: data.root={root}: no such folder; {ways}")
        monkeypatch.setenv("MASKCLS_DATA", str(tmp_path / "set"))


def test_a_source_that_is_not_there_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").touch()
    assert_refused(
        command("predict", f"ckpt={tmp_path}/best.safetensors", "source=photos/*.jpg"),
        "maskcls-predict: source=photos/*.jpg: no such file, and no image or video file of this pattern; expected a "
        "picture, a video, a folder, a pattern such as photos/*.jpg, a text file of paths, the number of a camera, an "
        "address such as rtsp://192.168.1.20/video, or - for standard input",
    )


@pytest.mark.parametrize(("name", "key", "shown"), [("train", "data.root", ""), ("eval", "ckpt", "ckpt=")])
def test_a_path_that_the_system_does_not_take_is_refused(command: Command, name: str, key: str, shown: str) -> None:
    path = "a" * 300
    assert_refused(command(name, f"{key}={path}"), f"maskcls-{name}: {shown}{Path.cwd() / path}: File name too long")


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
    (tmp_path / "best.safetensors").write_bytes(content)
    result = command("eval", f"ckpt={tmp_path}/best.safetensors", f"data.root={dataset}", "device=cpu")
    assert f"{tmp_path}/best.safetensors" in result.err
    assert_refused(result, result.err.splitlines()[0])


def test_files_of_any_name_are_found(command: Command, job: ReplaceJob, tmp_path: Path) -> None:
    configs = []
    job(lambda config, run: configs.append(config))
    folder = tmp_path / "얼굴 [1] {2} #3 'a' \"b\" c=d"
    names = ["e=1.safetensors", "e=2.safetensors"]
    for name in [*names, "1.png"]:
        folder.mkdir(exist_ok=True)
        (folder / name).touch()
    ckpt = ",".join(str(folder / name) for name in names)
    assert command("predict", "-m", f"ckpt={ckpt}", f"source={folder}").status == 0
    assert [config.ckpt for config in configs] == [folder / name for name in names]
    assert {config.source for config in configs} == {str(folder)}
    assert list(Path().rglob("leaderboard.csv")) == []  # that ranks trainings


def test_a_run_directory_may_have_any_name(
    command: Command, job: ReplaceJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job(nothing)
    monkeypatch.setenv("HOME", str(tmp_path))
    name = "내 결과, #1 [a=b] {c} 'd'"
    assert command("train", SYNTHETIC, f"hydra.run.dir=~/{name}").status == 0
    assert read_run(tmp_path / name)["status"] == "finished"
    assert list(Path().iterdir()) == []


def test_wrong_input_found_by_the_job_leaves_nothing(command: Command, job: ReplaceJob) -> None:
    job(failing(UserError("data.root=/faces: no images")))
    assert_refused(command("train", SYNTHETIC), "maskcls-train: data.root=/faces: no images")


def test_wrong_input_leaves_the_folders_that_were_there(command: Command, job: ReplaceJob, tmp_path: Path) -> None:
    job(failing(UserError("no images")))
    (tmp_path / "results" / "mine").mkdir(parents=True)
    for name in ("mine", "new/er"):
        assert command("train", SYNTHETIC, f"hydra.run.dir={tmp_path}/results/{name}").status == 2
        assert list((tmp_path / "results").rglob("*")) == [tmp_path / "results" / "mine"]


def test_wrong_input_leaves_the_runs_of_the_same_day(command: Command, job: ReplaceJob) -> None:
    job(nothing)
    assert command("train", SYNTHETIC).status == 0
    before = only_run()
    job(failing(UserError("no images")))
    assert command("train", SYNTHETIC).status == 2
    assert only_run() == before


def test_wrong_input_found_after_a_checkpoint_was_written_keeps_the_run(command: Command, job: ReplaceJob) -> None:
    def train(config: TrainConfig, run: Run) -> None:
        (run.directory / "checkpoints").mkdir()
        raise UserError("the test split is gone")

    job(train)
    assert command("train", SYNTHETIC) == Result(2, "", "maskcls-train: the test split is gone\n")
    record = read_run(only_run())
    assert (record["status"], record["exit_status"], record["error"]) == ("failed", 2, "the test split is gone")


@pytest.mark.parametrize(
    ("typed", "status", "message"),
    [
        ([], 0, "{run}: has finished, after 2 epochs; epochs=N trains it for longer"),
        (["epochs=1"], 0, "{run}: has finished, after 2 epochs; epochs=N trains it for longer"),
        (["plots=true"], 2, "maskcls-train: plots=true: {run} has finished and is not changed; epochs=N trains it for "
                            "longer"),
        (["test=none"], 2, "maskcls-train: test=none: {run} has finished; maskcls-eval ckpt={run} split=test tests it"),
        (["-m"], 2, "maskcls-train: resume={run}: this is a single run; resume it without -m"),
    ],
)  # fmt: skip
def test_a_finished_run_is_left_alone(
    command: Command, dataset: Path, tmp_path: Path, typed: list[str], status: int, message: str
) -> None:
    run = start_run(tmp_path / "run", small(dataset))
    run.record.update(epochs=2, final={"epoch": 2})
    run.finish("finished", 0)
    before = (tmp_path / "run" / "run.json").read_bytes()
    result = command("train", f"resume={tmp_path / 'run'}", *typed)
    assert (result.status, result.out + result.err) == (status, message.format(run=tmp_path / "run") + "\n")
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_a_run_that_was_interrupted_is_continued_with_more_epochs(
    command: Command, job: ReplaceJob, dataset: Path, tmp_path: Path
) -> None:
    start_run(tmp_path / "run", small(dataset)).finish("interrupted", 143)
    configs: list[TrainConfig] = []
    job(lambda config, run: configs.append(config))
    assert command("train", f"resume={tmp_path / 'run'}", "epochs=5", "test=none").status == 0
    assert [(config.epochs, config.model.name, config.test) for config in configs] == [(5, "mycnn", "none")]
    record = read_run(tmp_path / "run")
    assert record["status"] == "finished"
    assert [resumed["overrides"][1:] for resumed in record["resumed"]] == [["epochs=5", "test=none"]]
