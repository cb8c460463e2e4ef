"""Whole commands on a system that refuses and lacks what Windows does. All of it is faked: see tests/windows.py."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import windows
from runs import figures, interrupt_at, resume, train
from tables import read_table

from maskcls import cli
from maskcls.run import read_run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fakes ask /proc what is open")

SMALL = ("model=mycnn", "data.input_size=16", "data.batch_size=8", "device=cpu")


@pytest.fixture
def _windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system like Windows. It leaves no file that has a name of the moment only."""
    with monkeypatch.context() as patch:
        windows.pretend(patch)
        yield
    assert [str(path) for path in Path.cwd().parent.rglob(".*.tmp")] == []
    assert [str(path) for path in Path.cwd().parent.rglob("*.lock")] == []


@pytest.mark.usefixtures("_windows")
def test_the_fake_refuses_what_windows_refuses(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "file"
    path.write_bytes(b"x")
    os.link(path, tmp_path / "link")
    with path.open("rb") as file:
        for attempt in (
            path.unlink,
            (tmp_path / "link").unlink,
            lambda: path.replace(tmp_path / "other"),
            lambda: (tmp_path / "folder").rename(tmp_path / "other"),
            lambda: os.open(tmp_path, os.O_RDONLY),
        ):
            with pytest.raises(PermissionError):
                attempt()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fsync(file.fileno())
    (tmp_path / "folder").rename(tmp_path / "other")
    (tmp_path / "link").unlink()


@pytest.mark.usefixtures("_windows")
def test_a_training_is_resumed_measured_and_used(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt_at(8, signal.SIGTERM, patch)
        assert train(dataset, run, *SMALL, "epochs=2", "test=none") == 128 + signal.SIGTERM
    assert resume(run, "epochs=1") == 2  # the second epoch has begun
    assert resume(run) == 0
    assert train(dataset, tmp_path / "whole", *SMALL, "epochs=2", "test=best") == 0
    assert figures(run) == figures(tmp_path / "whole")
    assert resume(run, "epochs=3", "test=best") == 0
    assert resume(run, "epochs=4", "test=best") == 0  # sets the evaluation aside
    assert (run / "evaluation_3_epochs").is_dir()
    assert cli.main("eval", [f"ckpt={run}", "hydra.run.dir=eval"]) == 0
    assert cli.main("compare", [f"runs=[{run},{tmp_path / 'whole'}]", "hydra.run.dir=compare"]) == 0
    source = ("save=true", "report=true", f"source={dataset / 'Test'}")
    assert cli.main("predict", [f"ckpt={run}", "hydra.run.dir=predict", *source]) == 0
    assert len(read_table(Path("predict/predictions.csv"))) == 12
    assert Path("predict/gallery.html").is_file()
    assert "defect" not in capsys.readouterr().err


@pytest.mark.usefixtures("_windows")
def test_a_sweep_an_audit_and_a_run_that_is_refused(dataset: Path, tmp_path: Path) -> None:
    sweep = ["-m", *SMALL, "data=folder", f"data.root={dataset}", "optim=sgd,adam", "epochs=1", "plots=false"]
    assert cli.main("train", [*sweep, "hydra.sweep.dir=sweep"]) == 0
    assert len(read_table(Path("sweep/leaderboard.csv"))) == 2
    assert cli.main("train", ["resume=sweep"]) == 0
    assert cli.main("audit", [f"data.root={dataset}", "hydra.run.dir=audit"]) == 0
    assert Path("audit/report.html").is_file()
    (tmp_path / "set/A").mkdir(parents=True)
    (tmp_path / "set/A/1.png").write_text("no image")
    (tmp_path / "set/B").mkdir()
    (tmp_path / "set/B/1.png").write_text("no image")
    assert train(tmp_path / "set", tmp_path / "refused", *SMALL) == 2
    assert not (tmp_path / "refused").exists()


@pytest.mark.usefixtures("_windows")
def test_an_export_in_int8(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert train(dataset, tmp_path / "run", *SMALL, "epochs=1", "test=none") == 0
    assert cli.main("export", [f"ckpt={tmp_path / 'run'}", "int8=true", "hydra.run.dir=export"]) == 0
    assert Path("export/model_int8.onnx").is_file()


def test_a_process_that_lacks_signals_and_modules_from_its_start(tmp_path: Path) -> None:
    """Its output goes where letters of other alphabets cannot be written."""
    run, faces = tmp_path / "실행", tmp_path / "얼굴"
    counts = [f"data.{split}_images=16" for split in ("train", "val", "test")]
    command = ["train", "data=synthetic", "model=mycnn", "epochs=1", "device=cpu", "plots=false", *counts]
    ended = subprocess.run(
        [sys.executable, windows.__file__, *command, f"data.root={faces}", f"hydra.run.dir={run}"],
        env={**os.environ, "PYTHONIOENCODING": "cp1252:strict", "PYTHONWARNDEFAULTENCODING": "1"},
        capture_output=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert b"everything is in " + str(run).encode("cp1252", "backslashreplace") in ended.stdout
    assert read_run(run)["status"] == "finished"
