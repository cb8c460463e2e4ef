"""Broken, empty, odd and hostile sources of a prediction: one line where nothing can be used, the rest still done."""

import csv
import itertools
import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from torture.agreement import in_table
from torture.campaign import Options, Outcome
from torture.processes import Ended, Processes
from torture.servers import PASSWORD, addresses
from torture.sources import Case, Maker, damaged, odd_files, odd_names, odd_places
from torture.trainings import Trainings, write_faces

# exit status where nothing can be used
NOTHING = 2
# a line that a person may be expected to read has no more characters, beside the source's own
LONGEST_LINE = 500


@dataclass(frozen=True)
class Predictions:
    """Predicts the cases, and collects what is wrong.

    Attributes:
        folder: gets a run directory for each.
        trained: run directory of a trained model.
        processes: starts the commands.
    """

    folder: Path
    trained: Path
    processes: Processes

    def run(self, numbered: tuple[int, Case]) -> tuple[int, list[str]]:
        """Predict a case; return the exit status and what is wrong."""
        number, case = numbered
        run = self.folder / f"run_{number}"
        source = f"source={_quoted(case.source)}"
        ended = self.processes.run(
            "predict", f"ckpt={self.trained}", source, f"hydra.run.dir={run}", "threads=1", *case.arguments,
            stdin=case.piped,
        )  # fmt: skip
        return ended.status, [f"{case.what}: {problem}" for problem in problems(case, ended, run)]


def _quoted(value: str) -> str:
    """A value that Hydra takes as it is."""
    escaped = value.replace("\\'", "\\\\'").replace("'", "\\'")
    return f"'{escaped}'"


def problems(case: Case, ended: Ended, run: Path) -> list[str]:
    """What is wrong about the end of a prediction, and about what it left."""
    found = []
    expected = {"something": (0,), "nothing": (NOTHING,), "either": (0, NOTHING)}[case.expected]
    if ended.status not in expected or ended.has_traceback:
        found.append(f"status {ended.status}, expected {case.expected}: {ended.output[-700:]}")
    if ended.status == NOTHING and not _is_one_line(case, ended):
        found.append(f"not one line that can be read: {ended.output[-700:]}")
    written = [path for path in run.rglob("*") if path.is_file()] if run.exists() else []
    if unfinished := [path.name for path in written if path.name.endswith(".tmp")]:
        found.append(f"left {unfinished}")
    if PASSWORD in ended.output or any(PASSWORD.encode() in path.read_bytes() for path in written):
        found.append("a password was written")
    if ended.status == 0:
        found += _wrong_table(case, run)
    return found


def _is_one_line(case: Case, ended: Ended) -> bool:
    return len(ended.error_lines) == 1 and len(ended.error_lines[0]) <= LONGEST_LINE + 2 * len(case.source)


def _wrong_table(case: Case, run: Path) -> list[str]:
    """What is wrong with the rows of a prediction that ended well."""
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    with (run / "predictions.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    answered = {row["path"].removeprefix("'") for row in rows if row["prediction"]}
    found = [f"no answer for {path}" for path in case.good if in_table(str(path)) not in answered]
    if len(rows) != record["images"] or not rows:
        found.append(f"{len(rows)} rows for {record['images']} pictures")
    return found


def campaign(options: Options, processes: Processes) -> Outcome:
    """Predict sources of every kind, about half of them with random damage."""
    folder = options.folder
    trained, files = folder / "trained", folder / "files"
    good = write_faces(folder / "good", {"Train": 20, "Validation": 8})
    Trainings(good, processes).train("mycnn", trained, folder / "cache")
    files.mkdir()
    make = Maker(files, random.Random(options.seed), np.random.default_rng(options.seed))
    with addresses(make) as served:
        chosen = [*served, *odd_files(make), *odd_names(make), *odd_places(make)]
        wanted = options.cases(250, at_least=20)
        if wanted < len(chosen):
            chosen = make.generator.sample(chosen, wanted * 2 // 3)
        chosen += itertools.islice(damaged(make), wanted - len(chosen))
        results = options.in_parallel(Predictions(folder, trained, processes).run, enumerate(chosen))
    statuses = Counter(status for status, _ in results)
    failures = [problem for _, found in results for problem in found]
    return Outcome(len(chosen), failures, ", ".join(f"{n} ended with {status}" for status, n in statuses.most_common()))
