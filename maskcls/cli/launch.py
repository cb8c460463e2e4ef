"""Enters Hydra to run jobs in a directory, and reads there how they ended; or to show something."""

import contextlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from maskcls.cli.arguments import CommandLine, parse_overrides, quote
from maskcls.cli.composition import compose_jobs, configuration_text, help_text
from maskcls.cli.console import one_line, printable
from maskcls.cli.job import run_job
from maskcls.cli.resumption import SWEEP_FILE, how_to_continue
from maskcls.config import CONFIG_DIR
from maskcls.errors import MACHINE_ERRORS, MachineError, UserError
from maskcls.run import ANOTHER_DIRECTORY, LOCK_FILE, read_run


def show(command: str, line: CommandLine) -> int:
    """Print what a flag such as ``--help`` asks for. Hydra, which composes once more, does the rare ones.

    Raises:
        UserError: if the configuration is wrong.
    """
    if line.completes_shell:
        return enter_hydra(command, line)
    composed = compose_jobs(command, line, partial=True)[0].composed
    if line.flags in (("--help",), ("-h",)):
        print(help_text(composed), flush=True)
    elif line.flags in (("--cfg", "job"), ("-c", "job")):
        print(configuration_text(composed), end="", flush=True)
    else:
        return enter_hydra(command, line)
    return 0


def launch(command: str, line: CommandLine, directory: Path) -> int:
    """Run the jobs of a command line in a directory.

    Returns:
        The exit status.

    Raises:
        UserError, MachineError: if nothing can be written there.
    """
    line = line.adding(f"hydra.{'sweep' if line.is_sweep else 'run'}.dir={quote(str(directory))}")
    if line.is_sweep:
        line = line.adding(_named_by_what_varies(line.overrides))
    _require_space(directory, is_new=not any(text.startswith("resume=") for text in line.overrides))
    try:
        status = enter_hydra(command, line)
    except KeyboardInterrupt:  # in a job, or between two of them
        if line.is_sweep and command == "train" and (directory / SWEEP_FILE).is_file():
            print(how_to_continue(directory), file=sys.stderr)
        raise
    finally:
        if line.is_sweep:
            (directory / LOCK_FILE).unlink(missing_ok=True)  # its jobs have locks of their own
    if line.is_sweep and command == "train":
        _show_ranking(directory)
    return _exit_status(directory, status, is_sweep=line.is_sweep)


def _show_ranking(directory: Path) -> None:
    from maskcls.reporting.leaderboard import FILE_NAME, ranking

    if (directory / FILE_NAME).is_file():
        for text in (*ranking(directory), f"the whole table is {directory / FILE_NAME}"):
            print(printable(text), flush=True)


def enter_hydra(command: str, line: CommandLine) -> int:
    """Let Hydra do what a command line says, and return the exit status that it ends with."""
    logging.raiseExceptions = False  # a full disk that does not take a log line is no reason for a traceback
    sys.argv = [f"maskcls-{command}", *line.flags, *line.overrides]
    application = hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name=command)(run_job)
    try:
        application()
    except SystemExit as stop:
        return int(stop.code or 0)
    except (HydraException, OmegaConfBaseException, ValueError, yaml.YAMLError) as error:
        # flags that do not go together; a job's errors end in run_job
        raise UserError(one_line(error)) from None
    return 0


def _named_by_what_varies(overrides: Sequence[str]) -> str:
    """The override that makes Hydra name the jobs of a sweep after the keys that vary in it."""
    fixed = [o.key_or_group for o in parse_overrides(overrides) if not o.is_sweep_override()]
    return f"hydra.job.config.override_dirname.exclude_keys=[{','.join(fixed)}]"


def _require_space(directory: Path, *, is_new: bool) -> None:
    """Write something: Hydra writes before the job does, and ends in a traceback if it cannot."""
    probe = directory / ".probe"
    try:
        probe.write_bytes(bytes(2**16))
    except OSError as error:
        kind = MachineError if error.errno in MACHINE_ERRORS else UserError
        cure = f"; {ANOTHER_DIRECTORY}" if is_new else ""  # a run that is resumed stays where it is
        raise kind(f"{directory}: cannot write in this folder: {error.strerror}{cure}") from None
    finally:
        with contextlib.suppress(OSError):  # a probe that could not be written
            probe.unlink(missing_ok=True)


def _exit_status(directory: Path, status: int, *, is_sweep: bool) -> int:
    """Return the highest exit status of the jobs, or Hydra's own if a single run failed or no job left a record."""
    folders = [path for path in directory.iterdir() if path.is_dir()] if is_sweep else [directory]
    records = [record for folder in folders if (record := read_run(folder))]
    if not records or (status and not is_sweep):
        return status or 1
    # a job's end is not recorded if the disk was full, its process was killed, or another process runs it
    unknown = status or MachineError.exit_status
    return max(status, *(record.get("exit_status", unknown) for record in records))
