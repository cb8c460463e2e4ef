"""Eight trainings at once on an empty cache, three of them killed: one build of the cache, five right results."""

import random
import time
from dataclasses import dataclass
from pathlib import Path

from torture.campaign import Options, Outcome
from torture.checkpoints import differences
from torture.processes import Processes
from torture.trainings import Trainings, Undisturbed, write_faces

TOGETHER, KILLED = 8, 3
# files of the cache: one of each split, and one of the test split at a low resolution
CACHED = 4


@dataclass(frozen=True)
class Rounds:
    """Runs the cases.

    Attributes:
        trainings: starts the trainings.
        whole: a training that was alone.
        generator: draws when which trainings are killed.
    """

    trainings: Trainings
    whole: Undisturbed
    generator: random.Random

    def run(self, place: Path) -> list[str]:
        """Run eight trainings in one folder; return what is wrong."""
        cache = place / "cache"
        runs = [place / f"run_{i}" for i in range(TOGETHER)]
        started = [self.trainings.processes.start(*self.trainings.command("mycnn", run, cache)) for run in runs]
        time.sleep(self.generator.uniform(0.2, 1.5))
        killed = self.generator.sample(range(TOGETHER), KILLED)
        for i in killed:
            started[i].process.kill()
        ended = [process.finish() for process in started]
        problems = []
        for i in sorted(set(range(TOGETHER)) - set(killed)):
            if ended[i].status:
                problems.append(f"run {i}: {ended[i]}"[-700:])
            elif wrong := differences(self.whole.run, runs[i]):
                problems.append(f"run {i}: differs in {wrong[:5]}")
        # another training finishes what a killed one had begun to write
        if (files := len(list(cache.glob("*.npy")))) != CACHED:
            problems.append(f"{files} files in the cache, expected {CACHED}")
        if left := [path.name for path in cache.glob(".*.tmp")]:
            problems.append(f"leaves {left}")
        return problems


def campaign(options: Options, processes: Processes) -> Outcome:
    """Let trainings compete for the cache."""
    folder = options.folder
    trainings = Trainings(write_faces(folder / "data", {"Train": 400, "Validation": 40, "Test": 40}), processes)
    whole = trainings.undisturbed("mycnn", folder / "whole", folder / "cache")
    rounds = Rounds(trainings, whole, random.Random(options.seed))
    count = options.cases(5, at_least=1)
    failures = []
    for number in range(count):
        place = folder / f"round_{number}"
        place.mkdir()
        failures += [f"round {number}: {problem}" for problem in rounds.run(place)]
    return Outcome(TOGETHER * count, failures, f"{count} rounds")
