"""The command maskcls-compare: do runs that were evaluated on the same files differ by more than chance?"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence

from maskcls.config import CompareConfig
from maskcls.errors import UserError
from maskcls.evaluation.compare import Comparison, PoolSummary, as_json, compare_pools, doubts, pool, summarize
from maskcls.evaluation.runs import common_split, groups_of, read_evaluated, same_files
from maskcls.files import write_json
from maskcls.reporting.text import aligned
from maskcls.run import Run

log = logging.getLogger(__name__)


def compare(config: CompareConfig, run: Run) -> None:
    """Compare runs with the first one; writes ``comparison.json``.

    Raises:
        UserError: A directory is not a run or is given twice, or the runs were evaluated on different files.
    """
    twice = [path for path, count in Counter(path.resolve() for path in config.runs).items() if count > 1]
    if twice:
        raise UserError(f"runs: {twice[0]} is given twice")
    split = config.split or common_split(config.runs)
    evaluated = [read_evaluated(directory, split) for directory in config.runs]
    paths = same_files(evaluated)
    groups = groups_of(evaluated, paths)
    group_count = len(set(groups)) if any(one.groups for one in evaluated) else None

    first, *others = pools = pool(evaluated, paths)
    summaries = [summarize(pooled, groups, config.seed) for pooled in pools]
    comparisons = [compare_pools(first=first, second=other, groups=groups, seed=config.seed) for other in others]

    content = {
        "split": split,
        "files": len(paths),
        "groups": group_count,
        "runs": [as_json(summary) for summary in summaries],
        "comparisons": [as_json(comparison) for comparison in comparisons],
    }
    write_json(run.directory / "comparison.json", content)

    shown = " (which show one photograph is not known)" if group_count is None else f" of {group_count} photographs"
    intervals = f"95 % interval over {'files' if group_count is None else 'photographs'}", "95 % interval over runs"
    heading = f"accuracy on {split}, {len(paths)} files{shown}:"
    _log_table(heading, ("accuracy", *intervals, "std", "runs"), map(_accuracy_row, summaries))
    if comparisons:
        columns = ("points", *intervals, "p-value", "verdict", "runs")
        _log_table(f"difference from {', '.join(first.names)}:", columns, map(_difference_row, comparisons))
    else:
        log.info("these runs differ only in their seed: they form one pool, and there is nothing to compare")
    for doubt in (doubt for pooled in pools for doubt in doubts(pooled)):
        log.warning("%s", doubt)
    if any(len(pooled.runs) == 1 for pooled in pools):
        log.info("a single run does not show how much the accuracy varies with the seed")
    if any(len(pooled.runs) == 2 for pooled in pools):
        log.info("two runs say little about how much the accuracy varies with the seed: train with three seeds or more")
    log.info("everything is in %s", run.directory)


def _log_table(heading: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    for line in (heading, *aligned([columns, *rows])):
        log.info("%s", line)


def _accuracy_row(summary: PoolSummary) -> tuple[str, ...]:
    return (
        f"{100 * summary.accuracy:6.2f} %",
        _percent(summary.accuracy_interval_95_by_group),
        _percent(summary.accuracy_interval_95_by_run),
        "" if summary.std is None else f"{100 * summary.std:.2f}",
        ", ".join(summary.runs),
    )


def _difference_row(comparison: Comparison) -> tuple[str, ...]:
    p, test = (comparison.t_test_p, "t-test") if comparison.mcnemar_p is None else (comparison.mcnemar_p, "McNemar")
    return (
        f"{100 * comparison.difference:+.2f}",
        _percent(comparison.difference_interval_95_by_group, "+"),
        _percent(comparison.difference_interval_95_by_run, "+"),
        f"{p:.3g} ({test})",
        "beyond noise" if comparison.beyond_noise else "within noise",
        ", ".join(comparison.second),
    )


def _percent(interval: tuple[float, float] | None, sign: str = "") -> str:
    return "" if interval is None else " to ".join(f"{100 * end:{sign}.2f}" for end in interval)
