"""The study's rows, trained and set beside the study's figures."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import study
from study import STUDY, command_of, main, named_rows, numbers, pooled, read_runs, share

from maskcls.config import CONFIG_DIR

Main = Callable[..., int]


@pytest.fixture
def run_main(monkeypatch: pytest.MonkeyPatch) -> Main:
    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["study.py", *arguments])
        return main()

    return run


def made_up(directory: Path, accuracies: list[float], status: str = "finished", **record: Any) -> None:
    """A run directory as maskcls-train writes it, with 800 validation images."""
    directory.mkdir(parents=True)
    with (directory / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "train_loss", "val_loss", "val_accuracy", "val_balanced_accuracy"])
        writer.writerows([n, 0.25, 0.125, accuracy, ""] for n, accuracy in enumerate(accuracies, start=1))
    images = {"val": {"WithMask": 400, "WithoutMask": 400}}
    content = {"status": status, "data": {"images": images}, "device": "cpu", "precision": "float32", **record}
    (directory / "run.json").write_text(json.dumps(content), encoding="utf-8")


def line(page: str, start: str) -> str:
    (found,) = [text for text in page.splitlines() if text.startswith(start)]
    return found


def test_the_table_has_the_rows_of_the_study() -> None:
    assert set(STUDY) == {path.stem for path in (CONFIG_DIR / "experiment" / "study").glob("*.yaml")}
    assert {row: len(figures.epochs) for row, figures in STUDY.items()} == {
        "resnet18_sgd": 10, "resnet18_adam": 10, "vgg16_adam": 5, "mycnn_adam": 10,
    }  # fmt: skip
    # the study's own sums: 989 and 975 of 992 images
    assert share(989, 992).startswith("99.70 % (989 of 992; ")
    assert share(975, 992).startswith("98.29 % (975 of 992; ")


def test_one_run_stands_beside_the_study_epoch_by_epoch(tmp_path: Path, run_main: Main) -> None:
    tested = {"last": {"correct": 980, "images": 992}, "best": {"correct": 990, "images": 992}}
    made_up(tmp_path / "resnet18_sgd_seed0", [0.9] * 9 + [0.98], test=tested, seconds={"total": 1234.5})
    assert run_main("--page", "--out", str(tmp_path)) == 0
    page = (tmp_path / "study.md").read_text(encoding="utf-8")
    # 798 of 800 and 784 of 800, with Wilson's intervals
    assert line(page, "| ResNet-18, SGD 0.01 | 0 | 10 | validation |") == (
        "| ResNet-18, SGD 0.01 | 0 | 10 | validation | 99.75 % (798 of 800; 99.09 to 99.93) | "
        "98.00 % (784 of 800; 96.78 to 98.77) |"
    )
    assert line(page, "| | 0 | 10 | test | 99.70 % (989 of 992; ").endswith("| 98.79 % (980 of 992; 97.90 to 99.31) |")
    assert line(page, "| 1 |") == ("| 1 | 0.2500 | 0.1250 | 90.00 % | 87.73 to 91.89 | 1 | 0.2307 | 0.3463 | 90.00 % |")
    assert "- seed 0: finished, 1,234 seconds, cpu, float32" in page
    assert "Not trained yet: resnet18_adam, vgg16_adam, mycnn_adam." in page
    assert (tmp_path / "study.png").read_bytes().startswith(b"\x89PNG")


def test_several_seeds_are_pooled(tmp_path: Path, run_main: Main) -> None:
    for seed, accuracy in enumerate((0.94, 0.95, 0.96)):
        made_up(tmp_path / f"mycnn_adam_seed{seed}", [accuracy] * 10)
    made_up(tmp_path / "mycnn_adam_seed3", [0.5], status="interrupted", error="interrupted")
    assert run_main("--page", "--out", str(tmp_path)) == 0
    page = (tmp_path / "study.md").read_text(encoding="utf-8")
    # Student's t of two degrees of freedom: 4.303 / sqrt(3) = 2.484
    assert line(page, "| MyCNN").endswith("| 95.00 % ± 1.00 (92.52 to 97.48) |")
    assert line(page, "| MyCNN").startswith("| MyCNN, Adam 0.01 | 0, 1, 2 | 10 |")
    assert line(page, "| 1 |").startswith("| 1 | 0.2500 | 0.1250 | 83.75 % | 50.00 to 96.00 | 4 |")
    assert line(page, "| 2 |").startswith("| 2 | 0.2500 | 0.1250 | 95.00 % | 94.00 to 96.00 | 3 |")
    assert "- seed 3: interrupted, cpu, float32\n" in page


def test_what_has_not_come_to_its_end_has_no_figure(tmp_path: Path, run_main: Main) -> None:
    collapses = {"try 1": {"epoch": 2, "label": 0, "train_loss": 8.7e8, "chance_loss": 0.69}}
    made_up(tmp_path / "vgg16_adam_seed0", [0.5, 0.5], status="failed", collapses=collapses, error="epoch 2: collapsed")
    assert run_main("--page", "--out", str(tmp_path)) == 0
    page = (tmp_path / "study.md").read_text(encoding="utf-8")
    assert line(page, "| VGG-16").startswith("| VGG-16, Adam 0.01 | 0 | 2 of 5 | validation | 50.00 % (400 of 800; ")
    assert line(page, "| VGG-16").endswith("| not yet |")
    assert "| test |" not in page  # the study has no such figure, nor has this run
    assert line(page, "| 1 |").endswith("| 8.71e+08 | 0.6933 | 50.00 % |")
    assert line(page, "| 3 |") == "| 3 |  |  |  |  | 0 | 0.6969 | 0.6933 | 50.00 % |"
    assert "collapsed: one class for every image, at the loss of guessing, epoch 2: collapsed" in page


def test_other_folders_are_no_runs(tmp_path: Path) -> None:
    made_up(tmp_path / "mycnn_adam_seed10", [0.9])
    made_up(tmp_path / "mycnn_adam_seed9", [0.9])
    made_up(tmp_path / "mycnn_adam_seed1_old", [0.9])
    (tmp_path / "mycnn_adam_seed2").mkdir()
    assert [run.seed for run in read_runs(tmp_path, "mycnn_adam")] == [9, 10]


def test_an_accuracy_of_all_seeds_stays_within_its_bounds() -> None:
    assert pooled([(800, 800), (799, 800)]) == "99.94 % ± 0.09 (99.14 to 100.00)"
    assert pooled([]) == "not yet"


def test_a_run_is_begun_resumed_or_skipped(tmp_path: Path) -> None:
    run, keys = tmp_path / "mycnn_adam_seed1", ["data.root=faces", "data.download=true", "device=cpu"]
    begin = ["experiment=study/mycnn_adam", "seed=1", *keys, f"hydra.run.dir={run}"]
    assert command_of(run, "mycnn_adam", 1, keys) == begin
    made_up(run, [0.9], status="interrupted")
    assert command_of(run, "mycnn_adam", 1, keys) == [f"resume={run}", "data.root=faces", "device=cpu"]
    made_up(tmp_path / "finished", [0.9])
    assert command_of(tmp_path / "finished", "mycnn_adam", 1, keys) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rows", "mycnn"), "mycnn: expected some of resnet18_sgd,resnet18_adam,vgg16_adam,mycnn_adam"),
        (("--rows", ","), "nothing: expected some of resnet18_sgd"),
        (("--seeds", "a"), "'a': expected whole numbers, such as 0,1,2"),
        (("optim.lr=1",), "optim.lr=1: expected KEY=VALUE, with one of these keys: data.download, device, "),
        (("device",), "device: expected KEY=VALUE"),
    ],
)
def test_what_is_not_understood_is_refused(
    arguments: tuple[str, ...], message: str, run_main: Main, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run_main(*arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_rows_and_seeds_are_taken_once_and_in_order() -> None:
    assert named_rows("mycnn_adam resnet18_sgd,mycnn_adam") == ["resnet18_sgd", "mycnn_adam"]
    assert numbers("2,0 2") == [2, 0]


@pytest.mark.parametrize(("status", "ran", "expected"), [(0, 2, 0), (3, 2, 3), (130, 1, 130), (-15, 1, 143)])
def test_a_failed_row_does_not_stop_the_others_but_a_signal_does(
    status: int,
    ran: int,
    expected: int,
    tmp_path: Path,
    run_main: Main,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    statuses = iter([status, 0])

    def train(command: list[str], *, check: bool) -> subprocess.CompletedProcess[bytes]:
        assert not check
        made_up(Path(command[-1].removeprefix("hydra.run.dir=")), [0.9])
        return subprocess.CompletedProcess(command, next(statuses))

    monkeypatch.setattr(subprocess, "run", train)
    assert run_main("--rows", "resnet18_sgd,mycnn_adam", "--out", str(tmp_path)) == expected
    assert len(list(tmp_path.glob("*_seed0"))) == ran
    assert (tmp_path / "study.md").is_file()
    assert ("the same command goes on from there" in capsys.readouterr().err) == (ran == 1)


def test_a_page_of_nothing_is_refused(tmp_path: Path, run_main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("--page", "--out", str(tmp_path)) == 2
    assert f"{tmp_path}: holds no epoch of any run yet" in capsys.readouterr().err


@pytest.mark.slow
def test_a_row_is_trained_and_then_skipped(dataset: Path, tmp_path: Path) -> None:
    command = [
        *(sys.executable, str(Path(study.__file__)), "--rows", "mycnn_adam", "--out", str(tmp_path / "out")),
        *(f"data.root={dataset}", "device=cpu", "plots=false"),
    ]
    first = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert first.returncode == 0, first.stderr
    assert "| MyCNN, Adam 0.01 | 0 | 10 | validation |" in (tmp_path / "out" / "study.md").read_text(encoding="utf-8")
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, f"{tmp_path}/out/mycnn_adam_seed0: finished already")
