"""A folder of oddities through training, evaluation, prediction and audit: all four must do the same with each file."""

import csv
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torture.campaign import CampaignError, Options, Outcome
from torture.oddities import CLASS, FILMS, Fate, Oddity, write_oddities
from torture.processes import Processes
from torture.trainings import MODELS, SETTINGS, write_faces

# ordinary images of each class beside the oddities
ORDINARY = 12


class Told(NamedTuple):
    """What a command did with a file, and the reason that it gave."""

    fate: Fate
    reason: str


@dataclass(frozen=True)
class Record:
    """What a command says about the files of a folder.

    Attributes:
        listed: paths of the files that it names as read; None if it counts them only.
        read: number of files that it read.
        damaged, unreadable, left_out: the reason for each file, by path.
    """

    listed: frozenset[str] | None
    read: int
    damaged: Mapping[str, str]
    unreadable: Mapping[str, str]
    left_out: Mapping[str, str]

    def told(self, path: str) -> Told | None:
        """What the command did with a file; None if it mentions neither the file nor a folder that holds it."""
        if path in self.unreadable:
            return Told("unreadable", self.unreadable[path])
        if path in self.damaged:
            return Told("damaged", self.damaged[path])
        for part in (path, *(parent.as_posix() for parent in Path(path).parents)):
            if part in self.left_out:
                return Told("left out", self.left_out[part])
        return Told("used", "") if self.listed is None or in_table(path) in self.listed else None


@dataclass(frozen=True)
class Commands:
    """The four commands on one folder.

    Attributes:
        root: the folder of class folders.
        folder: gets the run directories.
        processes: starts the commands.
    """

    root: Path
    folder: Path
    processes: Processes

    def records(self) -> dict[str, Record]:
        """Run all four, and return what each says, by its name.

        Raises:
            CampaignError: one of them fails.
        """
        trained = self._run("train", *MODELS["mycnn"], *SETTINGS, f"data.root={self.root}", "epochs=1",
                            "data.on_bad_image=use", "test=none")  # fmt: skip
        evaluated = self._run("eval", f"ckpt={trained}", f"data.root={self.root}", "split=all", "plots=false",
                              "data.on_bad_image=use")  # fmt: skip
        predicted = self._run("predict", f"ckpt={trained}", f"source={self.root}")
        audited = self._run("audit", f"data.root={self.root}")
        return {
            "train": self._of_training(_json(trained / "run.json")["data"]),
            "eval": self._of_evaluation(evaluated / "evaluation" / "all"),
            "predict": self._of_prediction(predicted),
            "audit": self._of_audit(audited),
        }

    def _run(self, command: str, *arguments: str) -> Path:
        run = self.folder / command
        cache = () if command == "audit" else ("cache_dir" if command == "predict" else "data.cache_dir",)
        places = (f"hydra.run.dir={run}", *(f"{key}={self.folder / 'cache'}" for key in cache))
        ended = self.processes.run(command, *arguments, *places)
        if ended.status:
            raise CampaignError(f"{command}: {ended}"[-900:])
        return run

    def _of_training(self, data: Mapping[str, Any]) -> Record:
        read = sum(count for split in data["images"].values() for count in split.values())
        return Record(
            None, read, self._reasons(data["damaged"]), self._reasons(data["skipped"]), self._reasons(data["left_out"])
        )

    def _of_evaluation(self, folder: Path) -> Record:
        data = _json(folder / "metrics.json")["data"]
        listed = [row["path"] for row in _rows(folder / "predictions.csv")]
        return Record(
            frozenset(listed), len(listed),
            self._reasons(data["damaged"]), self._reasons(data["skipped"]), self._reasons(data["left_out"]),
        )  # fmt: skip

    def _of_prediction(self, run: Path) -> Record:
        record = _json(run / "run.json")
        listed = [row["path"].removeprefix(f"{self.root}/") for row in _rows(run / "predictions.csv")]
        return Record(
            frozenset(listed), len(listed),
            self._reasons(_by_path(record["damaged"], self.root)),
            self._reasons(_by_path(record["unreadable"], self.root)),
            self._reasons(record["left_out"]),
        )  # fmt: skip

    def _of_audit(self, run: Path) -> Record:
        found = _json(run / "audit.json")["bad_files"]
        listed = frozenset(row["path"] for row in _rows(run / "groups.csv"))
        left_out = _json(run / "run.json")["data"]["left_out"]
        return Record(
            listed, len(listed) - len(found["unreadable"]),
            self._reasons(found["damaged"]), self._reasons(found["unreadable"]), self._reasons(left_out),
        )  # fmt: skip

    def _reasons(self, reasons: Mapping[str, str]) -> dict[str, str]:
        """The reasons without the path of the file, which some commands put in front, and of the folder."""
        return {
            path: reason.removeprefix(f"{self.root / path}: ").replace(str(self.root), "FOLDER")
            for path, reason in reasons.items()
        }


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def _by_path(lines: Iterable[str], root: Path) -> dict[str, str]:
    """Lines such as "ROOT/PATH: reason", by path."""
    by_path = {}
    for line in lines:
        words = line.split(": ")  # names and reasons may hold colons, too
        ends = [end for end in range(1, len(words)) if os.path.lexists(": ".join(words[:end]))]
        path, reason = (": ".join(part) for part in (words[: ends[0]], words[ends[0] :]))
        by_path[path.removeprefix(f"{root}/")] = reason
    return by_path


def in_table(path: str) -> str:
    """A path as tables have it: bytes that are not UTF-8 are escaped."""
    return path.encode(errors="backslashreplace").decode()


def judge(oddity: Oddity, told: Mapping[str, Told | None]) -> list[str]:
    """What is wrong with the commands' answers on one file: not as it must be, or not the same."""
    about = f"{oddity.name!r} ({oddity.what})"
    if oddity.name in FILMS:  # which maskcls-predict reads as videos
        told = {command: answer for command, answer in told.items() if command != "predict"}
    wrong = [
        f"{about}: {command} says {answer and answer.fate}, expected {oddity.fate}: {answer and answer.reason}"
        for command, answer in told.items()
        if answer is None or answer.fate != oddity.fate
    ]
    reasons = {answer.reason for answer in told.values() if answer}
    return wrong or ([f"{about}: the commands give the reasons {sorted(reasons)}"] if len(reasons) > 1 else [])


class Oddities(NamedTuple):
    """A folder of oddities, and what each command says about it."""

    written: list[Oddity]
    records: dict[str, Record]

    def told(self, oddity: Oddity) -> dict[str, Told | None]:
        """What each command did with an oddity, by the command's name."""
        return {name: record.told(f"{CLASS}/{oddity.name}") for name, record in self.records.items()}


def run_commands(options: Options, processes: Processes) -> Oddities:
    """Write the folder and run the four commands on it; raises as `Commands.records` does."""
    root = write_faces(options.folder / "data", {".": ORDINARY})
    written = write_oddities(root / CLASS, options.seed)
    return Oddities(written, Commands(root, options.folder, processes).records())


def campaign(options: Options, processes: Processes) -> Outcome:
    """Write the folder, run the four commands on it, and compare what each did with each file."""
    written, records = found = run_commands(options, processes)
    failures = [line for oddity in written for line in judge(oddity, found.told(oddity))]
    expected = 2 * ORDINARY + sum(oddity.fate in ("used", "damaged") for oddity in written)
    failures += [f"{name}: read {one.read} files, expected {expected}" for name, one in records.items()
                 if one.read != expected]  # fmt: skip
    return Outcome(len(written), failures, f"{expected} files are read")
