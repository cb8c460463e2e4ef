"""The comparison command: whether runs that were evaluated on the same files differ by more than chance."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from maskcls.config import CompareConfig
from maskcls.errors import UserError
from maskcls.evaluation.compare import (
    common_split,
    compare_pools,
    doubts,
    groups_of,
    pool,
    read_evaluated,
    same_files,
    summarize,
)
from maskcls.files import write_json
from maskcls.run import Run

log = logging.getLogger(__name__)


def compare(config: CompareConfig, run: Run) -> None:
    """Compare runs; writes ``comparison.json``.

    Raises:
        UserError: where a directory is no run or given twice, or the runs were evaluated on different files.
    """
    twice = [path for path, count in Counter(path.resolve() for path in config.runs).items() if count > 1]
    if twice:
        raise UserError(f"runs: {twice[0]} is given twice")
    split = config.split or common_split(config.runs)
    evaluated = [read_evaluated(directory, split) for directory in config.runs]
    paths = same_files(evaluated)
    photographs = groups_of(evaluated, paths)
    pools = pool(evaluated)
    first = pools[0]
    content: dict[str, Any] = {
        "split": split,
        "files": len(paths),
        "groups": len(set(photographs)) if any(one.photographs for one in evaluated) else None,
        "runs": [summarize(members, paths, photographs, config.seed) for members in pools],
        "comparisons": [compare_pools(first, other, paths, photographs, config.seed) for other in pools[1:]],
    }
    write_json(run.directory / "comparison.json", content)
    known = content["groups"]
    shown = "which of them show one photograph is not known" if known is None else f"of {known} photographs"
    log.info("%s: %d files, %s", split, content["files"], shown)
    for row in content["runs"]:
        log.info("%s", _run_line(row))
    for row in content["comparisons"]:
        log.info("%s", _comparison_line(row))
    for members in pools:
        for doubt in doubts(members):
            log.warning("%s", doubt)
    if any(len(members) == 1 for members in pools):
        log.info("a single run stands for itself alone: another seed may do better or worse")
    if len(pools) == 1:
        log.info("these runs differ in nothing but their seed: they are pooled, and there is nothing to compare")
    log.info("everything is in %s", run.directory)


def _run_line(row: Mapping[str, Any]) -> str:
    interval = f"95 % interval {_points(row['accuracy_interval_95_by_group'])}"
    if row["std"] is not None:
        by_run = _points(row["accuracy_interval_95_by_run"])
        interval += f" over photographs, {by_run} over {len(row['runs'])} runs, whose std is {100 * row['std']:.2f}"
    return f"{', '.join(row['runs'])}: {100 * row['accuracy']:.2f} % ({interval})"


def _comparison_line(row: Mapping[str, Any]) -> str:
    interval = f"95 % interval {_points(row['difference_interval_95'], '+')}"
    if "mcnemar_p" in row:
        test = f"; McNemar p = {row['mcnemar_p']:.3g}"
    else:
        by_run = _points(row["difference_interval_95_by_run"], "+")
        test = f" over photographs, {by_run} over runs; t-test p = {row['t_test_p']:.3g}"
    verdict = "beyond noise" if row["beyond_noise"] else "within noise"
    return (
        f"{', '.join(row['second'])} against {', '.join(row['first'])}: {100 * row['difference']:+.2f} points "
        f"({interval}{test}): {verdict}"
    )


def _points(interval: tuple[float, float], sign: str = "") -> str:
    return " to ".join(f"{100 * end:{sign}.2f}" for end in interval)
