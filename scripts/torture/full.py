"""A full disk, or a limit on file sizes, at random writes: nothing is lost, one line, status 5."""

import contextlib
import csv
import random
import resource
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torture.campaign import CampaignError, Options, Outcome
from torture.checkpoints import damaged_checkpoints, size_of_last
from torture.processes import Ended, Processes
from torture.trainings import Trainings, Undisturbed, write_faces

# exit status of a command that the disk or the memory fails
MACHINE_FAILED = 5


class Shortage(NamedTuple):
    """A case.

    Attributes:
        number: of the case.
        is_disk: whether the file system is full, not the size of a file limited.
        share: room there is, as a share of what is needed.
    """

    number: int
    is_disk: bool
    share: float

    def __str__(self) -> str:
        return f"{self.number} {'disk' if self.is_disk else 'limit'} {self.share:.3f}"


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """Mount a file system of ``size`` bytes.

    Raises:
        CampaignError: if this process may not mount one.
    """
    folder.mkdir(parents=True)
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mount.returncode:
        raise CampaignError("cannot mount a file system: only root may")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@dataclass(frozen=True)
class Shortages:
    """Runs the cases.

    Attributes:
        folder: gets a folder for each case.
        trainings: starts the trainings.
        whole: a training that had room enough.
        used: bytes that it took.
    """

    folder: Path
    trainings: Trainings
    whole: Undisturbed
    used: int

    def run(self, case: Shortage) -> tuple[list[str], int]:
        """Train where there is too little room, then resume with more; return what is wrong, and the first status."""
        place = self.folder / f"case_{case.number}"
        run = place / "run"
        command = self.trainings.command("resnet18", run, self.folder / "cache")
        room = round(case.share * self.used * 1.1) if case.is_disk else 10**9
        largest = round(case.share * size_of_last(self.whole.run) * 1.1)
        limits = {} if case.is_disk else {resource.RLIMIT_FSIZE: largest}
        with small_disk(place, max(room, 100_000)):
            ended = self.trainings.processes.run(*command, limits=limits)
            problems = self.problems(run, ended)
            if ended.status == MACHINE_FAILED:
                subprocess.run(["mount", "-o", "remount,size=1g", str(place)], check=True)
                problems += self.trainings.problems_after_resuming(run, command, self.whole)
        return [f"{case}: {problem}" for problem in problems], ended.status

    def problems(self, run: Path, ended: Ended) -> list[str]:
        """What is wrong about the end of a training that ran out of room."""
        problems = []
        if ended.status not in (0, MACHINE_FAILED):
            problems.append(f"status {ended.status}: {ended.output[-500:]}")
        if ended.has_traceback or (ended.status == MACHINE_FAILED and len(ended.error_lines) != 1):
            problems.append(f"not one line: {ended.output[-500:]}")
        problems += damaged_checkpoints(run)
        with contextlib.suppress(FileNotFoundError), (run / "metrics.csv").open(newline="") as file:
            if any(None in row.values() or None in row for row in csv.DictReader(file)):
                problems.append("a torn row in metrics.csv")
        return problems


def campaign(options: Options, processes: Processes) -> Outcome:
    """Let trainings run out of room and resume them."""
    folder = options.folder
    trainings = Trainings(write_faces(folder / "data", {"Train": 40, "Validation": 12, "Test": 12}), processes)
    whole = trainings.undisturbed("resnet18", folder / "whole", folder / "cache")
    used = sum(path.stat().st_size for path in whole.run.rglob("*") if path.is_file())
    generator = random.Random(options.seed)
    cases = [Shortage(number, number % 2 == 0, generator.random()) for number in range(options.cases(50, at_least=2))]
    results = options.in_parallel(Shortages(folder, trainings, whole, used).run, cases)
    failures = [failure for found, _ in results for failure in found]
    statuses = Counter(status for _, status in results)
    return Outcome(len(cases), failures, ", ".join(f"{n} ended with {status}" for status, n in statuses.most_common()))
