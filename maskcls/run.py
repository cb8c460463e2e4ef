"""The run directory: claiming it, writing it, reading it back."""

import csv
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskcls import __version__
from maskcls.config import SCHEMAS, as_dictionary
from maskcls.errors import MACHINE_ERRORS, MachineError, UserError
from maskcls.files import remove_unfinished, replaced_atomically, write_json

if TYPE_CHECKING:
    from filelock import BaseFileLock

# of a run directory; who holds it is at the run
LOCK_FILE = "run.lock"
# all that there may be, beside the lock, of a run whose process was killed before the first run.json was there
_BEGUN = {".hydra", ".probe", LOCK_FILE, "config.yaml", *(f"{command}.log" for command in SCHEMAS)}


def claim_directory(wanted: Path, rename: bool) -> Path:
    """Create a directory that no other run has or can get.

    Args:
        wanted: the directory.
        rename: put _2, _3, ... behind the name while it is taken; else a directory is refused that holds more than
            what is left of a process that was killed as it started.

    Raises:
        UserError: where the directory cannot be made, or holds something and ``rename`` is false.
        MachineError: where the disk is full or broken.
    """
    for number in range(1, 1_000_000):
        directory = wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}")
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            directory.mkdir()
            (directory / LOCK_FILE).touch()  # says whose the folder is, should the process be killed now
            return directory.absolute()
        except OSError as error:
            if not directory.exists():
                kind = MachineError if error.errno in MACHINE_ERRORS else UserError
                raise kind(f"{directory}: cannot make this folder: {error.strerror}") from None
        if not rename:
            if directory.is_dir() and _is_free(directory):
                return directory.absolute()
            raise UserError(f"{directory}: exists and is not an empty folder; name another one")
    raise UserError(f"{wanted}: a million folders of this name exist")


def _is_free(directory: Path) -> bool:
    """Whether a directory is empty, or holds what a process left that was killed as it started a run."""
    names = {path.name for path in directory.iterdir() if not re.fullmatch(r"\..*\.[0-9]+\.tmp", path.name)}
    return not names or (LOCK_FILE in names and not names - _BEGUN and not is_held(directory))


def is_held(directory: Path) -> bool:
    """Whether a process is at a directory's run."""
    if not (directory / LOCK_FILE).exists():
        return False
    try:
        _lock(directory).release()
    except UserError:
        return True
    return False


def read_run(directory: Path) -> dict[str, Any]:
    """The content of a directory's ``run.json``, empty where there is none or it cannot be read."""
    try:
        content = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def find_checkpoint(path: Path) -> Path:
    """The checkpoint file that ``ckpt=path`` means: the file itself, or the best one of a run directory.

    Raises:
        UserError: where there is none.
    """
    if path.is_dir():
        best = path / "checkpoints" / "best.pt"
        if not best.is_file():
            raise UserError(f"ckpt={path}: no checkpoints/best.pt in this folder; expected a file, or a run directory")
        return best
    if not path.is_file():
        raise UserError(f"ckpt={path}: no such file; a run writes RUN/checkpoints/best.pt and last.pt")
    return path


def require_runs(directories: Sequence[Path]) -> None:
    """Check that there are runs to compare.

    Raises:
        UserError: for fewer than two directories, or one that holds no run.
    """
    if len(directories) < 2:
        raise UserError("runs: expected two run directories or more, as in runs=[A,B]")
    for directory in directories:
        if not (directory / "run.json").is_file():
            raise UserError(f"runs: {directory} is no run directory: it has no run.json")


@dataclass
class Run:
    """A run directory while its job is running.

    Attributes:
        directory: where everything of this run is written.
        record: the content of ``run.json``.
        is_resumed: whether it goes on with what an earlier process began.
        lock: held while the job is running, so that no other process goes on with it.
    """

    directory: Path
    record: dict[str, Any]
    is_resumed: bool = False
    lock: "BaseFileLock | None" = None
    started: float = field(default_factory=time.perf_counter)

    @classmethod
    def start(cls, directory: Path, command: str, config: Any, overrides: list[str]) -> "Run":
        """Write ``config.yaml`` and the first ``run.json``.

        Raises:
            UserError: where the directory holds a run already.
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
        """Go on with a run: its record is kept, and says that it was resumed. Its configuration is left as it is.

        Raises:
            UserError: where another process is at it.
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
        run.write()
        return run

    def write_config(self, config: Any) -> None:
        """Write ``config.yaml``."""
        import yaml

        with replaced_atomically(self.directory / "config.yaml") as temporary:
            text = yaml.safe_dump(as_dictionary(config), sort_keys=False, allow_unicode=True)
            temporary.write_text(text, encoding="utf-8")

    def write(self) -> None:
        """Write ``run.json`` as it stands."""
        write_json(self.directory / "run.json", self.record)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to ``seconds`` of ``run.json``, under ``name``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = self.record["seconds"]
            seconds[name] = round(seconds.get(name, 0.0) + time.perf_counter() - start, 3)

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write ``metrics.csv``, whole, so that no row is ever torn; the first row's keys are the columns."""
        path = self.directory / "metrics.csv"
        if not rows:
            path.unlink(missing_ok=True)
            return
        with replaced_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def finish(self, status: str, exit_status: int, error: str | None = None) -> None:
        """Write how the run ended.

        Args:
            status: finished, interrupted or failed.
            exit_status: that of the process, had it run this job alone.
            error: one line, for a run that did not finish.
        """
        self.record["seconds"]["total"] = round(time.perf_counter() - self.started, 3)
        self.record.update(status=status, exit_status=exit_status)
        if error is not None:
            self.record["error"] = error
        self.write()
        if self.lock is not None:
            (self.directory / LOCK_FILE).unlink(missing_ok=True)
            self.lock.release()


def _lock(directory: Path) -> "BaseFileLock":
    from filelock import FileLock, Timeout

    lock = FileLock(directory / LOCK_FILE)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(f"{directory}: another process is at this run") from None
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
    """The commit of the checkout that this package runs from, with ``+changes`` where files differ from it."""
    checkout = Path(__file__).resolve().parent.parent
    if not (checkout / ".git").exists():
        return None
    git = ["git", "-C", str(checkout)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        status = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if status.stdout.strip() else "")
