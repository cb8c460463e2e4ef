"""Paired tests of runs that were evaluated on the same files."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from maskcls.evaluation.metrics import accuracy_interval_by_group, bootstrapped_interval, proportion_interval
from maskcls.evaluation.runs import EvaluatedRun

Interval = tuple[float, float]

# a p-value below this counts as a difference that chance does not explain
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Pool:
    """Runs that differ only in their seed.

    Attributes:
        runs: the runs, in the order in which they were given.
        is_correct: bool [runs, files], whether each run is right about each file.
    """

    runs: tuple[EvaluatedRun, ...]
    is_correct: np.ndarray

    @property
    def names(self) -> list[str]:
        """Names of the runs' directories."""
        return [run.name for run in self.runs]


@dataclass(frozen=True)
class PoolSummary:
    """Accuracy of a pool, 0..1.

    Attributes:
        runs: names of the runs' directories.
        accuracy: mean accuracy of the runs.
        accuracies: accuracy of each run.
        std: sample standard deviation of the accuracies; None for a single run.
        accuracy_interval_95_by_group: interval over groups of files, as `accuracy_interval_by_group` computes it.
        accuracy_interval_95_by_run: Student's interval over runs, cut off at 0 and 1; None for a single run.
        accuracy_interval_95: Wilson's interval of a single run; None for several runs.
    """

    runs: list[str]
    accuracy: float
    accuracies: list[float]
    std: float | None
    accuracy_interval_95_by_group: Interval
    accuracy_interval_95_by_run: Interval | None = None
    accuracy_interval_95: Interval | None = None


@dataclass(frozen=True)
class Comparison:
    """Difference in accuracy between two pools.

    Attributes:
        first, second: names of the runs in each pool.
        difference: mean accuracy of the second pool minus that of the first, -1..1.
        difference_interval_95_by_group: interval of the paired difference over groups, see `difference_interval`.
        beyond_noise: whether chance does not explain the difference.
        right_in_first_alone, right_in_second_alone: number of files that only one of two single runs is right about.
        mcnemar_p: p-value of McNemar's test, for two single runs.
        t_test_p: p-value of the t-test over the runs' accuracies, where a pool has several runs.
        difference_interval_95_by_run: interval of the difference over runs, where a pool has several runs.
    """

    first: list[str]
    second: list[str]
    difference: float
    difference_interval_95_by_group: Interval
    beyond_noise: bool
    right_in_first_alone: int | None = None
    right_in_second_alone: int | None = None
    mcnemar_p: float | None = None
    t_test_p: float | None = None
    difference_interval_95_by_run: Interval | None = None


def as_json(figures: PoolSummary | Comparison) -> dict[str, Any]:
    """Figures as ``comparison.json`` holds them: those that do not apply are left out, except ``std``."""
    return {key: value for key, value in asdict(figures).items() if value is not None or key == "std"}


def pool(runs: Sequence[EvaluatedRun], paths: Sequence[str]) -> list[Pool]:
    """Group runs by their settings. Pools stand in the order of their first runs."""
    pools: list[Pool] = []
    for run in runs:
        if all(run.settings != known.runs[0].settings for known in pools):
            members = tuple(other for other in runs if other.settings == run.settings)
            pools.append(Pool(members, np.array([[one.is_correct[path] for path in paths] for one in members])))
    return pools


def doubts(pooled: Pool) -> list[str]:
    """Say why the runs of a pool may not be independent repetitions of one training."""
    names = ", ".join(pooled.names)
    origins = [run.origin for run in pooled.runs]
    found = []
    if len({origin["seed"] for origin in origins}) < len(origins):
        found.append(f"{names}: some of these {len(origins)} runs have the same seed: they do not count as repetitions")
    for key, what in (("git_commit", "commits"), ("versions", "package versions")):
        if any(origin[key] != origins[0][key] for origin in origins):
            found.append(f"{names}: these runs are pooled, but were made with different {what}")
    return found


def summarize(pooled: Pool, groups: np.ndarray, seed: int) -> PoolSummary:
    """Compute the accuracy of a pool with its intervals.

    Args:
        groups: object [files], equal for files of one group.
        seed: seed of the bootstrap.
    """
    accuracies = pooled.is_correct.mean(axis=1)
    accuracy, by_run = float(accuracies.mean()), accuracies.tolist()
    by_group = accuracy_interval_by_group(pooled.is_correct.mean(axis=0), groups=groups, seed=seed)
    if len(accuracies) == 1:
        wilson = proportion_interval(int(pooled.is_correct.sum()), total=len(groups))
        return PoolSummary(pooled.names, accuracy, by_run, None, by_group, accuracy_interval_95=wilson)
    std = float(accuracies.std(ddof=1))
    low, high = np.clip(t_test(accuracies)[1], 0, 1).tolist()
    return PoolSummary(pooled.names, accuracy, by_run, std, by_group, accuracy_interval_95_by_run=(low, high))


