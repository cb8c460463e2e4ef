"""The console commands, each a Hydra application.

Hydra makes directories before an application runs. So a command line is first checked, by `maskcls.command_line`, and
a directory claimed for it; only then does Hydra run it. Hydra ends here: what it calls gets typed configurations.
Nothing heavy is imported until the configuration is known to be good.
"""

import contextlib
import importlib
import logging
import os
import re
import shlex
import shutil
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from maskcls import __version__
from maskcls.command_line import (
    COMPOSITION_ERRORS,
    CONFIG_DIR,
    CommandLine,
    check,
    describe,
    directory_of,
    one_line,
    parse_overrides,
    plain,
    quote,
    read_arguments,
)
from maskcls.config import AuditConfig, CompareConfig, EvalConfig, PredictConfig, TrainConfig, parse
from maskcls.data.index import find_images
from maskcls.data.sources import require_dataset
from maskcls.errors import MACHINE_ERRORS, MachineError, MaskclsError, UserError, is_out_of_memory
from maskcls.interrupts import Interrupted, leave, listening
from maskcls.resuming import SWEEP_FILE, directory_to_resume, is_done, resumed_config, sweep_overrides
from maskcls.run import LOCK_FILE, Run, claim_directory, find_checkpoint, is_held, read_run, require_runs

log = logging.getLogger(__name__)


def train() -> int:
    """Entry point of ``maskcls-train``."""
    return main("train", sys.argv[1:])


def evaluate() -> int:
    """Entry point of ``maskcls-eval``."""
    return main("eval", sys.argv[1:])


def predict() -> int:
    """Entry point of ``maskcls-predict``."""
    return main("predict", sys.argv[1:])


def audit() -> int:
    """Entry point of ``maskcls-audit``."""
    return main("audit", sys.argv[1:])


def compare() -> int:
    """Entry point of ``maskcls-compare``."""
    return main("compare", sys.argv[1:])


def main(command: str, arguments: Sequence[str]) -> int:
    """Run a command and return its exit status (0, 1, 2, 3, 4, 5 or 130)."""
    if "--version" in arguments:
        print(f"maskcls {__version__}")
        return 0
    try:
        line = read_arguments(arguments)
        if line.shows_only:
            # what follows the flag of a shell's completion are no overrides
            text = None if line.completes_shell else describe(line, check(command, line, partial=True)[0].composed)
            if text is None:
                return _enter_hydra(command, line)
            print(text)
            sys.stdout.flush()
            return 0
        with listening():
            resumed = directory_to_resume(parse_overrides(line.overrides)) if command == "train" else None
            if resumed is not None:
                return _resume(line, resumed)
            jobs = check(command, line)
            for job in jobs:
                require_files(job.config)
            return _run(command, line, directory_of(line, jobs[0].composed))
    except MaskclsError as error:
        print(printable(f"maskcls-{command}: {error}"), file=sys.stderr)
        return error.exit_status
    except Interrupted as error:
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # as in maskcls-train --help | head; Python would complain once more when it flushes stdout at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def require_files(config: Any) -> None:
    """Look for the files that a job starts from, before anything is made and before torch is imported.

    Raises:
        UserError: where the data set, the checkpoint or the source is not there.
    """
    try:
        if isinstance(config, TrainConfig):
            require_dataset(config.data)
        if isinstance(config, EvalConfig | PredictConfig):
            find_checkpoint(config.ckpt)
        if isinstance(config, CompareConfig):
            require_runs(config.runs)
        if isinstance(config, PredictConfig):
            find_images(config.source)
        if isinstance(config, EvalConfig | AuditConfig) and config.data.root and not config.data.root.is_dir():
            raise UserError(f"data.root={config.data.root}: no such folder")
    except OSError as error:  # no permission, or a name that is too long
        raise UserError(f"{error.filename}: {error.strerror}") from None


def _run(command: str, line: CommandLine, wanted: Path) -> int:
    typed = any(o.startswith(("hydra.run.dir=", "hydra.sweep.dir=")) for o in line.overrides)
    existing = {folder for folder in (wanted, *wanted.parents) if folder.exists()}
    directory = claim_directory(wanted, rename=not typed)
    overrides = [*line.overrides, f"hydra.{'sweep' if line.is_sweep else 'run'}.dir={quote(str(directory))}"]
    if line.is_sweep:
        overrides.append(_named_by_what_varies(overrides))
    status = 1
    try:
        _require_space(directory)
        with _telling_the_way_on(directory, line.is_sweep):
            status = _enter_hydra(command, CommandLine(line.flags, overrides))
        status = _exit_status(directory, line.is_sweep, status)
    finally:
        if line.is_sweep:
            (directory / LOCK_FILE).unlink(missing_ok=True)  # its jobs have locks of their own
        if _is_refused(directory, status, line.is_sweep):
            _remove(directory, existing)
    return status


