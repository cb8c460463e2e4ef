"""SIGKILL at random moments, one in three while something is written. The resumed run is the same bit for bit."""

import random
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torture.campaign import Options, Outcome
from torture.checkpoints import differences
from torture.processes import Processes
from torture.trainings import Trainings, Undisturbed, write_faces

COUNTS = {"mycnn": 150, "resnet18": 40, "vgg16": 10}
# files that exist while something is being written
TARGETS = {
    "checkpoint": "run/checkpoints/.*.tmp",
    "cache": "cache/.*.tmp",
    "evaluation": "run/evaluation/*",
    "table": "run/.metrics.csv.*.tmp",
}
# seconds after the appearance of such a file within which the kill comes
WRITING = 0.02
# a run that was killed is resumed at most so often
ATTEMPTS = 3


class Kill(NamedTuple):
    """A case.

    Attributes:
        number: of the case.
        model: which is trained.
        moment: from 0 to 1, a share of the training's time, or of `WRITING` where there is a target.
        target: a key of `TARGETS`; None to kill at any moment.
    """

    number: int
    model: str
    moment: float
    target: str | None

    def __str__(self) -> str:
        return f"{self.number} {self.model} at {self.moment:.3f} ({self.target})"


def draw(options: Options) -> list[Kill]:
    """The cases."""
    generator = random.Random(options.seed)
    models = [model for model, count in COUNTS.items() for _ in range(options.cases(count, at_least=1))]
    return [
        Kill(number, model, generator.random(), generator.choice([*TARGETS]) if generator.random() < 1 / 3 else None)
        for number, model in enumerate(models)
    ]


@dataclass(frozen=True)
class Kills:
    """Runs the cases.

    Attributes:
        folder: gets a folder for each case.
        trainings: starts the trainings.
        whole: an undisturbed training of each model.
    """

    folder: Path
    trainings: Trainings
    whole: Mapping[str, Undisturbed]

    def run(self, case: Kill) -> tuple[list[str], str]:
        """Kill a training and resume it; return what is wrong, and what the kill hit."""
        place = self.folder / f"case_{case.number}"
        place.mkdir()
        run = place / "run"
        command = [*self.trainings.command(case.model, run, place / "cache"), "checkpoint.every=2steps"]
        hit = self.kill(case, place, command)
        start = time.monotonic()
        for _ in range(ATTEMPTS):
            ended = self.trainings.resume(run, command)
            if ended.status == 0:
                break
        else:
            return [f"{case}: status {ended.status}: {ended.output[-500:]}"], hit
        wrong = differences(self.whole[case.model].run, run)
        left = [str(path.relative_to(place)) for path in place.rglob(".*.tmp")]
        shutil.rmtree(place)
        failures = [f"{case}, {time.monotonic() - start:.1f} s later: differs in {wrong[:5]}"] if wrong else []
        return failures + [f"{case}: leaves {left}"] * bool(left), hit

    def kill(self, case: Kill, place: Path, command: list[str]) -> str:
        """Start a command and kill it; return what that hit."""
        started = self.trainings.processes.start(*command)
        if case.target is None:
            started.wait(case.moment * 1.2 * self.whole[case.model].seconds)
        else:
            while started.is_running and not list(place.glob(TARGETS[case.target])):
                started.wait(0.001)
            started.wait(case.moment * WRITING)
        was_running = started.is_running
        started.kill()
        if not was_running:
            return "over already"
        if not (place / "run" / "run.json").exists():
            return "before run.json"
        return f"while writing: {case.target}" if case.target else "anywhere"


def campaign(options: Options, processes: Processes) -> Outcome:
    """Kill trainings and resume them."""
    folder = options.folder
    trainings = Trainings(write_faces(folder / "data", {"Train": 40, "Validation": 12, "Test": 12}), processes)
    whole = {
        model: trainings.undisturbed(model, folder / f"whole_{model}", folder / f"cache_{model}") for model in COUNTS
    }
    cases = draw(options)
    results = options.in_parallel(Kills(folder, trainings, whole).run, cases)
    hits = Counter(hit for _, hit in results)
    failures = [failure for found, _ in results for failure in found]
    return Outcome(len(cases), failures, ", ".join(f"{count} {hit}" for hit, count in hits.most_common()))
