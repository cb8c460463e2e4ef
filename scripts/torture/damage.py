"""Flipped bits and truncations of the last checkpoint: each is noticed, and the checkpoint before is used."""

import logging
import random

from torture.campaign import Options, Outcome
from torture.checkpoints import LAST, problems_with_damaged_last
from torture.processes import Processes
from torture.trainings import Trainings, write_faces


def truncated(content: bytes, generator: random.Random) -> tuple[str, bytes]:
    """What was done, and the beginning of the content."""
    length = generator.randrange(len(content))
    return f"cut to {length} bytes", content[:length]


def flipped(content: bytes, generator: random.Random) -> tuple[str, bytes]:
    """What was done, and the content with one bit flipped."""
    position, bit = generator.randrange(len(content)), generator.randrange(8)
    damaged = bytearray(content)
    damaged[position] ^= 1 << bit
    return f"bit {bit} of byte {position}", bytes(damaged)


def campaign(options: Options, processes: Processes) -> Outcome:
    """Damage the last checkpoint of a training, and resume the training."""
    folder = options.folder
    run = folder / "run"
    trainings = Trainings(write_faces(folder / "data", {"Train": 40, "Validation": 12}), processes)
    trainings.train("mycnn", run, folder / "cache")
    last = run / "checkpoints" / LAST
    intact = last.read_bytes()
    generator = random.Random(options.seed)
    count = options.cases(500, at_least=10)
    failures = []
    logging.disable(logging.CRITICAL)  # maskcls logs each damaged file
    for number in range(count):
        what, damaged = (truncated if number % 2 else flipped)(intact, generator)
        last.write_bytes(damaged)
        failures += [f"{what}: {problem}" for problem in problems_with_damaged_last(run)]
    logging.disable(logging.NOTSET)
    ended = processes.run("train", f"resume={run}", "epochs=4")
    if ended.status or "the checkpoint before" not in ended.output:
        failures.append(f"resumed from the checkpoint before: {ended}")
    return Outcome(count, failures, "")
