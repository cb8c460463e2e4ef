"""The table of a sweep's runs, the best in validation first."""

from pathlib import Path
from typing import Any

from filelock import FileLock

from maskcls.files import table
from maskcls.reporting.text import aligned
from maskcls.run import read_run

COLUMNS = (
    *("run", "status", "val_accuracy", "val_balanced_accuracy", "val_loss", "best_epoch", "test_accuracy"),
    *("seed", "seconds", "error"),
)
FILE_NAME = "leaderboard.csv"
# runs that are shown at the end of a sweep
SHOWN = 10


def write_leaderboard(sweep_directory: Path) -> Path:
    """Write ``leaderboard.csv`` from the ``run.json`` of every job, including jobs that failed or are still running.

    All figures belong to the best epoch; ``test_accuracy`` is empty where it was not tested. The columns are `COLUMNS`,
    and before ``error`` one for each key that a job set. Rows are sorted by the validation accuracy, or by the
    balanced one if that chose the best epoch of each run. A test accuracy that models were chosen by is no longer an
    honest estimate.

    Returns:
        Path of the file.
    """
    path = sweep_directory / FILE_NAME
    with FileLock(sweep_directory / ".leaderboard.lock"):
        _, rows = _ranked(sweep_directory)
        keys = sorted({key for row in rows for key in row} - set(COLUMNS))
        columns = [*COLUMNS[:-1], *keys, COLUMNS[-1]]
        with table(path) as write:
            write(columns)
            for row in rows:
                write([row.get(column, "") for column in columns])
    return path


def ranking(sweep_directory: Path) -> list[str]:
    """Lines that show the best runs of a sweep, as its leaderboard ranks them."""
    figure, rows = _ranked(sweep_directory)
    name = figure.replace("val", "validation").replace("_", " ")
    cells = [(row["run"], row["status"], _percent(row[figure]), _percent(row["test_accuracy"])) for row in rows[:SHOWN]]
    heading = f"ranking by {name} (a small difference may be noise, which maskcls-compare tells):"
    return [heading, *aligned([("run", "status", name, "test accuracy"), *cells])]


def _percent(accuracy: float | str) -> str:
    return f"{100 * accuracy:.2f} %" if isinstance(accuracy, float) else ""


def _ranked(sweep_directory: Path) -> tuple[str, list[dict[str, Any]]]:
    """The column that the runs of a sweep are ranked by, and their rows in that order."""
    runs = {folder.name: read_run(folder) for folder in sweep_directory.iterdir() if folder.is_dir()}
    chosen_by = {run.get("selected_by") for run in runs.values() if "best" in run}
    figure = "val_balanced_accuracy" if chosen_by == {"balanced accuracy"} else "val_accuracy"
    rows = [_row(name, run) for name, run in runs.items() if run]
    return figure, sorted(rows, key=lambda row: _rank(row, figure))


def _rank(row: dict[str, Any], figure: str) -> tuple[Any, ...]:
    """Sort key: failed runs stand last, before them the runs without a validation figure."""
    return row["status"] == "failed", row[figure] == "", -(row[figure] or 0), row["val_loss"] or 0, row["run"]


def _row(name: str, run: dict[str, Any]) -> dict[str, Any]:
    best, test = run.get("best", {}), run.get("test", {}).get("best", {})
    overrides = {
        key: value.strip("'")  # Hydra's grammar wants quotes around some values
        for key, _, value in (override.partition("=") for override in run.get("overrides", []))
        if value and key != "resume"
    }
    return {
        **overrides,
        "run": name,
        "status": run.get("status", ""),
        "val_accuracy": best.get("val_accuracy", ""),
        "val_balanced_accuracy": best.get("val_balanced_accuracy", ""),
        "val_loss": best.get("val_loss", ""),
        "best_epoch": best.get("epoch", ""),
        "test_accuracy": test.get("accuracy", ""),
        "seed": run.get("seed", overrides.get("seed", "")),
        "seconds": run.get("seconds", {}).get("total", ""),
        "error": run.get("error", ""),
    }
