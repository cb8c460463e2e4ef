"""Sweeps on real trainings: every job gives what it gives alone."""

import csv
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from configuration import small, start_run
from images import write_dataset
from runs import replaced

from maskcls import cli
from maskcls.commands.train import train
from maskcls.models.checkpoint import load_checkpoint
from maskcls.run import read_run
from maskcls.training.checkpoints import CheckpointWriter

pytestmark = pytest.mark.usefixtures("real_job")

SETTINGS = ("model=mycnn", "data=folder", "data.input_size=16", "data.batch_size=8", "epochs=2", "device=cpu")


def sweep(root: Path, *overrides: str) -> int:
    fixed = ["-m", *SETTINGS, f"data.root={root}", "precision=float32", "plots=false", "hydra.sweep.dir=sweep"]
    return cli.main("train", replaced(fixed, overrides))


def test_nothing_leaks_from_job_to_job(dataset: Path, tmp_path: Path) -> None:
    assert sweep(dataset, "augment=light,none", "optim=adam,sgd", "test=none") == 0
    jobs = sorted(path for path in Path("sweep").iterdir() if path.is_dir())
    assert [job.name for job in jobs] == [
        "0_augment-light_optim-adam",
        "1_augment-light_optim-sgd",
        "2_augment-none_optim-adam",
        "3_augment-none_optim-sgd",
    ]
    config = small(dataset, "augment=none", "optim=sgd", "test=none")
    train(config, start_run(tmp_path / "alone", config))
    alone = load_checkpoint(tmp_path / "alone" / "checkpoints" / "last.safetensors").weights
    in_sweep = load_checkpoint(jobs[3] / "checkpoints" / "last.safetensors").weights
    assert all(alone[name].equal(in_sweep[name]) for name in alone)


def test_a_failing_job_leaves_the_others_alone(dataset: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status = sweep(dataset, "optim.lr=0.01,1e18,0.02")
    assert status == 3
    with Path("sweep/leaderboard.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["finished", "finished", "failed"]
    assert {row["optim.lr"] for row in rows[:2]} == {"0.01", "0.02"}
    assert float(rows[0]["val_accuracy"]) >= float(rows[1]["val_accuracy"])
    assert "the loss or its gradient is not finite" in rows[2]["error"]
    failed = Path("sweep") / rows[2]["run"]
    assert json.loads((failed / "run.json").read_text())["exit_status"] == 3
    assert "the loss or its gradient is not finite" in (failed / "train.log").read_text()
    shown = capfd.readouterr()
    assert "the loss or its gradient is not finite" in shown.err
    lines = shown.out.splitlines()
    ranking = lines[next(i for i, line in enumerate(lines) if line.startswith("ranking by validation accuracy")) :]
    assert ranking[1].split() == ["run", "status", "validation", "accuracy", "test", "accuracy"]
    assert [line.split()[:2] for line in ranking[2:5]] == [[row["run"], row["status"]] for row in rows]
    assert f"{float(rows[0]['val_accuracy']):.2%}".replace("%", " %") in ranking[2]
    assert ranking[5] == f"the whole table is {Path('sweep/leaderboard.csv').absolute()}"


def test_a_sweep_that_was_broken_off_is_finished(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = ("optim=adam,sgd", "seed=1,2", "epochs=1", "test=none")
    assert sweep(dataset, *values) == 0
    Path("sweep").rename("whole")
    real = CheckpointWriter.save_if_due
    steps = iter(range(100))

    def save_if_due(self: CheckpointWriter, state: Any) -> None:
        real(self, state)
        if next(steps) == 9:  # of 6 steps a job: in the second
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointWriter, "save_if_due", save_if_due)
        assert sweep(dataset, *values) == 143
    assert f"maskcls-train resume={Path('sweep').absolute()}" in capsys.readouterr().err
    jobs = {path.name: read_run(path)["status"] for path in Path("sweep").iterdir() if path.is_dir()}
    assert jobs == {"0_optim-adam_seed-1": "finished", "1_optim-adam_seed-2": "interrupted"}
    first = Path("sweep/0_optim-adam_seed-1/run.json").read_bytes()

    assert cli.main("train", ["resume=sweep"]) == 0
    assert Path("sweep/0_optim-adam_seed-1/run.json").read_bytes() == first
    names = sorted(path.name for path in Path("whole").iterdir() if path.is_dir())
    assert sorted(path.name for path in Path("sweep").iterdir() if path.is_dir()) == names
    for name in names:
        whole, resumed = (
            load_checkpoint(Path(top, name, "checkpoints/last.safetensors")).weights for top in ("whole", "sweep")
        )
        assert all(torch.equal(whole[key], resumed[key]) for key in whole)
        assert read_run(Path("sweep", name))["status"] == "finished"
        assert "resume: null" in Path("sweep", name, "config.yaml").read_text()
    leaderboards = [Path(top, "leaderboard.csv").read_text().splitlines() for top in ("whole", "sweep")]
    assert len(leaderboards[0]) == len(leaderboards[1]) == 5
    # again, there is nothing to do
    assert cli.main("train", ["resume=sweep"]) == 0


def test_a_sweep_is_finished_from_another_folder(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("faces").symlink_to(dataset)
    assert sweep(Path("faces"), "seed=1,2", "epochs=1", "data.cache_dir=mine") == 0
    directory = Path("sweep").absolute()
    shutil.rmtree(directory / "1_seed-2")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cli.main("train", [f"resume={directory}"]) == 0
    assert read_run(directory / "1_seed-2")["data"]["root"] == str(directory.parent / "faces")
    assert not any(Path.cwd().iterdir())


def test_a_refused_resumption_leaves_a_sweep_as_it_was(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(dataset, "seed=1,2", "epochs=1") == 0
    other = write_dataset(tmp_path / "other", {"train": 6, "val": 4, "test": 4})
    kept = {path: path.read_bytes() for path in Path("sweep").rglob("*.[yj]*") if path.suffix in (".yaml", ".json")}
    capsys.readouterr()
    assert cli.main("train", ["resume=sweep", "epochs=2", f"data.root={other}"]) == 2
    assert f"{other} does not hold the files that this run began with" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in kept} == kept
    assert cli.main("train", ["resume=sweep"]) == 0
