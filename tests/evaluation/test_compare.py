"""Paired comparisons of runs, against statsmodels and worked by hand."""

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
from maskcls.evaluation.compare import Evaluated, compare_pools, mcnemar, pool, summarize, t_test


def write_run(
    directory: Path,
    correct: list[int],
    photographs: list[str] | None = None,
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
        writer.writerow(["path", "label", "prediction", "side", *(["group"] if photographs else [])])
        for i, is_right in enumerate(correct):
            shown = [photographs[i]] if photographs else []
            writer.writerow([f"{i}.png", "A", "A" if is_right else "B", side, *shown])
    return directory


def run_compare(tmp_path: Path, *runs: Path, overrides: tuple[str, ...] = ()) -> tuple[int, dict]:
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    names = ",".join(map(str, runs))
    status = cli.main("compare", [f"runs=[{names}]", f"hydra.run.dir={tmp_path / 'out'}", *overrides])
    path = tmp_path / "out" / "comparison.json"
    return status, json.loads(path.read_text()) if path.exists() else {}


def evaluated(correct: list[int], name: str = "a") -> Evaluated:
    answers = {str(i): bool(is_right) for i, is_right in enumerate(correct)}
    return Evaluated(name, {}, {"seed": 0}, dict.fromkeys(answers, ("A", "32")), answers, {})


def compare_answers(
    first: list[list[int]], second: list[list[int]], photographs: list[str] | None = None
) -> dict[str, Any]:
    """`compare_pools` of runs given by their answers."""
    paths = [str(i) for i in range(len(first[0]))]
    pools = ([evaluated(answers) for answers in runs] for runs in (first, second))
    return compare_pools(*pools, paths, np.array(photographs or paths, dtype=object), 0)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (5, 5), (10, 2), (0, 6), (30, 12)])
def test_the_exact_test_is_that_of_statsmodels(b: int, c: int) -> None:
    from statsmodels.stats.contingency_tables import mcnemar as reference

    expected = 1.0 if b + c == 0 else reference([[50, b], [c, 3]], exact=True).pvalue
    assert mcnemar(b, c) == pytest.approx(expected, abs=1e-9)


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
    low, high = row["difference_interval_95"]
    assert (low, high) == pytest.approx((-0.335, -0.165), abs=0.02)
    output = capsys.readouterr().out
    assert "b=한글 against a: -25.00 points" in output
    assert "beyond noise" in output


def test_a_small_difference_is_within_noise(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", [1] * 96 + [0] * 4)
    b = write_run(tmp_path / "b", [1] * 94 + [0] * 4 + [1] * 2, model="b")
    _, content = run_compare(tmp_path, a, b)
    (row,) = content["comparisons"]
    assert row["mcnemar_p"] == pytest.approx(mcnemar(2, 2))
    assert row["beyond_noise"] is False


def test_copies_of_one_photograph_are_no_evidence_of_their_own() -> None:
    # forty files of four photographs, two of which one model gets right, and the other does not
    a, b = [1] * 40, [1] * 20 + [0] * 20
    assert compare_answers([a], [b])["beyond_noise"] is True
    grouped = compare_answers([a], [b], [f"p{i // 10}" for i in range(40)])
    assert grouped["beyond_noise"] is False
    assert grouped["difference_interval_95"] == (-1.0, 0.0)


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


def test_a_pool_keeps_the_order_of_its_runs() -> None:
    runs = [
        Evaluated(name, {"lr": lr}, {"seed": 0}, {"p": ("A", "")}, {"p": True}, {})
        for name, lr in (("a", 1), ("b", 2), ("c", 1))
    ]
    assert [[run.name for run in members] for members in pool(runs)] == [["a", "c"], ["b"]]
    assert summarize([runs[0]], ["p"], np.array(["p"]), 0)["accuracy_interval_95"][1] == 1


def test_runs_on_other_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write_run(tmp_path / "a", [1, 1]), write_run(tmp_path / "b", [1, 1, 0])
    assert run_compare(tmp_path, a, b)[0] == 2
    message = capsys.readouterr().err
    assert (
        message
        == "maskcls-compare: runs: a and b were not evaluated on the same files: 1 are in one alone, such as 2.png\n"
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
    assert "not evaluated on the same files: 1 are of another class, such as 1.png" in capsys.readouterr().err


def test_few_different_answers_are_within_noise_whether_files_share_photographs_or_not() -> None:
    a, b = [1] * 1000, [0] * 4 + [1] * 996
    for photographs in (None, [*(str(i) for i in range(999)), "998"]):
        row = compare_answers([a], [b], photographs)
        assert row["mcnemar_p"] == pytest.approx(0.125)
        assert row["beyond_noise"] is False


def test_runs_on_files_of_other_sizes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write_run(tmp_path / "a", [1, 1]), write_run(tmp_path / "b", [1, 1], side=64)
    assert run_compare(tmp_path, a, b)[0] == 2
    assert "not evaluated on the same files: 2 are of another size, such as 0.png" in capsys.readouterr().err


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
    assert "12 files, which of them show one photograph is not known" in shown
    assert " over photographs, " in shown
    assert content["groups"] is None


def test_doubtful_pools_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / name, [1, 0], commit=name) for name in "ab"]
    assert run_compare(tmp_path, *runs)[0] == 0
    output = capsys.readouterr()
    assert "a, b: some have the same seed, so that they are less than 2 repetitions" in output.err + output.out
    assert "a, b: pooled, though they were made with different commits" in output.err + output.out


