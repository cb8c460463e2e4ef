"""The run directory: claiming it, writing it, reading it back."""

import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskcls import __version__
from maskcls.config import SCHEMAS, as_dictionary
from maskcls.errors import MACHINE_ERRORS, MachineError, UserError
from maskcls.files import remove_unfinished, replaced_atomically, table, write_json
from maskcls.wording import counted

if TYPE_CHECKING:
    from filelock import BaseFileLock

# folders of a run directory, and the files in it
CHECKPOINTS, EVALUATION = "checkpoints", "evaluation"
BEST, LAST, PREVIOUS = "best.safetensors", "last.safetensors", "previous.safetensors"
# file of a run of maskcls-export
ONNX_SUFFIX = ".onnx"
EXPORTED = f"model{ONNX_SUFFIX}"
# file of a run directory; the process that holds its lock works on the run
LOCK_FILE = "run.lock"
# what helps if a directory cannot be used
ANOTHER_DIRECTORY = "hydra.run.dir=FOLDER names another (in a sweep: hydra.sweep.dir)"
# names of unfinished files, and of what macOS adds to a folder that was looked at, or to files on other systems' disks
_NOTHING = re.compile(r"\..*\.[0-9]+\.tmp|\.DS_Store|\._.*")
# files of a run whose process was killed before it wrote run.json
_BEGUN = {".hydra", ".probe", LOCK_FILE, "config.yaml", *(f"{command}.log" for command in SCHEMAS)}


def claim_directory(wanted: Path, *, rename: bool) -> Path:
    """Create a directory that no other run has or can get.

    Args:
        wanted: the directory.
        rename: append _2, _3, ... to the name while it is taken. Otherwise the directory may exist, if it is empty or
            holds only what a process left that was killed as it started.

    Raises:
        UserError: if the directory cannot be made, or holds something and ``rename`` is false.
        MachineError: if the disk is full or broken.
    """
    for number in range(1, 1_000_000):
        directory = wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}")
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            directory.mkdir()
            (directory / LOCK_FILE).touch()  # marks the folder as a run's, in case the process is killed now
            return directory.absolute()
        except OSError as error:
            if not directory.exists():
                kind = MachineError if error.errno in MACHINE_ERRORS else UserError
                raise kind(f"{directory}: cannot make this folder: {error.strerror}; {ANOTHER_DIRECTORY}") from None
        if not rename:
            if directory.is_dir() and _is_free(directory):
                return directory.absolute()
            raise UserError(f"{directory}: exists and is not an empty folder; name another one")
    raise UserError(f"{wanted}: a million folders of this name exist")


def _is_free(directory: Path) -> bool:
    """Whether a directory is empty, or holds only what a process left that was killed as it started a run."""
    names = {path.name for path in directory.iterdir() if not _NOTHING.fullmatch(path.name)}
    return not names or (LOCK_FILE in names and not names - _BEGUN and not is_held(directory))


def is_held(directory: Path) -> bool:
    """Whether a process works on the run of a directory."""
    if not (directory / LOCK_FILE).exists():
        return False
    try:
        _lock(directory).release()
    except UserError:
        return True
    return False


def read_run(directory: Path) -> dict[str, Any]:
    """The content of a directory's ``run.json``; empty if it is missing or cannot be read."""
    try:
        content = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def find_checkpoint(path: Path, key: str = "ckpt") -> Path:
    """The checkpoint file that ``ckpt=path`` means.

    Args:
        path: a checkpoint file; a run directory, whose best checkpoint is meant; or ``RUN/best`` or ``RUN/last``. With
            the key ``ckpt`` also an exported file, or the directory of the run that wrote it.
        key: configuration key that names the path, for messages.

    Raises:
        UserError: if there is none, or it cannot be reached.
    """
    try:
        return _find_checkpoint(path, key)
    except OSError as error:  # no permission, or a name that is too long
        raise UserError(f"{key}={path}: {error.strerror}") from None


def _find_checkpoint(path: Path, key: str) -> Path:
    if path.is_file():
        return path
    name, directory = (path.name, path.parent) if path.name in ("best", "last") and not path.exists() else ("", path)
    checkpoints = directory / CHECKPOINTS
    found = checkpoints / f"{name or 'best'}.safetensors"
    if found.is_file():
        return found
    if key == "ckpt" and (path / EXPORTED).is_file():
        return path / EXPORTED
    if any(checkpoints.glob("*.pt")):
        raise UserError(
            f"{key}={path}: an older version of maskcls trained this; its .pt checkpoints are not read any more"
        )
    if inside := sorted(file.name for file in path.glob("*.safetensors")):
        held = ", ".join(inside)
        raise UserError(f"{key}={path}: holds {held}: name one of them, or the run directory {path.parent}")
    if runs := _runs_in(directory):
        raise UserError(
            f"{key}={path}: holds the {counted(len(runs), 'run')} of a sweep: name one of them, such as {key}={runs[0]}"
        )
    if directory.is_dir():
        expected = "expected a checkpoint file or a run directory"
        raise UserError(f"{key}={path}: no {CHECKPOINTS}/{found.name} in this folder; {expected}")
    raise UserError(f"{key}={path}: no such file; a run writes RUN/{CHECKPOINTS}/{BEST} and {LAST}")


def _runs_in(directory: Path) -> list[Path]:
    """The run directories in a folder, which is that of a sweep."""
    return sorted(file.parent for file in directory.glob("*/run.json"))


