"""Paired comparisons of runs, against statsmodels and worked by hand."""

from typing import Any

import numpy as np
import pytest

from maskcls.evaluation.compare import (
    Comparison,
    Pool,
    as_json,
    compare_pools,
    doubts,
    mcnemar,
    pool,
    summarize,
    t_test,
)
from maskcls.evaluation.metrics import proportion_interval
from maskcls.evaluation.runs import EvaluatedRun


def evaluated(name: str, correct: list[int] | None = None, settings: Any = None, **origin: Any) -> EvaluatedRun:
    """A run that was evaluated on files 0, 1, ..., right where ``correct`` is 1."""
    answers = {str(i): bool(is_right) for i, is_right in enumerate(correct or [1])}
    files = dict.fromkeys(answers, ("A", "32"))
    return EvaluatedRun(
        name, settings or {}, {"seed": 0, "git_commit": "c", "versions": {}} | origin, files, answers, {}
    )


def pool_of(answers: list[list[int]], name: str = "run") -> Pool:
    runs = tuple(evaluated(f"{name}{seed}", correct, seed=seed) for seed, correct in enumerate(answers))
    return Pool(runs, np.array(answers, dtype=bool))


def compare_answers(first: list[list[int]], second: list[list[int]], groups: list[str] | None = None) -> Comparison:
    """`compare_pools` of runs given by their answers; each file is a group of its own unless groups are given."""
    names = np.array(groups or [str(i) for i in range(len(first[0]))], dtype=object)
    return compare_pools(first=pool_of(first, "a"), second=pool_of(second, "b"), groups=names, seed=0)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (5, 5), (10, 2), (0, 6), (30, 12)])
def test_the_exact_test_is_that_of_statsmodels(b: int, c: int) -> None:
    from statsmodels.stats.contingency_tables import mcnemar as reference

    expected = 1.0 if b + c == 0 else reference([[50, b], [c, 3]], exact=True).pvalue
    assert mcnemar(b, c) == pytest.approx(expected, abs=1e-9)


def test_copies_of_one_photograph_are_no_evidence_of_their_own() -> None:
    # forty files of four photographs, two of which one model gets right, and the other does not
    a, b = [1] * 40, [1] * 20 + [0] * 20
    assert compare_answers([a], [b]).beyond_noise is True
    grouped = compare_answers([a], [b], [f"p{i // 10}" for i in range(40)])
    assert grouped.beyond_noise is False
    assert grouped.difference_interval_95_by_group == (-1.0, 0.0)


@pytest.mark.parametrize(("files", "groups", "reach"), [(6, 6, 0.390), (60, 6, 0.390), (60, 60, 0.060)])
def test_equal_answers_do_not_make_a_difference_certain(files: int, groups: int, reach: float) -> None:
    answers = [1] * (files - 1) + [0]
    found = compare_answers([answers], [answers], [f"p{i % groups}" for i in range(files)])
    assert found.beyond_noise is False
    assert found.difference_interval_95_by_group == pytest.approx((-reach, reach), abs=1e-3)


def test_a_pool_keeps_the_order_of_its_runs() -> None:
    runs = [evaluated(name, settings={"lr": lr}) for name, lr in (("a", 1), ("b", 2), ("c", 1))]
    assert [members.names for members in pool(runs, ["0"])] == [["a", "c"], ["b"]]


def test_the_answers_of_a_pool_are_in_the_order_of_the_files() -> None:
    (found,) = pool([evaluated("a", [1, 0, 1]), evaluated("b", [0, 0, 1])], ["2", "0", "1"])
    assert found.is_correct.tolist() == [[True, True, False], [True, False, False]]


def test_a_single_run_has_wilsons_interval_and_no_spread() -> None:
    found = as_json(summarize(pool_of([[1] * 8 + [0] * 2]), np.arange(10), seed=0))
    assert found.pop("accuracy_interval_95") == proportion_interval(8, total=10)
    # no two of the files show one photograph
    assert found.pop("accuracy_interval_95_by_group") == proportion_interval(8, total=10)
    assert found == {"runs": ["run0"], "accuracy": 0.8, "accuracies": [0.8], "std": None}


def test_several_runs_have_a_spread_and_an_interval_over_runs() -> None:
    answers = [[1] * 9 + [0], [1] * 8 + [0] * 2, [1] * 7 + [0] * 3]
    found = as_json(summarize(pool_of(answers), np.arange(10), seed=0))
    assert found["accuracies"] == [0.9, 0.8, 0.7]
    assert found["accuracy"] == pytest.approx(0.8)
    assert found["std"] == pytest.approx(0.1)
    reach = 4.302652729911275 * 0.1 / np.sqrt(3)  # Student's t at 2 degrees of freedom
    assert found["accuracy_interval_95_by_run"] == pytest.approx((0.8 - reach, 1))
    assert "accuracy_interval_95" not in found


