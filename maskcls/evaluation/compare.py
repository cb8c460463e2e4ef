"""Paired tests of runs that were evaluated on the same files."""

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from maskcls.errors import UserError
from maskcls.evaluation.metrics import accuracy_interval_by_group, bootstrapped_interval, proportion_interval
from maskcls.run import read_run

log = logging.getLogger(__name__)

# below this probability under equal accuracies, a difference is not put down to chance
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Evaluated:
    """What a run answered, file by file.

    Attributes:
        name: of its directory.
        settings: its configuration without the seed; equal for runs that are pooled.
        origin: seed, commit and versions that made it.
        files: the true class and, where it is known, the longer side of each file, by path.
        correct: bool, by path.
        photographs: by path; empty where it is not known which photograph a file shows.
    """

    name: str
    settings: Mapping[str, Any]
    origin: Mapping[str, Any]
    files: Mapping[str, tuple[str, str]]
    correct: Mapping[str, bool]
    photographs: Mapping[str, str]


def common_split(directories: Sequence[Path]) -> str:
    """The evaluation that all runs have.

    Raises:
        UserError: where there is none, or there are several.
    """
    found = [_splits(directory) for directory in directories]
    common = sorted(set.intersection(*found))
    if len(common) != 1:
        have = "; ".join(
            f"{directory.name} has {', '.join(sorted(splits)) or 'none'}"
            for directory, splits in zip(directories, found, strict=True)
        )
        raise UserError(f"runs: expected one evaluation that all of them have, or split=...: {have}")
    return common[0]


def _splits(directory: Path) -> set[str]:
    return {path.parent.name for path in directory.glob("evaluation/*/predictions.csv")}


def read_evaluated(directory: Path, split: str) -> Evaluated:
    """Read what a run answered.

    Raises:
        UserError: where it was not evaluated on this split, or its files cannot be read.
    """
    splits = _splits(directory)
    if split not in splits:
        raise UserError(f"split={split}: {directory} has evaluations of {', '.join(sorted(splits)) or 'nothing'}")
    path = directory / "evaluation" / split / "predictions.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        settings = dict(yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8")))
        record = read_run(directory)
        files = {row["path"]: (row["label"], row.get("side") or "") for row in rows}
        correct = {row["path"]: row["label"] == row["prediction"] for row in rows}
        photographs = {row["path"]: row["group"] for row in rows if row.get("group")}
    except (OSError, UnicodeDecodeError, csv.Error, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"runs: {directory}: its evaluation cannot be read: {error}") from None
    training = record.get("training")  # of a checkpoint that maskcls-eval measured
    seed = (training or settings).get("seed")
    origin = {"seed": seed, **{key: record.get(key) for key in ("git_commit", "versions")}}
    pooled_by = {"evaluation": _pooled_by(settings), "training": training and _pooled_by(training)}
    return Evaluated(directory.name, pooled_by, origin, files, correct, photographs)


