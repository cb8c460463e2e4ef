"""Evaluated runs, read back from their directories, and what shows whether they can be compared."""

import contextlib
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from maskcls.config import EvalConfig, TrainConfig, as_dictionary, convert
from maskcls.errors import UserError
from maskcls.run import read_run


@dataclass(frozen=True)
class EvaluatedRun:
    """The answers of one run on the files of one split.

    Attributes:
        name: name of the run's directory.
        settings: configuration without the keys that pooled runs may differ in, such as the seed.
        origin: seed, commit and package versions of the training.
        files: true class and longer side in pixels ("" where unknown) of each file, by path.
        is_correct: whether the prediction for each file is right, by path.
        groups: name of the group of each file, by path; empty where the groups are not known.
    """

    name: str
    settings: Mapping[str, Any]
    origin: Mapping[str, Any]
    files: Mapping[str, tuple[str, str]]
    is_correct: Mapping[str, bool]
    groups: Mapping[str, str]


def common_split(directories: Sequence[Path]) -> str:
    """Find the split that all runs were evaluated on.

    Raises:
        UserError: There is no such split, or more than one.
    """
    found = [_splits(directory) for directory in directories]
    common = sorted(set.intersection(*found))
    if len(common) != 1:
        have = "; ".join(
            f"{directory.name} has {', '.join(sorted(splits)) or 'none'}"
            for directory, splits in zip(directories, found, strict=True)
        )
        cure = ""
        if not all(found):
            cure = "; maskcls-eval ckpt=RUN split=val evaluates a run: compare the directories that it writes"
        raise UserError(f"runs: expected one evaluation that all of them have, or split=...: {have}{cure}")
    return common[0]


def _splits(directory: Path) -> set[str]:
    return {path.parent.name for path in directory.glob("evaluation/*/predictions.csv")}


def read_evaluated(directory: Path, split: str) -> EvaluatedRun:
    """Read the answers of a run on a split.

    Raises:
        UserError: The run was not evaluated on this split, or its files cannot be read.
    """
    splits = _splits(directory)
    if split not in splits:
        raise UserError(f"split={split}: {directory} has evaluations of {', '.join(sorted(splits)) or 'nothing'}")
    path = directory / "evaluation" / split / "predictions.csv"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        settings = dict(yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8")))
        record = read_run(directory)
        files = {row["path"]: (row["label"], row.get("side") or "") for row in rows}
        is_correct = {row["path"]: row["label"] == row["prediction"] for row in rows}
        groups = {row["path"]: row["group"] for row in rows if row.get("group")}
    except (OSError, UnicodeDecodeError, csv.Error, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"runs: {directory}: its evaluation cannot be read: {error}") from None
    training = record.get("training")  # maskcls-eval records the configuration of the training
    seed = (training or settings).get("seed")
    origin = {"seed": seed, **{key: record.get(key) for key in ("git_commit", "versions")}}
    kind = EvalConfig if record.get("command") == "maskcls-eval" else TrainConfig
    pooled_by = {"evaluation": _pooled_by(settings, kind), "training": training and _pooled_by(training, TrainConfig)}
    return EvaluatedRun(directory.name, pooled_by, origin, files, is_correct, groups)


def _pooled_by(settings: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Leave out the keys that pooled runs may differ in, and add the defaults of keys that older versions lack."""
    with contextlib.suppress(UserError):  # a version whose keys are others wrote it: they are compared as they are
        settings = as_dictionary(convert(settings, kind, ""))
    return {key: value for key, value in settings.items() if key not in ("seed", "device", "threads", "plots", "ckpt")}


def same_files(runs: Sequence[EvaluatedRun]) -> list[str]:
    """Check that all runs were evaluated on the same files.

    Returns:
        Paths of the files, sorted.

    Raises:
        UserError: There are no files; or they differ between runs in their paths, their classes or their sizes.
    """
    first = runs[0]
    paths = sorted(first.files)
    if not paths:
        raise UserError(f"runs: the evaluation of {first.name} contains no files")
    for other in runs[1:]:
        both = [(path, first.files[path], other.files[path]) for path in paths if path in other.files]
        differences = {
            "the class differs for": [path for path, one, two in both if one[0] != two[0]],
            "the size differs for": [path for path, one, two in both if one[1] and two[1] and one[1] != two[1]],
            "only one of them has": sorted(first.files.keys() ^ other.files.keys()),
        }
        total = len(first.files.keys() | other.files.keys())
        for what, found in differences.items():
            if found:
                names = f"{first.name} and {other.name} were not evaluated on the same files"
                raise UserError(f"runs: {names}: {what} {len(found)} of {total} files, such as {found[0]}")
    return paths


def groups_of(runs: Sequence[EvaluatedRun], paths: Sequence[str]) -> np.ndarray:
    """Name the group of each file, as the first run that knows the groups says.

    Returns:
        object [files], equal names for files of one group. A file of unknown group is a group of its own.
    """
    known: Mapping[str, str] = next((one.groups for one in runs if one.groups), {})
    return np.array([known.get(path, path) for path in paths], dtype=object)