def _is_refused(directory: Path, status: int, is_sweep: bool) -> bool:
    """Whether nothing was made in a directory, because the input was wrong: by this process, and by no other."""
    if {path.name for path in directory.iterdir()} <= {LOCK_FILE}:
        return not is_held(directory)
    ended = read_run(directory).get("exit_status", status)
    is_wrong = status == ended == UserError.exit_status and not is_sweep
    return is_wrong and not (directory / "checkpoints").exists() and not is_held(directory)


def _named_by_what_varies(overrides: Sequence[str]) -> str:
    """What makes Hydra name the jobs of a sweep after the keys that vary in it."""
    fixed = [o.key_or_group for o in parse_overrides(overrides) if not o.is_sweep_override()]
    return f"hydra.job.config.override_dirname.exclude_keys=[{','.join(fixed)}]"


def _exit_status(directory: Path, is_sweep: bool, status: int) -> int:
    """The highest of a directory's jobs; the status that Hydra ended with where there are none."""
    folders = [path for path in directory.iterdir() if path.is_dir()] if is_sweep else [directory]
    # the end of a job is not recorded where the disk was full, or its process was killed; or where it is another's
    unknown = status or MachineError.exit_status
    ends = [run.get("exit_status", unknown) for folder in folders if (run := read_run(folder))]
    if status and not is_sweep:
        return status
    return max(status, *ends) if ends else status or 1


def _resume(line: CommandLine, directory: Path) -> int:
    """Go on in the directory of a run or of a sweep."""
    is_sweep = (directory / SWEEP_FILE).is_file()
    if is_sweep:
        line = CommandLine([*line.flags, *([] if line.is_sweep else ["-m"])], line.overrides)
        line = CommandLine(line.flags, [*sweep_overrides(directory), *line.overrides])
        for job in check("train", line):
            require_files(job.config)
        line.overrides.append(_named_by_what_varies(line.overrides))
    elif line.is_sweep:
        raise UserError(f"resume={directory}: this is a run, which is resumed without -m")
    else:
        (job,) = check("train", line)
        config = resumed_config(directory, job.composed, parse_overrides(line.overrides))
        require_files(config)
        if is_done(directory, config.epochs):
            asked = [o for o in line.overrides if not o.startswith(("resume=", "epochs="))]
            if asked:
                raise UserError(f"{asked[0]}: {directory} has finished, and is left as it is; epochs=N goes on to more")
            done = read_run(directory).get("final", {}).get("epoch", config.epochs)
            print(printable(f"{directory}: has finished, after {done} epochs; epochs=N goes on to more"))
            return 0
    _require_space(directory)
    line.overrides.append(f"hydra.{'sweep' if is_sweep else 'run'}.dir={quote(str(directory))}")
    with _telling_the_way_on(directory, is_sweep):
        status = _enter_hydra("train", line)
    if is_sweep:
        (directory / LOCK_FILE).unlink(missing_ok=True)  # of the process that was killed
    return _exit_status(directory, is_sweep, status)


@contextlib.contextmanager
def _telling_the_way_on(directory: Path, is_sweep: bool) -> Iterator[None]:
    """Say how a sweep goes on that is interrupted, in a job or between two of them."""
    try:
        yield
    except KeyboardInterrupt:
        if is_sweep and (directory / SWEEP_FILE).is_file():
            print(f"interrupted; {_way_on(directory)}", file=sys.stderr)
        raise


def _way_on(directory: Path) -> str:
    return printable(f"it goes on with: maskcls-train resume={shlex.quote(str(directory))}")


def _require_space(directory: Path) -> None:
    """Write something: Hydra writes before the job does, and ends in a traceback where it cannot."""
    probe = directory / ".probe"
    try:
        probe.write_bytes(bytes(2**16))
    except OSError as error:
        kind = MachineError if error.errno in MACHINE_ERRORS else UserError
        raise kind(f"{directory}: cannot write in this folder: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):  # it was not written where nothing can be
            probe.unlink(missing_ok=True)


def _remove(directory: Path, existing: Collection[Path]) -> None:
    """Take back a run directory in which nothing was made, and the folders above it that were made for it."""
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


def _enter_hydra(command: str, line: CommandLine) -> int:
    logging.raiseExceptions = False  # a line that a full disk does not take is no reason for a traceback
    sys.argv = [f"maskcls-{command}", *line.flags, *line.overrides]
    application = hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name=command)(COMMANDS[command])
    try:
        application()
    except SystemExit as stop:
        return int(stop.code or 0)
    except COMPOSITION_ERRORS as error:  # of flags that do not go together; a job's errors end in _job
        raise UserError(one_line(error)) from None
    return 0