def require_runs(directories: Sequence[Path]) -> None:
    """Check that there are runs to compare.

    Raises:
        UserError: if there are fewer than two directories, or one holds no run.
    """
    for directory in directories:
        if not (directory / "run.json").is_file() and (runs := _runs_in(directory)):
            named = ",".join(map(str, runs[:2])) + (",..." if len(runs) > 2 else "")
            raise UserError(
                f"runs: {directory} holds the {counted(len(runs), 'run')} of a sweep: name them, as in runs=[{named}]"
            )
    if len(directories) < 2:
        raise UserError("runs: expected two run directories or more, as in runs=[A,B]")
    for directory in directories:
        if not (directory / "run.json").is_file():
            raise UserError(f"runs: {directory} is no run directory: it has no run.json")


@dataclass
class Run:
    """A run directory while its job is running.

    Attributes:
        directory: where this run writes everything.
        record: the content of ``run.json``.
        is_resumed: whether an earlier process began this run.
        is_begun: whether the record was written. Until then a resumed run's files are as its last process left them.
        lock: held while the job is running, so that no other process resumes the run.
        started: time at which the run started, for `time.perf_counter`.
    """

    directory: Path
    record: dict[str, Any]
    is_resumed: bool = False
    is_begun: bool = False
    lock: "BaseFileLock | None" = None
    started: float = field(default_factory=time.perf_counter)

    @classmethod
    def start(cls, directory: Path, command: str, config: Any, overrides: list[str]) -> "Run":
        """Write ``config.yaml`` and the first ``run.json``.

        Raises:
            UserError: if the directory holds a run already.
        """
        directory.mkdir(parents=True, exist_ok=True)
        lock = _lock(directory)
        if (directory / "run.json").exists():
            lock.release()
            raise UserError(f"{directory}: holds a run already, and would be overwritten")
        record = {
            "status": "running",
            "command": f"maskcls-{command}",
            "overrides": overrides,
            "started": _now(),
            "versions": _versions(),
            "git_commit": _git_commit(),
            "host": {"platform": platform.platform(), "cpus": os.cpu_count()},
            "seconds": {},
        }
        run = cls(directory, record, lock=lock)
        run.write_config(config)
        run.write()
        return run

    @classmethod
    def resume(cls, directory: Path, overrides: list[str]) -> "Run":
        """Resume a run. Its record says that it was resumed, but is not written yet: the command may be refused.

        Raises:
            UserError: if another process works on the run.
        """
        lock = _lock(directory)
        for folder in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
            remove_unfinished(folder)
        record = {"seconds": {}, **read_run(directory)}
        ended = {key: record.pop(key, None) for key in ("status", "exit_status", "error")}
        record["resumed"] = [
            *record.get("resumed", []),
            {
                "at": _now(),
                "overrides": overrides,
                "after": ended,
                "versions": _versions(),
                "git_commit": _git_commit(),
            },
        ]
        record["status"] = "running"
        run = cls(directory, record, is_resumed=True, lock=lock)
        run.started -= record["seconds"].get("total", 0.0)
        return run

    def write_config(self, config: Any) -> None:
        """Write ``config.yaml``."""
        import yaml

        with replaced_atomically(self.directory / "config.yaml") as temporary:
            text = yaml.safe_dump(as_dictionary(config), sort_keys=False, allow_unicode=True)
            temporary.write_text(text, encoding="utf-8")

    def write(self) -> None:
        """Write ``run.json``."""
        write_json(self.directory / "run.json", self.record)
        self.is_begun = True

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to ``seconds`` in ``run.json``, under ``name``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.count_seconds(name, time.perf_counter() - start)

    def count_seconds(self, name: str, seconds: float) -> None:
        """Add to ``seconds`` in ``run.json``, under ``name``."""
        total = self.record["seconds"]
        total[name] = round(total.get(name, 0.0) + seconds, 3)

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.directory / CHECKPOINTS

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the whole ``metrics.csv``, so that no row is ever incomplete. The first row's keys are the columns."""
        path = self.directory / "metrics.csv"
        if not rows:
            path.unlink(missing_ok=True)
            return
        with table(path) as write:
            for values in (rows[0], *(row.values() for row in rows)):
                write(values)

    def finish(self, status: str, exit_status: int, error: str | None = None) -> None:
        """Write how the run ended.

        Args:
            status: finished, interrupted or failed.
            exit_status: exit status that the process would have if it ran only this job.
            error: the error in one line, if the run did not finish.
        """
        self.record["seconds"]["total"] = round(time.perf_counter() - self.started, 3)
        self.record.update(status=status, exit_status=exit_status)
        if error is not None:
            self.record["error"] = error
        self.write()
        self.release()

    def release(self) -> None:
        """Let other processes work on the run."""
        if self.lock is not None:
            with suppress(PermissionError):  # Windows: the library removes the file once it is released
                (self.directory / LOCK_FILE).unlink(missing_ok=True)
            self.lock.release()
            self.lock = None


def _lock(directory: Path) -> "BaseFileLock":
    from filelock import FileLock, Timeout

    lock = FileLock(directory / LOCK_FILE)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(f"{directory}: another process works on this run") from None
    return lock


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    versions = {"maskcls": __version__, "python": platform.python_version()}
    for package in ("torch", "torchvision", "opencv-python", "numpy", "hydra-core"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _git_commit() -> str | None:
    """The commit of the checkout that this package runs from, with ``+changes`` if files differ from it."""
    checkout = Path(__file__).resolve().parent.parent
    if not (checkout / ".git").exists():
        return None
    git = ["git", "-C", str(checkout)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, check=True).stdout.strip()
        status = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.decode("ascii") + ("+changes" if status.stdout.strip() else "")
