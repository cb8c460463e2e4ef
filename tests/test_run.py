"""The run directory: claimed once, written whole, read back."""

import csv
import dataclasses
import errno
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from configuration import config_of
from filelock import FileLock

import maskcls
from maskcls.config import TrainConfig, parse
from maskcls.errors import MachineError, UserError
from maskcls.files import write_json
from maskcls.run import Run, claim_directory, find_checkpoint, is_held, read_run, require_runs

ROW = {"epoch": 1, "val_accuracy": 0.5}


@pytest.fixture(scope="module")
def config() -> TrainConfig:
    parsed: TrainConfig = config_of("train", "data=synthetic", "data.cache_dir=/cache")
    return parsed


@pytest.fixture
def run(tmp_path: Path, config: TrainConfig) -> Run:
    return Run.start(tmp_path / "run", "train", config, ["data=synthetic"])


def test_two_claims_of_a_name_get_two_folders(tmp_path: Path) -> None:
    wanted = tmp_path / "outputs" / "today" / "12-00-00"
    assert [claim_directory(wanted, rename=True) for _ in range(3)] == [
        wanted,
        wanted.with_name("12-00-00_2"),
        wanted.with_name("12-00-00_3"),
    ]


@pytest.mark.parametrize("attempt", range(5))
def test_claims_of_a_name_at_the_same_time_get_a_folder_each(tmp_path: Path, attempt: int) -> None:
    together = threading.Barrier(8)

    def claim(_: int) -> Path:
        together.wait()
        return claim_directory(tmp_path / "outputs" / "12-00-00", rename=True)

    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(claim, range(8)))
    assert len(set(claimed)) == 8
    assert all(folder.is_dir() for folder in claimed)


def test_a_claimed_folder_is_absolute() -> None:
    assert claim_directory(Path("run"), rename=False) == Path.cwd() / "run"
    assert claim_directory(Path("run"), rename=False) == Path.cwd() / "run"