def _train_job(config: DictConfig) -> float | None:
    return _job("train", config, "maskcls.commands.train", "train")


def _eval_job(config: DictConfig) -> float | None:
    return _job("eval", config, "maskcls.commands.evaluate", "evaluate")


def _predict_job(config: DictConfig) -> float | None:
    return _job("predict", config, "maskcls.commands.predict", "predict")


def _audit_job(config: DictConfig) -> float | None:
    return _job("audit", config, "maskcls.commands.audit", "audit")


def _compare_job(config: DictConfig) -> float | None:
    return _job("compare", config, "maskcls.commands.compare", "compare")


# the functions that Hydra calls, at module level so that a launcher plugin can send them to another process
COMMANDS = {
    "train": _train_job,
    "eval": _eval_job,
    "predict": _predict_job,
    "audit": _audit_job,
    "compare": _compare_job,
}


def _job(command: str, config: DictConfig, module: str, function: str) -> float | None:
    """Run one job in its directory; record and show how it ended, so that a sweep goes on after a failure.

    Args:
        module, function: what does the work, imported here because that imports torch.

    Returns:
        The figure that a sweeper maximizes, None where there is none.
    """
    hydra_config = HydraConfig.get()
    directory = Path(hydra_config.runtime.output_dir)
    overrides = list(hydra_config.overrides.task)
    try:
        if config.get("resume") is not None and (directory / "run.json").exists():
            typed = resumed_config(directory, config, parse_overrides(overrides))
            if is_done(directory, typed.epochs):  # of a sweep
                log.info("%s has finished", directory)
                return float(read_run(directory)["best"]["val_accuracy"])
            run = Run.resume(directory, overrides)
        else:
            typed = parse(command, plain(config) | ({"resume": None} if command == "train" else {}))
            run = Run.start(directory, command, typed, overrides)
    except (MaskclsError, OSError) as error:
        # there is no record to say it in, so that it ends a sweep, too
        sys.exit(_show(error, command, directory)[1])
    is_sweep = hydra_config.mode == RunMode.MULTIRUN
    try:
        score: float | None = getattr(importlib.import_module(module), function)(typed, run)
        run.finish("finished", 0)
        return score
    except KeyboardInterrupt as interrupt:
        leave()
        if command == "train" and not is_sweep:
            log.warning("interrupted; %s", _way_on(run.directory))
        with contextlib.suppress(OSError):  # the disk is full
            run.finish("interrupted", getattr(interrupt, "exit_status", 130), "interrupted")
        raise
    except Exception as error:
        _fail(run, command, error)
    finally:
        if is_sweep and command == "train":
            from maskcls.reporting.leaderboard import write_leaderboard

            with contextlib.suppress(OSError):  # the disk is full, as the job has said
                write_leaderboard(run.directory.parent)
    return None


def _fail(run: Run, command: str, error: Exception) -> None:
    """Show and record what ended a job."""
    message, status = _show(error, command, run.directory)
    with contextlib.suppress(OSError):  # the disk is full
        run.finish("failed", status, message)


def _show(error: Exception, command: str, directory: Path) -> tuple[str, int]:
    """Log an error in one line, a defect with its traceback; return the line and the exit status."""
    message, status = one_line(error), 1
    if isinstance(error, MaskclsError):
        status = error.exit_status
    elif is_out_of_memory(error):
        message, status = f"{message or 'out of memory'}; a smaller batch size takes less", MachineError.exit_status
    elif isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
        message, status = f"{error.strerror}: {error.filename or directory}", MachineError.exit_status
    else:
        message = f"{type(error).__name__}: {message} (a defect in maskcls; more in {directory / command}.log)"
    log.error("maskcls-%s: %s", command, message, exc_info=error if status == 1 else None)
    return message, status


def printable(text: str) -> str:
    """The text in one line, with escapes for what would move a terminal's cursor, colour it or hide letters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class SafeFormatter(logging.Formatter):
    """For the run's log, which people look at in terminals, too."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, logging's name
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join(map(printable, super().formatException(ei).splitlines()))


class ConsoleHandler(logging.Handler):
    """Writes records between progress bars, without tracebacks: information to stdout, the rest to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        encoding = stream.encoding or "utf-8"
        text = printable(record.getMessage()).encode(encoding, "backslashreplace").decode(encoding)
        with contextlib.suppress(OSError):  # a console that goes away does not end a training
            tqdm.write(text, file=stream)
            stream.flush()


def _slug(number: int, overrides: str) -> str:
    """The name of a job's directory: its number and what varies, in letters that every file system takes."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", overrides.replace(",", "_").replace("e+", "e"))  # 1e+18 is not 1e-18
    return f"{number}_{name}"[:100].rstrip("_-.")


OmegaConf.register_new_resolver("maskcls.slug", _slug, replace=True)
