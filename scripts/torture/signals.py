"""SIGTERM, SIGINT and SIGUSR1 at random moments: the right status in time. The resumed run is the same bit for bit."""

import os
import random
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torture.campaign import Options, Outcome
from torture.processes import Ended, Processes
from torture.trainings import Trainings, Undisturbed, write_faces

SENT = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
# a training ends at most so many seconds after a signal
LIMIT = 10


class Interruption(NamedTuple):
    """A case.

    Attributes:
        number: of the case.
        sent: the signal.
        moment: a share of the training's time, from 0 to 1.
    """

    number: int
    sent: signal.Signals
    moment: float

    def __str__(self) -> str:
        return f"{self.number} {self.sent.name} at {self.moment:.3f}"


@dataclass(frozen=True)
class Interruptions:
    """Runs the cases.

    Attributes:
        folder: gets a folder for each case.
        trainings: starts the trainings.
        whole: an undisturbed training.
    """

    folder: Path
    trainings: Trainings
    whole: Undisturbed

    def run(self, case: Interruption) -> tuple[list[str], Ended]:
        """Interrupt a training and resume it; return what is wrong, and how the training ended."""
        place = self.folder / f"case_{case.number}"
        place.mkdir()
        run = place / "run"
        command = self.trainings.command("mycnn", run, place / "cache")
        ended = self.interrupt(case, command)
        problems = self.problems(case, run, ended)
        if ended.status:
            problems += self.trainings.problems_after_resuming(run, command, self.whole)
        shutil.rmtree(place)
        return [f"{case}: {problem}" for problem in problems], ended

    def interrupt(self, case: Interruption, command: list[str]) -> Ended:
        """Start a command and send it the signal."""
        started = self.trainings.processes.start(*command)
        while not started.output.exists():  # earlier, the signal would meet multiprocessing's own code
            started.wait(0.001)
        started.wait(case.moment * self.whole.seconds)
        if started.is_running and started.process.pid is not None:
            os.kill(started.process.pid, case.sent)
        return started.finish()

    def problems(self, case: Interruption, run: Path, ended: Ended) -> list[str]:
        """What is wrong about the end of an interrupted training."""
        problems = []
        if ended.status not in (0, 128 + case.sent) or ended.seconds > LIMIT:
            problems.append(f"status {ended.status} after {ended.seconds:.1f} s: {ended.output[-300:]}")
        if ended.has_traceback:
            problems.append(f"a traceback: {ended.output[-300:]}")
        if ended.status and (run / "run.json").exists() and f"resume={run}" not in ended.output:
            problems.append(f"does not say how to resume: {ended.output[-300:]}")
        return problems


def campaign(options: Options, processes: Processes) -> Outcome:
    """Interrupt trainings and resume them."""
    folder = options.folder
    trainings = Trainings(write_faces(folder / "data", {"Train": 40, "Validation": 12, "Test": 12}), processes)
    whole = trainings.undisturbed("mycnn", folder / "whole", folder / "cache")
    generator = random.Random(options.seed)
    cases = [
        Interruption(number, SENT[number % len(SENT)], generator.random())
        for number in range(options.cases(50, at_least=3))
    ]
    results = options.in_parallel(Interruptions(folder, trainings, whole).run, cases)
    failures = [failure for found, _ in results for failure in found]
    slowest = max(ended.seconds for _, ended in results)
    over = sum(ended.status == 0 for _, ended in results)
    return Outcome(len(cases), failures, f"the slowest ended after {slowest:.1f} s, {over} over already")