def compare_pools(*, first: Pool, second: Pool, groups: np.ndarray, seed: int) -> Comparison:
    """Compare the accuracy of two pools, file by file, and tell whether chance explains the difference.

    Two single runs are compared with McNemar's exact test (McNemar 1947, https://doi.org/10.1007/BF02295996). Where
    files share groups, the bootstrap interval of the paired difference must also exclude zero. Larger pools differ
    beyond noise where both that interval excludes zero and a t-test over the runs' accuracies is significant: the
    interval measures the noise of the files, the t-test that of training.

    Args:
        groups: object [files], equal for files of one group.
        seed: seed of the bootstrap.
    """
    a, b = first.is_correct, second.is_correct
    difference = b.mean(axis=0) - a.mean(axis=0)
    low, high = difference_interval(difference, groups=groups, seed=seed)
    excludes_zero = low > 0 or high < 0
    comparison = partial(Comparison, first.names, second.names, float(difference.mean()), (low, high))
    if len(a) > 1 or len(b) > 1:
        p, interval = t_test(b.mean(axis=1), a.mean(axis=1))
        # a difference of two shares is at most 1, which Student's interval does not know
        low, high = np.clip(interval, -1, 1).tolist()
        return comparison(p < SIGNIFICANCE and excludes_zero, t_test_p=p, difference_interval_95_by_run=(low, high))
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    p = mcnemar(only_first, only_second)
    # copies can only make a difference less certain: the interval is a further condition, no replacement of the test
    are_independent = len(set(groups)) == len(groups)
    return comparison(
        p < SIGNIFICANCE and (excludes_zero or are_independent),
        right_in_first_alone=only_first,
        right_in_second_alone=only_second,
        mcnemar_p=p,
    )


def difference_interval(difference: np.ndarray, *, groups: np.ndarray, seed: int) -> Interval:
    """Compute the 95 % interval of a paired difference by a bootstrap over groups.

    Where all files have the same difference, every resample is the same, and the bootstrap would claim certainty. The
    interval then reaches as far as the share of groups that may differ, by Wilson's interval.

    Args:
        difference: float64 [files], accuracy of the second pool on each file minus that of the first, -1..1.
        groups: object [files], equal for files of one group.
        seed: seed of the bootstrap.
    """
    if np.ptp(difference) > 0:
        return bootstrapped_interval(difference, groups=groups, seed=seed)
    reach, middle = proportion_interval(0, total=len(set(groups)))[1], float(difference[0])
    return max(-1.0, middle - reach), min(1.0, middle + reach)


def mcnemar(only_first: int, only_second: int) -> float:
    """Compute the exact two-sided p-value of McNemar's test from the files that one run alone is right about."""
    from scipy.stats import binomtest

    total = only_first + only_second
    return float(binomtest(only_first, total, 0.5).pvalue) if total else 1.0


def t_test(values: np.ndarray, others: np.ndarray | None = None) -> tuple[float, Interval]:
    """Test whether the mean of ``values`` differs from that of ``others``, or from zero.

    Welch's test (Welch 1947, https://doi.org/10.1093/biomet/34.1-2.28). Where one side is a single run, whose spread is
    not known, it is Student's test with the spread of the other side.

    Args:
        values, others: float64 [runs], accuracies; at least one of them has two runs or more.

    Returns:
        The two-sided p-value, and the 95 % interval of the difference of the means.
    """
    from scipy.stats import ttest_1samp, ttest_ind

    if all(side is None or np.ptp(side) == 0 for side in (values, others)):  # runs with equal accuracies leave no doubt
        difference = float(values[0] - (0 if others is None else others[0]))
        return float(difference == 0), (difference, difference)
    is_single = others is not None and 1 in (len(values), len(others))
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # one side may have no spread
        found = ttest_1samp(values, 0) if others is None else ttest_ind(values, others, equal_var=is_single)
    low, high = found.confidence_interval(0.95)
    return float(found.pvalue), (float(low), float(high))
