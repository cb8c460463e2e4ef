"""Claims a directory for a new run or sweep, or finds the one to continue in."""

import logging
import os
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from maskcls.cli.arguments import CommandLine, parse_overrides
from maskcls.cli.composition import compose_jobs, directory_of
from maskcls.cli.console import printable
from maskcls.cli.launch import launch
from maskcls.cli.resumption import SWEEP_FILE, is_done, resumed_config, sweep_overrides
from maskcls.config import (
    AuditConfig,
    CompareConfig,
    DemoConfig,
    EvalConfig,
    ExportConfig,
    PredictConfig,
    TableConfig,
    TrainConfig,
)
from maskcls.data.sources import require_dataset
from maskcls.data.table_rows import require_table
from maskcls.errors import UserError
from maskcls.media.source import find_source
from maskcls.run import LOCK_FILE, claim_directory, find_checkpoint, is_held, read_run, require_runs


def start(command: str, line: CommandLine) -> int:
    """Run a command in a directory that no other run has, and return the exit status.

    Raises:
        MaskclsError: if the input is wrong, or the machine fails before the job starts.
    """
    jobs = compose_jobs(command, line)
    for job in jobs:
        _require_files(job.config)
    wanted = directory_of(jobs[0].composed, is_sweep=line.is_sweep)
    is_typed = any(text.startswith(("hydra.run.dir=", "hydra.sweep.dir=")) for text in line.overrides)
    existing = {folder for folder in (wanted, *wanted.parents) if folder.exists()}
    directory = claim_directory(wanted, rename=not is_typed)
    status = 1
    try:
        status = launch(command, line, directory)
    finally:
        if _is_unused(directory, status, is_sweep=line.is_sweep):
            _remove(directory, existing)
    return status


def resume(line: CommandLine, directory: Path) -> int:
    """Continue a training or a sweep in its directory, and return the exit status.

    Raises:
        MaskclsError: if the input is wrong, or the machine fails before the job starts.
    """
    if (directory / SWEEP_FILE).is_file():
        return _resume_sweep(line, directory)
    if line.is_sweep:
        raise UserError(f"resume={directory}: this is a single run; resume it without -m")
    has_table = any(text.startswith("data.table=") for text in line.overrides)
    if has_table:
        line = line.adding("data=table")  # else the key is not known; the run's own data set must be a table, too
    (job,) = compose_jobs("train", line)
    config = resumed_config(directory, job.composed, parse_overrides(line.overrides))
    if isinstance(config.data, TableConfig) and not has_table and not os.path.exists(table := config.data.table):
        raise UserError(f"data.table={table}: no such file; data.table=FILE says where the table of this run is now")
    _require_files(replace(config, init=None))  # what the training began with need not be there any more
    if not is_done(directory, config.epochs):
        return launch("train", line, directory)
    for override in line.overrides:
        if override.startswith("test="):
            raise UserError(f"{override}: {directory} has finished; maskcls-eval ckpt={directory} split=test tests it")
        if not override.startswith(("resume=", "epochs=")):
            raise UserError(f"{override}: {directory} has finished and is not changed; epochs=N trains it for longer")
    done = read_run(directory).get("final", {}).get("epoch", config.epochs)
    print(printable(f"{directory}: has finished, after {done} epochs; epochs=N trains it for longer"))
    return 0


def _resume_sweep(line: CommandLine, directory: Path) -> int:
    flags = line.flags if line.is_sweep else (*line.flags, "-m")
    line = CommandLine(flags, (*sweep_overrides(directory), *line.overrides))
    for job in compose_jobs("train", line):
        _require_files(job.config)
    recorded, before = (directory / SWEEP_FILE).read_bytes(), _records(directory)
    try:
        return launch("train", line, directory)
    finally:
        if _records(directory) == before:  # it was refused: the next resumption is not to repeat what was typed
            (directory / SWEEP_FILE).write_bytes(recorded)


def _records(directory: Path) -> list[dict[str, Any]]:
    return [read_run(folder) for folder in sorted(directory.iterdir())]


def _require_files(config: Any) -> None:
    """Check that the files that a job needs are there, before anything is written and before torch is imported."""
    try:
        if isinstance(config, TrainConfig):
            require_dataset(config.data)
            if config.init is not None:
                find_checkpoint(config.init, "init")
        if isinstance(config, EvalConfig | PredictConfig | DemoConfig | ExportConfig):
            find_checkpoint(config.ckpt)
        if isinstance(config, CompareConfig):
            require_runs(config.runs)
        if isinstance(config, PredictConfig):
            find_source(config.source)
        if isinstance(config, EvalConfig | AuditConfig) and config.data.root and not config.data.root.is_dir():
            is_public = isinstance(config, EvalConfig) and config.data.name == "facemask12k"
            ways = "; data.root=FOLDER or the environment variable MASKCLS_DATA names a copy of it" if is_public else ""
            raise UserError(f"data.root={config.data.root}: no such folder{ways}")
        if isinstance(config, EvalConfig | AuditConfig) and config.data.table:
            require_table(config.data.table)
    except OSError as error:  # no permission, or a name that is too long
        raise UserError(f"{error.filename}: {error.strerror}") from None


def _is_unused(directory: Path, status: int, *, is_sweep: bool) -> bool:
    """Whether a directory holds nothing worth keeping, because the input was wrong, and no other process uses it."""
    if is_held(directory):
        return False
    if {path.name for path in directory.iterdir()} <= {LOCK_FILE}:
        return True
    ended = read_run(directory).get("exit_status", status)
    is_wrong = status == ended == UserError.exit_status and not is_sweep
    return is_wrong and not (directory / "checkpoints").exists()


def _remove(directory: Path, existing: Collection[Path]) -> None:
    """Remove the content of a directory, and those of the folder and its parents that were made for it."""
    logging.shutdown()
    for entry in directory.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for folder in (directory, *directory.parents):
        if folder in existing:
            break
        try:
            folder.rmdir()
        except OSError:  # another run is in there
            break
