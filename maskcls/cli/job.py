"""Runs one job of a command in its directory, and records and shows how it ended."""

import contextlib
import dataclasses
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from maskcls.cli.arguments import parse_overrides
from maskcls.cli.composition import plain
from maskcls.cli.console import one_line
from maskcls.cli.resumption import how_to_continue, is_done, resumed_config
from maskcls.config import PredictConfig, parse
from maskcls.errors import MACHINE_ERRORS, MachineError, MaskclsError, device_failure, is_out_of_memory
from maskcls.interrupts import leave
from maskcls.media.source import without_password
from maskcls.run import Run, read_run

log = logging.getLogger(__name__)


def function_of(command: str) -> Callable[[Any, Run], float | None]:
    """Return what a command does with its configuration and its run; this imports torch."""
    match command:
        case "train":
            from maskcls.commands.train import train

            return train
        case "eval":
            from maskcls.commands.evaluate import evaluate

            return evaluate
        case "predict":
            from maskcls.commands.predict import predict

            return predict
        case "demo":
            from maskcls.commands.demo import demo

            return demo
        case "audit":
            from maskcls.commands.audit import audit

            return audit
        case "compare":
            from maskcls.commands.compare import compare

            return compare
        case "export":
            from maskcls.commands.export import export

            return export
    raise ValueError(command)


def run_job(composed: DictConfig) -> float | None:
    """Run one job. It returns also after a failure, so that a sweep goes on to the next job.

    Hydra calls this, in its own process if a launcher plugin says so: it is at module level to be found there.

    Returns:
        The figure that a sweeper maximizes, None if there is none.
    """
    hydra_config = HydraConfig.get()
    command = str(hydra_config.job.config_name)
    directory = Path(hydra_config.runtime.output_dir)
    overrides = list(hydra_config.overrides.task)
    try:
        if composed.get("resume") is not None and (directory / "run.json").exists():
            config = resumed_config(directory, composed, parse_overrides(overrides))
            if is_done(directory, config.epochs):  # one of a sweep
                log.info("%s has finished", directory)
                return float(read_run(directory)["best"][config.selected_figure])
            run = Run.resume(directory, overrides)
        else:
            config = parse(command, plain(composed) | ({"resume": None} if command == "train" else {}))
            run = Run.start(directory, command, *_without_passwords(config, overrides))
    except (MaskclsError, OSError) as error:
        # there is no record to write this to, so it ends a sweep, too
        sys.exit(_show(error, command, directory)[1])
    return _work(command, config, run, is_sweep=hydra_config.mode == RunMode.MULTIRUN)


def _without_passwords(config: Any, overrides: list[str]) -> tuple[Any, list[str]]:
    """What is recorded of a configuration and of what was typed: addresses of streams may hold a password."""
    shown = [without_password(text) for text in overrides]
    if isinstance(config, PredictConfig):
        config = dataclasses.replace(config, source=without_password(config.source))
    return config, shown


def _work(command: str, config: Any, run: Run, *, is_sweep: bool) -> float | None:
    try:
        score = function_of(command)(config, run)
        run.finish("finished", 0)
        return score
    except KeyboardInterrupt as interrupt:
        leave()
        if command == "train" and not is_sweep:
            log.warning(how_to_continue(run.directory))
        if run.is_begun:
            with contextlib.suppress(OSError, MachineError):  # the disk is full, or the file cannot be replaced
                run.finish("interrupted", getattr(interrupt, "exit_status", 130), "interrupted")
        raise
    except Exception as error:
        message, status = _show(error, command, run.directory)
        if not run.is_begun:
            sys.exit(status)  # a resumption that was refused leaves the run as it was, and ends a sweep
        with contextlib.suppress(OSError, MachineError):  # as above
            run.finish("failed", status, message)
    finally:
        run.release()
        if is_sweep and command == "train":
            from maskcls.reporting.leaderboard import write_leaderboard

            try:
                write_leaderboard(run.directory.parent)
            except MachineError as error:  # on Windows, while a spreadsheet shows it
                log.warning("%s; the next job of the sweep writes it again", error)
            except OSError:  # the disk is full, as the job has said
                pass
    return None


def _show(error: Exception, command: str, directory: Path) -> tuple[str, int]:
    """Log an error in one line, a defect with its traceback; return the line and the exit status."""
    message, status = one_line(error), 1
    if isinstance(error, MaskclsError):
        status = error.exit_status
    elif is_out_of_memory(error):
        message, status = f"{message or 'out of memory'}; a smaller batch size needs less", MachineError.exit_status
    elif said := device_failure(error):
        message, status = f"the device failed: {said}", MachineError.exit_status
    elif isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
        message, status = f"{error.strerror}: {error.filename or directory}", MachineError.exit_status
    else:
        message = f"{type(error).__name__}: {message} (a defect in maskcls; see {directory / command}.log)"
    log.error("maskcls-%s: %s", command, message, exc_info=error if status == 1 else None)
    return message, status


def _slug(number: int, overrides: str) -> str:
    """The name of a job's directory: its number and what varies, in letters that every file system takes."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", overrides.replace(",", "_").replace("e+", "e"))  # 1e+18 is not 1e-18
    return f"{number}_{name}"[:100].rstrip("_-.")


OmegaConf.register_new_resolver("maskcls.slug", _slug, replace=True)