def test_figures_that_do_not_apply_are_left_out() -> None:
    single = as_json(compare_answers([[1, 1, 0]], [[1, 0, 0]]))
    assert (single["first"], single["second"]) == (["a0"], ["b0"])
    assert (single["right_in_first_alone"], single["right_in_second_alone"], single["mcnemar_p"]) == (1, 0, 1.0)
    assert "t_test_p" not in single
    several = as_json(compare_answers([[1, 1, 0], [1, 0, 0]], [[1, 0, 0]]))
    assert several["second"] == ["b0"]
    assert several.keys() == {
        "first", "second", "difference", "difference_interval_95_by_group", "beyond_noise", "t_test_p",
        "difference_interval_95_by_run",
    }  # fmt: skip


def test_runs_that_are_no_repetitions_are_doubted() -> None:
    def doubts_of(*runs: EvaluatedRun) -> list[str]:
        return doubts(Pool(runs, np.ones((len(runs), 1), dtype=bool)))

    assert doubts_of(evaluated("a", seed=1), evaluated("b", seed=2)) == []
    assert doubts_of(evaluated("a", seed=1), evaluated("b", seed=1), evaluated("c", seed=2)) == [
        "a, b, c: some of these 3 runs have the same seed: they do not count as repetitions"
    ]
    other = evaluated("b", seed=2, git_commit="d", versions={"torch": "2.10"})
    assert doubts_of(evaluated("a", seed=1), other) == [
        "a, b: these runs are pooled, but were made with different commits",
        "a, b: these runs are pooled, but were made with different package versions",
    ]


def test_few_different_answers_are_within_noise_whether_files_share_groups_or_not() -> None:
    a, b = [1] * 1000, [0] * 4 + [1] * 996
    for groups in (None, [*(str(i) for i in range(999)), "998"]):
        row = compare_answers([a], [b], groups)
        assert row.mcnemar_p == pytest.approx(0.125)
        assert row.beyond_noise is False


def test_the_test_over_runs_is_that_of_statsmodels() -> None:
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    one, other = np.array([0.9, 0.95, 0.91]), np.array([0.99, 0.93])
    assert t_test(one)[1] == pytest.approx(DescrStatsW(one).tconfint_mean(), abs=1e-9)
    reference = CompareMeans(DescrStatsW(one), DescrStatsW(other))
    p, interval = t_test(one, other)
    assert p == pytest.approx(reference.ttest_ind(usevar="unequal")[1], abs=1e-9)
    assert interval == pytest.approx(reference.tconfint_diff(usevar="unequal"), abs=1e-9)


def test_of_one_run_against_several_the_spread_is_that_of_the_several() -> None:
    from scipy.stats import t

    several, single = np.array([0.9, 0.95, 0.91]), np.array([0.99])
    p, interval = t_test(several, single)
    # by hand, at 2 degrees of freedom
    error = several.std(ddof=1) * np.sqrt(1 / 3 + 1)
    reach = 4.302652729911275 * error
    assert interval == pytest.approx((-0.07 - reach, -0.07 + reach), abs=1e-9)
    assert p == pytest.approx(2 * t.sf(0.07 / error, 2), abs=1e-9)
    assert t_test(single, several)[1] == pytest.approx((0.07 - reach, 0.07 + reach), abs=1e-9)


def test_runs_that_are_all_alike_leave_no_doubt() -> None:
    assert t_test(np.array([0.9, 0.9]), np.array([0.9])) == (1, (0, 0))
    p, (low, high) = t_test(np.array([0.9, 0.9]), np.array([0.8, 0.8]))
    assert p == 0
    assert low == high == pytest.approx(0.1)
    # three times 0.1 has a mean that is not 0.1, and would seem to vary
    assert t_test(np.full(3, 0.1)) == (0, (0.1, 0.1))


def test_training_that_jumps_is_noise_however_many_files_there_are() -> None:
    # of each pool one run is perfect and one is bad; their means differ on every tenth file
    steady = [[1] * 1000, [1] * 1000]
    jumping = [[1] * 1000, [0] * 200 + [1] * 800]
    row = compare_answers(steady, jumping)
    assert row.difference_interval_95_by_group[1] < 0
    assert row.t_test_p == pytest.approx(0.5)
    assert row.beyond_noise is False
    assert compare_answers(steady, [[0] * 200 + [1] * 800] * 2).beyond_noise is True


def test_intervals_over_runs_stay_within_what_a_share_can_be() -> None:
    # Student's interval of two runs is more than twelve times as wide as their difference
    pooled = pool_of([[1] * 8 + [0] * 2, [1] * 9 + [0]])
    assert t_test(pooled.is_correct.mean(axis=1))[1][1] > 1.2
    found = summarize(pooled, np.arange(10), seed=0)
    assert found.accuracy_interval_95_by_run == pytest.approx((0.215, 1), abs=1e-3)
    other = compare_answers([[1] * 10, [0] * 10], [[0] * 10, [1] * 10])
    assert other.difference_interval_95_by_run == (-1.0, 1.0)