def test_the_photographs_are_those_of_whichever_run_knows_them(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", [1, 1]), write_run(tmp_path / "b", [1, 1], photographs=["p", "p"], model="b")
    assert run_compare(tmp_path, a, b)[1]["groups"] == 1


@pytest.mark.parametrize(("first", "second"), [([0.9, 0.92, 0.91], [0.93, 0.97]), ([0.9, 0.95, 0.91], [0.99])])
def test_the_test_over_runs_is_that_of_scipy(first: list[float], second: list[float]) -> None:
    from scipy.stats import ttest_ind

    expected = ttest_ind(first, second, equal_var=len(second) == 1)
    p, interval = t_test(np.array(first), np.array(second))
    assert p == pytest.approx(expected.pvalue, abs=1e-9)
    if len(second) > 1:
        assert interval == pytest.approx(tuple(expected.confidence_interval(0.95)), abs=1e-9)


def test_the_interval_over_runs_is_that_of_statsmodels() -> None:
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    one, other = np.array([0.9, 0.95, 0.91]), np.array([0.99, 0.93])
    assert t_test(one)[1] == pytest.approx(DescrStatsW(one).tconfint_mean(), abs=1e-9)
    expected = CompareMeans(DescrStatsW(one), DescrStatsW(other)).tconfint_diff(usevar="unequal")
    assert t_test(one, other)[1] == pytest.approx(expected, abs=1e-9)
    # by hand: of one run against three only these know the spread, at 2 degrees of freedom
    deviation = one.std(ddof=1)
    reach = 4.302652729911275 * deviation * np.sqrt(1 / 3 + 1)
    assert t_test(one, other[:1])[1] == pytest.approx((-0.07 - reach, -0.07 + reach), abs=1e-9)


def test_runs_that_are_all_alike_leave_no_doubt() -> None:
    assert t_test(np.array([0.9, 0.9]), np.array([0.9])) == (1, (0, 0))
    p, (low, high) = t_test(np.array([0.9, 0.9]), np.array([0.8, 0.8]))
    assert p == 0
    assert low == high == pytest.approx(0.1)


def test_training_that_jumps_is_noise_however_many_files_there_are() -> None:
    # of each pool one run is perfect and one is bad; their means differ on every tenth file
    steady = [[1] * 1000, [1] * 1000]
    jumping = [[1] * 1000, [0] * 200 + [1] * 800]
    row = compare_answers(steady, jumping)
    assert row["difference_interval_95"][1] < 0
    assert row["t_test_p"] == pytest.approx(0.5)
    assert row["beyond_noise"] is False
    assert compare_answers(steady, [[0] * 200 + [1] * 800] * 2)["beyond_noise"] is True
