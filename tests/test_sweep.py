"""Sweeps on real trainings: every job gives what it gives alone."""

import csv
import json
from pathlib import Path

from configuration import small, start_run

from maskcls import cli
from maskcls.models.checkpoint import load_checkpoint
from maskcls.training.job import train

SETTINGS = ("model=mycnn", "data=folder", "data.input_size=16", "data.batch_size=8", "epochs=2", "device=cpu")


def sweep(root: Path, *overrides: str) -> int:
    arguments = ["-m", *SETTINGS, f"data.root={root}", "precision=float32", "plots=false", *overrides]
    return cli.main("train", [*arguments, "hydra.sweep.dir=sweep"])


def test_nothing_leaks_from_job_to_job(dataset: Path, tmp_path: Path) -> None:
    assert sweep(dataset, "augment=light,none", "optim=adam,sgd") == 0
    jobs = sorted(path for path in Path("sweep").iterdir() if path.is_dir())
    assert [job.name for job in jobs] == [
        "0_augment-light_optim-adam",
        "1_augment-light_optim-sgd",
        "2_augment-none_optim-adam",
        "3_augment-none_optim-sgd",
    ]
    config = small(dataset, "augment=none", "optim=sgd")
    train(config, start_run(tmp_path / "alone", config))
    alone = load_checkpoint(tmp_path / "alone" / "checkpoints" / "last.pt")["model"]
    in_sweep = load_checkpoint(jobs[3] / "checkpoints" / "last.pt")["model"]
    assert all(alone[name].equal(in_sweep[name]) for name in alone)


def test_a_failing_job_leaves_the_others_alone(dataset: Path, capfd) -> None:
    status = sweep(dataset, "optim.lr=0.01,1e18,0.02")
    assert status == 3
    with Path("sweep/leaderboard.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["finished", "finished", "failed"]
    assert {row["optim.lr"] for row in rows[:2]} == {"0.01", "0.02"}
    assert float(rows[0]["val_accuracy"]) >= float(rows[1]["val_accuracy"])
    assert "the training loss is" in rows[2]["error"]
    failed = Path("sweep") / rows[2]["run"]
    assert json.loads((failed / "run.json").read_text())["exit_status"] == 3
    assert "the training loss is" in (failed / "train.log").read_text()
    assert "the training loss is" in capfd.readouterr().err


def test_a_large_number_is_not_named_like_a_small_one() -> None:
    assert cli._slug(3, "optim.lr=1e+18,optim=sgd") == "3_optim.lr-1e18_optim-sgd"