def _pooled_by(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What two runs must share to be pooled: all but their seed, and where and on which checkpoint they were run."""
    return {key: value for key, value in settings.items() if key not in ("seed", "device", "threads", "plots", "ckpt")}


def same_files(evaluated: Sequence[Evaluated]) -> list[str]:
    """The files that all runs were evaluated on.

    Raises:
        UserError: where they are not the same for all.
    """
    first = evaluated[0]
    if not first.correct:
        raise UserError(f"runs: the evaluation of {first.name} holds no file")
    for other in evaluated[1:]:
        pairs = {path: (file, other.files.get(path, file)) for path, file in first.files.items()}
        relabelled = [path for path, ((label, _), (others, _)) in pairs.items() if label != others]
        resized = [path for path, ((_, side), (_, others)) in pairs.items() if side and others and side != others]
        for changed, what in ((relabelled, "class"), (resized, "size")):
            if changed:
                raise UserError(
                    f"runs: {first.name} and {other.name} were not evaluated on the same files: {len(changed)} are of "
                    f"another {what}, such as {changed[0]}"
                )
        different = first.correct.keys() ^ other.correct.keys()
        if different:
            raise UserError(
                f"runs: {first.name} and {other.name} were not evaluated on the same files: {len(different)} are in "
                f"one alone, such as {min(different)}"
            )
    return sorted(first.correct)


def groups_of(evaluated: Sequence[Evaluated], paths: Sequence[str]) -> np.ndarray:
    """Names [files], equal for files that show one photograph: from the first run that knows; else each its own."""
    known: Mapping[str, str] = next((one.photographs for one in evaluated if one.photographs), {})
    return np.array([known.get(path, path) for path in paths], dtype=object)


def pool(evaluated: Sequence[Evaluated]) -> list[list[Evaluated]]:
    """Runs by their settings, in the order of the first of each."""
    pools: list[list[Evaluated]] = []
    for one in evaluated:
        known = next((members for members in pools if members[0].settings == one.settings), None)
        if known is None:
            pools.append([one])
        else:
            known.append(one)
    return pools


def doubts(members: Sequence[Evaluated]) -> list[str]:
    """What speaks against taking runs for repetitions that differ in their seed alone."""
    names = ", ".join(member.name for member in members)
    found = []
    if len({member.origin["seed"] for member in members}) < len(members):
        found.append(f"{names}: some have the same seed, so that they are less than {len(members)} repetitions")
    for key, what in (("git_commit", "commits"), ("versions", "versions of packages")):
        if any(member.origin[key] != members[0].origin[key] for member in members):
            found.append(f"{names}: pooled, though they were made with different {what}")
    return found


def rights(members: Sequence[Evaluated], paths: Sequence[str]) -> np.ndarray:
    """bool [runs, files]: which answers are right."""
    return np.array([[member.correct[path] for path in paths] for member in members])


def summarize(members: Sequence[Evaluated], paths: Sequence[str], photographs: np.ndarray, seed: int) -> dict[str, Any]:
    """The accuracy of runs that are pooled: mean, standard deviation, and its intervals over photographs and runs."""
    correct = rights(members, paths)
    accuracies = correct.mean(axis=1)
    summary: dict[str, Any] = {
        "runs": [member.name for member in members],
        "accuracy": float(accuracies.mean()),
        "accuracies": accuracies.tolist(),
        "std": float(accuracies.std(ddof=1)) if len(members) > 1 else None,
        "accuracy_interval_95_by_group": accuracy_interval_by_group(correct.mean(axis=0), photographs, seed),
    }
    if len(members) > 1:
        summary["accuracy_interval_95_by_run"] = t_test(accuracies)[1]
    else:
        summary["accuracy_interval_95"] = proportion_interval(int(correct.sum()), len(paths))
    return summary


def compare_pools(
    first: Sequence[Evaluated],
    second: Sequence[Evaluated],
    paths: Sequence[str],
    photographs: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    """How far two pools differ, and whether that is within noise.

    Of one run each, McNemar's exact test (McNemar 1947, https://doi.org/10.1007/BF02295996) tells how likely such a
    difference is between equals; where files share photographs, the bootstrap's interval of the paired difference must
    leave out zero, too. Of more runs, that interval must, and a t-test over the runs' accuracies as well: the one knows
    the noise of the files, the other that of training.
    """
    a, b = rights(first, paths), rights(second, paths)
    difference = b.mean(axis=0) - a.mean(axis=0)
    low, high = bootstrapped_interval(difference, photographs, seed)
    result: dict[str, Any] = {
        "first": [member.name for member in first],
        "second": [member.name for member in second],
        "difference": float(difference.mean()),
        "difference_interval_95": (low, high),
    }
    are_independent = len(set(photographs)) == len(paths)
    is_beyond = low > 0 or high < 0
    if len(first) == len(second) == 1:
        only_first, only_second = int((a[0] & ~b[0]).sum()), int((b[0] & ~a[0]).sum())
        p = mcnemar(only_first, only_second)
        result |= {"right_in_first_alone": only_first, "right_in_second_alone": only_second, "mcnemar_p": p}
        # copies can only make a difference less certain: the interval must agree with the test, not replace it
        is_beyond = p < SIGNIFICANCE and (is_beyond or are_independent)
    else:
        result["t_test_p"], result["difference_interval_95_by_run"] = t_test(b.mean(axis=1), a.mean(axis=1))
        is_beyond = is_beyond and result["t_test_p"] < SIGNIFICANCE
    return result | {"beyond_noise": bool(is_beyond)}


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided probability of a split at least as uneven, were both as likely."""
    from scipy.stats import binomtest

    total = only_first + only_second
    return float(binomtest(only_first, total, 0.5).pvalue) if total else 1.0


def t_test(values: np.ndarray, others: np.ndarray | None = None) -> tuple[float, tuple[float, float]]:
    """How far the mean of runs may be from that of others, or from zero.

    Welch's test (Welch 1947, https://doi.org/10.1093/biomet/34.1-2.28); where one side is a single run, whose spread is
    not known, Student's.

    Args:
        values, others: accuracies of runs, two or more on one side at least.

    Returns:
        The two-sided probability of means at least as far apart, were those of more runs equal, and the 95 % interval
        of how far they are.
    """
    from scipy.stats import t

    sides = [side for side in (values, others) if side is not None]
    difference = float(values.mean()) - (0.0 if others is None else float(others.mean()))
    freedom = [len(side) - 1 for side in sides]
    variances = [float(side.var(ddof=1)) if len(side) > 1 else 0.0 for side in sides]
    if min(freedom) == 0:
        variances = [max(variances)] * len(sides)
        degrees = float(max(freedom))
    else:
        parts = [variance / len(side) for variance, side in zip(variances, sides, strict=True)]
        whole = sum(part**2 / count for part, count in zip(parts, freedom, strict=True))
        degrees = sum(parts) ** 2 / whole if whole else 1.0
    error = float(np.sqrt(sum(variance / len(side) for variance, side in zip(variances, sides, strict=True))))
    if error == 0:  # runs that are all alike leave no doubt
        return float(difference == 0), (difference, difference)
    reach = float(t.ppf(0.975, degrees)) * error
    return 2 * float(t.sf(abs(difference) / error, degrees)), (difference - reach, difference + reach)
