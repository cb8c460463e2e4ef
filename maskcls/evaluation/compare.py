"""The comparison command: paired tests of runs that were evaluated on the same files."""

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from maskcls.config import CompareConfig
from maskcls.errors import UserError
from maskcls.evaluation.metrics import bootstrapped_interval, proportion_interval
from maskcls.run import Run, write_json

log = logging.getLogger(__name__)

# below this probability under equal accuracies, a difference is not put down to chance
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Evaluated:
    """What a run answered, file by file.

    Attributes:
        name: of its directory.
        settings: its configuration without the seed; equal for runs that are pooled.
        labels: names of the true classes, by path.
        correct: bool, by path.
        photographs: by path; the path itself where it is not known which photograph a file shows.
    """

    name: str
    settings: Mapping[str, Any]
    labels: Mapping[str, str]
    correct: Mapping[str, bool]
    photographs: Mapping[str, str]


def compare(config: CompareConfig, run: Run) -> None:
    """Compare runs; writes ``comparison.json``.

    Raises:
        UserError: where a directory is no run, or the runs were evaluated on different files.
    """
    split = config.split or _common_split(config.runs)
    evaluated = [read_evaluated(directory, split) for directory in config.runs]
    paths = same_files(evaluated)
    pools = pool(evaluated)
    first = pools[0]
    content: dict[str, Any] = {
        "split": split,
        "files": len(paths),
        "photographs": len(set(evaluated[0].photographs.values())),
        "runs": [summarize(members, paths, config.seed) for members in pools],
        "comparisons": [compare_pools(first, other, paths, config.seed) for other in pools[1:]],
    }
    write_json(run.directory / "comparison.json", content)
    log.info("%s: %d files of %d photographs", split, content["files"], content["photographs"])
    for row in content["runs"]:
        log.info("%s", _run_line(row))
    for row in content["comparisons"]:
        log.info("%s", _comparison_line(row))
    if len(pools) == 1:
        log.info("these runs differ in nothing but their seed: they are pooled, and there is nothing to compare")
    log.info("everything is in %s", run.directory)


def _common_split(directories: Sequence[Path]) -> str:
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
        settings = yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8"))
        labels = {row["path"]: row["label"] for row in rows}
        correct = {row["path"]: row["label"] == row["prediction"] for row in rows}
        photographs = {row["path"]: row.get("photograph") or row["path"] for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error, yaml.YAMLError, KeyError) as error:
        raise UserError(f"runs: {directory}: its evaluation cannot be read: {error}") from None
    return Evaluated(directory.name, _without_seed(settings), labels, correct, photographs)


def _without_seed(settings: Any) -> dict[str, Any]:
    """What two runs must share to be pooled; evaluations by maskcls-eval share nothing but themselves."""
    if not isinstance(settings, dict):
        return {}
    return {key: value for key, value in settings.items() if key not in ("seed", "device", "threads", "plots")}


def same_files(evaluated: Sequence[Evaluated]) -> list[str]:
    """The files that all runs were evaluated on.

    Raises:
        UserError: where they are not the same for all.
    """
    first = evaluated[0]
    if not first.correct:
        raise UserError(f"runs: the evaluation of {first.name} holds no file")
    for other in evaluated[1:]:
        relabelled = [path for path, label in first.labels.items() if other.labels.get(path, label) != label]
        if relabelled:
            raise UserError(
                f"runs: {first.name} and {other.name} were not evaluated on the same files: {len(relabelled)} are of "
                f"another class, such as {relabelled[0]}"
            )
        different = first.correct.keys() ^ other.correct.keys()
        if different:
            raise UserError(
                f"runs: {first.name} and {other.name} were not evaluated on the same files: {len(different)} are in "
                f"one alone, such as {min(different)}"
            )
    return sorted(first.correct)


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


def rights(members: Sequence[Evaluated], paths: Sequence[str]) -> np.ndarray:
    """bool [runs, files]: which answers are right."""
    return np.array([[member.correct[path] for path in paths] for member in members])


def summarize(members: Sequence[Evaluated], paths: Sequence[str], seed: int) -> dict[str, Any]:
    """The accuracy of runs that are pooled: mean, standard deviation over runs, and its interval over photographs."""
    correct = rights(members, paths)
    accuracies = correct.mean(axis=1)
    photographs = np.array([members[0].photographs[path] for path in paths], dtype=object)
    summary: dict[str, Any] = {
        "runs": [member.name for member in members],
        "accuracy": float(accuracies.mean()),
        "accuracies": accuracies.tolist(),
        "std": float(accuracies.std(ddof=1)) if len(members) > 1 else None,
        "accuracy_interval_95_by_photograph": bootstrapped_interval(correct.mean(axis=0), photographs, seed),
    }
    if len(members) == 1:
        summary["accuracy_interval_95"] = proportion_interval(int(correct.sum()), len(paths))
    return summary


def compare_pools(
    first: Sequence[Evaluated], second: Sequence[Evaluated], paths: Sequence[str], seed: int
) -> dict[str, Any]:
    """How far two pools differ, and whether that is within noise.

    Of one run each, McNemar's exact test (McNemar 1947, https://doi.org/10.1007/BF02295996) tells how likely such a
    difference is between equals; where files share photographs, the bootstrap's interval of the paired difference must
    leave out zero, too. For pools of several runs that interval decides, for these runs: their number is small, and
    what other seeds would give is in their standard deviations.
    """
    a, b = rights(first, paths), rights(second, paths)
    photographs = np.array([first[0].photographs[path] for path in paths], dtype=object)
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
    return result | {"beyond_noise": bool(is_beyond)}


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided probability of a split at least as uneven, were both as likely."""
    from scipy.stats import binomtest

    total = only_first + only_second
    return float(binomtest(only_first, total, 0.5).pvalue) if total else 1.0


def _run_line(row: Mapping[str, Any]) -> str:
    low, high = row["accuracy_interval_95_by_photograph"]
    spread = (
        f", standard deviation {100 * row['std']:.2f} over {len(row['runs'])} runs" if row["std"] is not None else ""
    )
    interval = f"95 % interval {100 * low:.2f} to {100 * high:.2f}"
    return f"{', '.join(row['runs'])}: {100 * row['accuracy']:.2f} % ({interval}{spread})"


def _comparison_line(row: Mapping[str, Any]) -> str:
    low, high = row["difference_interval_95"]
    p = f"; McNemar p = {row['mcnemar_p']:.3g}" if "mcnemar_p" in row else ""
    verdict = "beyond noise" if row["beyond_noise"] else "within noise"
    return (
        f"{', '.join(row['second'])} against {', '.join(row['first'])}: {100 * row['difference']:+.2f} points "
        f"(95 % interval {100 * low:+.2f} to {100 * high:+.2f}{p}): {verdict}"
    )
