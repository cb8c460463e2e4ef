"""The comparison command, from run directories to its file, its tables and its exit status."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from configuration import small, start_run
from tables import read_table

from maskcls import cli
from maskcls.commands.train import train


def write_run(
    directory: Path,
    correct: list[int],
    groups: list[str] | None = None,
    split: str = "test",
    commit: str = "c",
    side: int = 32,
    **settings: object,
) -> Path:
    """A run that was evaluated, right where ``correct`` is 1."""
    (directory / "evaluation" / split).mkdir(parents=True)
    (directory / "run.json").write_text(json.dumps({"git_commit": commit}))
    (directory / "config.yaml").write_text(yaml.safe_dump({"model": "a", "seed": 0, **settings}))
    with (directory / "evaluation" / split / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "prediction", "side", *(["group"] if groups else [])])
        for i, is_right in enumerate(correct):
            shown = [groups[i]] if groups else []
            writer.writerow([f"{i}.png", "A", "A" if is_right else "B", side, *shown])
    return directory


def run_compare(tmp_path: Path, *runs: Path, overrides: tuple[str, ...] = ()) -> tuple[int, dict[str, Any]]:
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    names = ",".join(map(str, runs))
    status = cli.main("compare", [f"runs=[{names}]", f"hydra.run.dir={tmp_path / 'out'}", *overrides])
    path = tmp_path / "out" / "comparison.json"
    return status, json.loads(path.read_text()) if path.exists() else {}


def test_runs_on_the_same_files_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = [1] * 95 + [0] * 5, [1] * 70 + [0] * 30
    a, b = write_run(tmp_path / "a", good), write_run(tmp_path / "b=한글", bad, model="b")
    status, content = run_compare(tmp_path, a, b)
    assert status == 0
    assert (content["split"], content["files"], content["groups"]) == ("test", 100, None)
    assert [row["accuracy"] for row in content["runs"]] == [0.95, 0.7]
    (row,) = content["comparisons"]
    assert row["difference"] == pytest.approx(-0.25)
    assert (row["right_in_first_alone"], row["right_in_second_alone"]) == (25, 0)
    assert row["mcnemar_p"] == pytest.approx(2 * 0.5**25)
    assert row["beyond_noise"] is True
    low, high = row["difference_interval_95_by_group"]
    assert (low, high) == pytest.approx((-0.335, -0.165), abs=0.02)
    # a wide letter takes two columns
    assert capsys.readouterr().out.splitlines()[:7] == [
        "accuracy on test, 100 files (which show one photograph is not known):",
        "  accuracy  95 % interval over files  runs",
        "   95.00 %  88.82 to 97.85            a",
        "   70.00 %  60.42 to 78.11            b=한글",
        "difference from a:",
        "  points  95 % interval over files  p-value             verdict       runs",
        "  -25.00  -34.00 to -17.00          5.96e-08 (McNemar)  beyond noise  b=한글",
    ]


def test_a_small_difference_is_within_noise(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", [1] * 96 + [0] * 4)
    b = write_run(tmp_path / "b", [1] * 94 + [0] * 4 + [1] * 2, model="b")
    _, content = run_compare(tmp_path, a, b)
    (row,) = content["comparisons"]
    assert row["mcnemar_p"] == 1
    assert row["beyond_noise"] is False


def test_runs_that_differ_in_their_seed_are_pooled(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    answers = [(rng.uniform(size=200) < 0.9).astype(int).tolist() for _ in range(3)]
    seeds = [write_run(tmp_path / f"s{i}", answers[i], seed=i) for i in range(3)]
    other = write_run(tmp_path / "other", [0] * 200, model="b")
    _, content = run_compare(tmp_path, seeds[0], other, seeds[1], seeds[2])
    pooled, single = content["runs"]
    assert pooled["runs"] == ["s0", "s1", "s2"]
    accuracies = [np.mean(of_run) for of_run in answers]
    assert pooled["accuracy"] == pytest.approx(np.mean(accuracies), abs=1e-12)
    assert pooled["std"] == pytest.approx(np.std(accuracies, ddof=1), abs=1e-12)
    assert (single["runs"], single["accuracy"], single["std"]) == (["other"], 0, None)
    (row,) = content["comparisons"]
    assert "mcnemar_p" not in row
    assert row["beyond_noise"] is True


def test_runs_on_other_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write_run(tmp_path / "a", [1, 1]), write_run(tmp_path / "b", [1, 1, 0])
    assert run_compare(tmp_path, a, b)[0] == 2
    message = capsys.readouterr().err
    assert (
        message == "maskcls-compare: runs: a and b were not evaluated on the same files: "
        "only one of them has 1 of 3 files, such as 2.png\n"
    )
    assert not (tmp_path / "out").exists()


def test_the_evaluation_is_the_one_that_all_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write_run(tmp_path / "a", [1, 1]), write_run(tmp_path / "b", [1, 1], split="val")
    assert run_compare(tmp_path, a, b)[0] == 2
    assert (
        "expected one evaluation that all of them have, or split=...: a has test; b has val" in capsys.readouterr().err
    )
    write_run(tmp_path / "c", [1, 0], split="val")
    assert run_compare(tmp_path, b, tmp_path / "c")[1]["split"] == "val"
    assert run_compare(tmp_path, a, b, overrides=("split=val",))[0] == 2
    assert f"split=val: {a} has evaluations of test" in capsys.readouterr().err


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write_run(tmp_path / "a", [1])
    assert run_compare(tmp_path, a, tmp_path / "none")[0] == 2
    assert f"runs: {tmp_path / 'none'} is no run directory" in capsys.readouterr().err
    b = write_run(tmp_path / "b", [1])
    (a / "evaluation" / "test" / "predictions.csv").write_text("path\nx\n")
    assert run_compare(tmp_path, a, b)[0] == 2
    assert "its evaluation cannot be read" in capsys.readouterr().err
    assert read_table(a / "evaluation" / "test" / "predictions.csv") == [{"path": "x"}]


def test_one_run_is_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write_run(tmp_path / "a", [1])
    assert run_compare(tmp_path, a)[0] == 2
    assert cli.main("compare", [f"runs={a}"]) == 2
    expected = "maskcls-compare: runs: expected two run directories or more, as in runs=[A,B]\n"
    assert capsys.readouterr().err == expected * 2


def test_runs_on_other_labels_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write_run(tmp_path / "a", [1, 1]), write_run(tmp_path / "b", [1, 1])
    table = b / "evaluation" / "test" / "predictions.csv"
    table.write_text(table.read_text().replace("1.png,A,A", "1.png,B,B"))
    assert run_compare(tmp_path, a, b)[0] == 2
    assert (
        "not evaluated on the same files: the class differs for 1 of 2 files, such as 1.png" in capsys.readouterr().err
    )


def test_runs_on_files_of_other_sizes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write_run(tmp_path / "a", [1, 1]), write_run(tmp_path / "b", [1, 1], side=64)
    assert run_compare(tmp_path, a, b)[0] == 2
    assert (
        "not evaluated on the same files: the size differs for 2 of 2 files, such as 0.png" in capsys.readouterr().err
    )


def test_a_run_is_not_compared_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write_run(tmp_path / "a", [1])
    (tmp_path / "link").symlink_to(a)
    assert run_compare(tmp_path, a, tmp_path / "link")[0] == 2
    assert capsys.readouterr().err == f"maskcls-compare: runs: {a} is given twice\n"


def test_evaluations_of_checkpoints_are_pooled_by_their_trainings(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluations = []
    for optim, seed in (("sgd", 1), ("sgd", 2), ("adam", 1)):
        config = small(dataset, f"optim={optim}", f"seed={seed}", "epochs=1", "test=none")
        train(config, start_run(tmp_path / f"{optim}{seed}", config))
        evaluations.append(tmp_path / f"evaluation_{optim}{seed}")
        ckpt = f"ckpt={tmp_path / f'{optim}{seed}'}"
        assert cli.main("eval", [ckpt, "plots=false", f"hydra.run.dir={evaluations[-1]}"]) == 0
    status, content = run_compare(tmp_path, *evaluations)
    assert status == 0
    assert [row["runs"] for row in content["runs"]] == [["evaluation_sgd1", "evaluation_sgd2"], ["evaluation_adam1"]]
    low, high = content["runs"][0]["accuracy_interval_95_by_run"]
    assert low <= content["runs"][0]["accuracy"] <= high
    shown = capsys.readouterr().out
    assert "accuracy on test, 12 files (which show one photograph is not known):" in shown
    assert "95 % interval over files  95 % interval over runs" in shown
    assert content["groups"] is None


def test_doubtful_pools_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / name, [1, 0], commit=name) for name in "ab"]
    assert run_compare(tmp_path, *runs)[0] == 0
    output = capsys.readouterr()
    assert output.err == (
        "a, b: some of these 2 runs have the same seed: they do not count as repetitions\n"
        "a, b: these runs are pooled, but were made with different commits\n"
    )
    assert "they form one pool, and there is nothing to compare" in output.out


def test_the_groups_are_those_of_whichever_run_knows_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write_run(tmp_path / "a", [1, 1]), write_run(tmp_path / "b", [1, 1], groups=["p", "p"], model="b")
    assert run_compare(tmp_path, a, b)[1]["groups"] == 1
    assert "accuracy on test, 2 files of 1 photographs:" in capsys.readouterr().out