def test_a_named_folder_that_is_empty_is_taken(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert claim_directory(tmp_path / "mine", rename=False) == tmp_path / "mine"


def leave_a_start(folder: Path) -> None:
    """What a process leaves that is killed just before it writes run.json."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").touch()
    for name in ("train.log", "run.lock", ".probe", "config.yaml", ".run.json.123.tmp"):
        (folder / name).touch()


def test_a_named_folder_of_a_run_that_was_killed_as_it_started_is_taken(tmp_path: Path) -> None:
    leave_a_start(tmp_path / "mine")
    assert claim_directory(tmp_path / "mine", rename=False) == tmp_path / "mine"
    assert claim_directory(tmp_path / "mine", rename=True) == tmp_path / "mine_2"


def test_a_folder_of_the_users_own_is_no_start_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "mine" / ".hydra").mkdir(parents=True)
    (tmp_path / "mine" / "config.yaml").write_text("precious")
    with pytest.raises(UserError, match="exists and is not an empty folder"):
        claim_directory(tmp_path / "mine", rename=False)


def test_what_macos_leaves_in_a_folder_does_not_fill_it(tmp_path: Path) -> None:
    leave_a_start(tmp_path / "mine")
    for name in (".DS_Store", "._run.lock"):
        (tmp_path / "mine" / name).touch()
    assert claim_directory(tmp_path / "mine", rename=False) == tmp_path / "mine"


@pytest.mark.parametrize("name", ["run.json", "metrics.csv", "notes.txt", ".secret"])
def test_a_start_beside_which_there_is_more_is_no_free_folder(tmp_path: Path, name: str) -> None:
    leave_a_start(tmp_path / "mine")
    (tmp_path / "mine" / name).touch()
    with pytest.raises(UserError, match="exists and is not an empty folder"):
        claim_directory(tmp_path / "mine", rename=False)


def test_a_folder_where_a_run_is_about_to_start_is_refused(tmp_path: Path) -> None:
    leave_a_start(tmp_path / "mine")
    with FileLock(tmp_path / "mine" / "run.lock"):
        assert is_held(tmp_path / "mine")
        with pytest.raises(UserError, match="exists and is not an empty folder"):
            claim_directory(tmp_path / "mine", rename=False)
    assert not is_held(tmp_path / "mine")


@pytest.mark.parametrize("kind", ["folder that holds something", "file"])
def test_a_named_folder_that_is_not_free_is_refused(tmp_path: Path, kind: str) -> None:
    wanted = tmp_path / "mine"
    if kind == "file":
        wanted.touch()
    else:
        (wanted / "old").mkdir(parents=True)
    with pytest.raises(UserError, match=rf"^{re.escape(str(wanted))}: exists and is not an empty folder; name another"):
        claim_directory(wanted, rename=False)
    assert wanted.exists()


@pytest.mark.parametrize("rename", [True, False])
@pytest.mark.parametrize("parent", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path: Path, parent: str, *, rename: bool) -> None:
    (tmp_path / "file").touch()
    wanted = tmp_path / parent / "run"
    with pytest.raises(
        UserError, match=rf"^{re.escape(str(wanted))}: cannot make this folder: .*; hydra.run.dir=FOLDER "
    ):
        claim_directory(wanted, rename=rename)


def test_a_full_disk_is_the_machines_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(MachineError, match=r"/run: cannot make this folder: No space left on device; "):
        claim_directory(tmp_path / "run", rename=True)


@pytest.mark.parametrize("content", [None, "", "{", "[1]", '"text"'])
def test_a_run_json_that_cannot_be_read_is_empty(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    assert read_run(tmp_path) == {}


def test_a_run_json_is_read_back(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"status": "finished"})
    assert read_run(tmp_path) == {"status": "finished"}


def make_checkpoints(run: Path, *names: str) -> Path:
    """A run directory with empty files as checkpoints."""
    (run / "checkpoints").mkdir(parents=True)
    for name in names:
        (run / "checkpoints" / name).touch()
    return run


def refusal(path: Path) -> str:
    """The message that refuses a checkpoint, without its name."""
    with pytest.raises(UserError) as caught:
        find_checkpoint(path)
    assert str(caught.value).startswith(f"ckpt={path}: ")
    return str(caught.value).removeprefix(f"ckpt={path}: ")


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("run", "best"),
        ("run/", "best"),
        ("run/best", "best"),
        ("run/last", "last"),
        ("run/checkpoints/best.safetensors", "best"),
        ("run/checkpoints/last.safetensors", "last"),
        ("run/checkpoints/previous.safetensors", "previous"),
    ],
)
def test_a_checkpoint_is_found_by_its_name_or_its_run(tmp_path: Path, named: str, found: str) -> None:
    make_checkpoints(tmp_path / "run", "best.safetensors", "last.safetensors", "previous.safetensors")
    assert find_checkpoint(tmp_path / named) == tmp_path / "run" / "checkpoints" / f"{found}.safetensors"


def test_a_checkpoint_is_found_from_within_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_checkpoints(tmp_path / "run", "best.safetensors", "last.safetensors"))
    for named, found in ((".", "best"), ("best", "best"), ("last", "last")):
        assert find_checkpoint(Path(named)) == Path("checkpoints") / f"{found}.safetensors"


def test_the_file_of_an_export_is_found_by_its_run(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    assert find_checkpoint(tmp_path) == tmp_path / "model.onnx"
    with pytest.raises(UserError, match=r"^init=.*: no checkpoints/best\.safetensors in this folder"):
        find_checkpoint(tmp_path, "init")
    make_checkpoints(tmp_path, "best.safetensors")
    assert find_checkpoint(tmp_path) == tmp_path / "checkpoints/best.safetensors"


@pytest.mark.parametrize("name", ["best", "last"])
def test_a_run_may_be_called_best_or_last(tmp_path: Path, name: str) -> None:
    run = make_checkpoints(tmp_path / name, "best.safetensors", "last.safetensors")
    assert find_checkpoint(run) == run / "checkpoints" / "best.safetensors"
    assert find_checkpoint(run / "last") == run / "checkpoints" / "last.safetensors"


@pytest.mark.parametrize("name", ["best", "last", "any.name", "model.pt"])
def test_a_file_is_taken_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert find_checkpoint(tmp_path / name) == tmp_path / name


def test_the_folder_of_the_checkpoints_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    make_checkpoints(tmp_path / "run", "best.safetensors", "last.safetensors")
    assert refusal(tmp_path / "run/checkpoints") == (
        f"holds best.safetensors, last.safetensors: name one of them, or the run directory {tmp_path / 'run'}"
    )


@pytest.mark.parametrize("named", ["best.safetensors", "run", "run/best", "run/last"])
def test_a_checkpoint_that_is_not_there_is_refused(tmp_path: Path, named: str) -> None:
    assert refusal(tmp_path / named) == (
        "no such file; a run writes RUN/checkpoints/best.safetensors and last.safetensors"
    )


@pytest.mark.parametrize(("named", "lacking"), [("run", "best"), ("run/best", "best"), ("run/last", "last")])
def test_a_run_without_the_checkpoint_is_refused(tmp_path: Path, named: str, lacking: str) -> None:
    make_checkpoints(tmp_path / "run", "previous.safetensors")
    assert refusal(tmp_path / named) == (
        f"no checkpoints/{lacking}.safetensors in this folder; expected a checkpoint file or a run directory"
    )


@pytest.mark.parametrize("names", [["best.pt", "last.pt"], ["best.pt"], ["last.pt"]])
@pytest.mark.parametrize("named", ["run", "run/best", "run/last"])
def test_a_run_of_an_older_version_is_known(tmp_path: Path, named: str, names: list[str]) -> None:
    make_checkpoints(tmp_path / "run", *names)
    assert refusal(tmp_path / named) == (
        "an older version of maskcls trained this; its .pt checkpoints are not read any more"
    )


def test_a_checkpoint_that_cannot_be_reached_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(tmp_path / ("x" * 300)) == "File name too long"

    def refuse(self: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    assert refusal(tmp_path / "run") == "Permission denied"


def test_runs_to_compare_are_two_or_more(tmp_path: Path) -> None:
    runs = [tmp_path / "a", tmp_path / "b"]
    for run in runs:
        run.mkdir()
        write_json(run / "run.json", {})
    require_runs(runs)
    for few in ([], runs[:1]):
        with pytest.raises(UserError, match=r"^runs: expected two run directories or more, as in runs=\[A,B\]$"):
            require_runs(few)
    (tmp_path / "c").mkdir()
    with pytest.raises(
        UserError, match=rf"^runs: {re.escape(str(tmp_path))}/c is no run directory: it has no run\.json$"
    ):
        require_runs([*runs, tmp_path / "c"])


def test_a_run_starts_with_its_configuration_and_record(run: Run, config: TrainConfig) -> None:
    assert sorted(path.name for path in run.directory.iterdir()) == ["config.yaml", "run.json", "run.lock"]
    written = yaml.safe_load((run.directory / "config.yaml").read_text(encoding="utf-8"))
    assert parse("train", written) == config
    record = read_run(run.directory)
    assert record["status"] == "running"
    assert record["command"] == "maskcls-train"
    assert record["overrides"] == ["data=synthetic"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record["started"])
    assert record["versions"]["maskcls"] == maskcls.__version__
    assert set(record["versions"]) >= {"python", "torch", "torchvision", "opencv-python", "numpy", "hydra-core"}
    assert record["git_commit"] is None or re.fullmatch(r"[0-9a-f]{40}(\+changes)?", record["git_commit"])
    assert record["seconds"] == {}
    assert "exit_status" not in record


def test_a_run_is_never_written_over_another(run: Run, config: TrainConfig) -> None:
    run.finish("finished", 0)
    with pytest.raises(UserError, match=rf"^{re.escape(str(run.directory))}: holds a run already"):
        Run.start(run.directory, "train", dataclasses.replace(config, epochs=3), [])
    assert read_run(run.directory)["status"] == "finished"
    assert yaml.safe_load((run.directory / "config.yaml").read_text(encoding="utf-8"))["epochs"] == 10


def test_a_configuration_keeps_its_letters(tmp_path: Path) -> None:
    config = config_of("train", "data=folder", "data.root=얼굴 #1")
    text = (Run.start(tmp_path / "run", "train", config, []).directory / "config.yaml").read_text(encoding="utf-8")
    assert "얼굴" in text
    assert parse("train", yaml.safe_load(text)) == config


def test_phases_add_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.5, 20.0, 21.0, 30.0, 30.25])
    monkeypatch.setattr("maskcls.run.time.perf_counter", lambda: next(clock))
    for name in ("train", "validate", "train"):
        with run.phase(name):
            pass
    assert run.record["seconds"] == {"train": 2.75, "validate": 1.0}


def test_a_phase_that_fails_is_counted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.5])
    monkeypatch.setattr("maskcls.run.time.perf_counter", lambda: next(clock))
    with pytest.raises(ValueError, match="stop"), run.phase("train"):
        raise ValueError("stop")
    assert run.record["seconds"] == {"train": 2.5}


def test_epochs_are_rows_below_one_header(run: Run) -> None:
    run.write_metrics([ROW, {**ROW, "epoch": 2}])
    assert (run.directory / "metrics.csv").read_bytes() == b"epoch,val_accuracy\r\n1,0.5\r\n2,0.5\r\n"
    with (run.directory / "metrics.csv").open(newline="", encoding="utf-8") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]


@pytest.mark.parametrize(
    ("status", "exit_status", "error"),
    [("finished", 0, None), ("failed", 3, "the loss is nan"), ("interrupted", 130, "interrupted")],
)
def test_a_run_ends_with_its_status(run: Run, status: str, exit_status: int, error: str | None) -> None:
    run.record["best"] = ROW
    run.finish(status, exit_status, error)
    record = json.loads((run.directory / "run.json").read_text(encoding="utf-8"))
    assert (record["status"], record["exit_status"], record.get("error")) == (status, exit_status, error)
    assert record["best"] == ROW
    assert 0 <= record["seconds"]["total"] < 60


def test_a_run_is_resumed_by_one_process_at_a_time(run: Run) -> None:
    with pytest.raises(UserError, match="another process works on this run"):
        Run.resume(run.directory, [])
    run.finish("interrupted", 143, "interrupted")
    assert sorted(path.name for path in run.directory.iterdir()) == ["config.yaml", "run.json"]
    (run.directory / "checkpoints").mkdir()
    for name in (".last.safetensors.123.tmp", ".tmpA1b2C3"):  # of a process that was killed
        (run.directory / "checkpoints" / name).touch()
    before = (run.directory / "config.yaml").read_bytes()
    resumed = Run.resume(run.directory, ["epochs=99"])
    assert resumed.is_resumed
    assert not any((run.directory / "checkpoints").iterdir())
    assert resumed.record["status"] == "running"
    assert "error" not in resumed.record
    (entry,) = resumed.record["resumed"]
    assert entry["overrides"] == ["epochs=99"]
    assert entry["after"] == {"status": "interrupted", "exit_status": 143, "error": "interrupted"}
    assert (run.directory / "config.yaml").read_bytes() == before  # whoever finds that it can go on writes it
    assert json.loads((run.directory / "run.json").read_text())["status"] == "interrupted"  # and this, too
    assert not resumed.is_begun
    resumed.finish("finished", 0)
    assert resumed.record["seconds"]["total"] >= run.record["seconds"]["total"]


def test_no_rows_make_no_table(run: Run) -> None:
    run.write_metrics([ROW])
    run.write_metrics([])
    assert not (run.directory / "metrics.csv").exists()


def test_initial_weights_are_searched_for_under_their_own_key(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").touch()
    with pytest.raises(UserError, match=r"^init=.*: holds a\.safetensors: name one of them"):
        find_checkpoint(tmp_path, "init")


def test_a_sweep_is_no_run_but_names_its_runs(tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("0_seed-1", "1_seed-2", "2_seed-3")]
    for run in runs:
        run.mkdir()
        write_json(run / "run.json", {})
    said = f"holds the 3 runs of a sweep: name one of them, such as ckpt={runs[0]}"
    assert refusal(tmp_path) == said
    with pytest.raises(UserError) as caught:
        require_runs([tmp_path])
    assert str(caught.value) == (
        f"runs: {tmp_path} holds the 3 runs of a sweep: name them, as in runs=[{runs[0]},{runs[1]},...]"
    )
