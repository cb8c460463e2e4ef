"""What is remembered of a prediction, however long it is, and how it is summed up on the screen."""

import heapq
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from maskcls.commands.outputs import Naming
from maskcls.data.readable import report_remarks
from maskcls.inference.pipeline import Answered, Seen
from maskcls.media.frames import Unusable
from maskcls.reporting.text import aligned
from maskcls.wording import named, shortened

log = logging.getLogger(__name__)

# rows that are shown: the first, and those that the model is least certain of. The table has all
SHOWN = 10


@dataclass
class Tally:
    """Sums over all pictures.

    Attributes:
        naming: names of the classes.
        pictures: pictures and frames that were read.
        classes: answers by class.
        findings: answers by what was found; ``None`` where no face was looked for.
        unanswered: pictures without any answer.
        too_small: faces that were left out because they are smaller than asked for.
        first: the first answers.
        doubtful: the answers with the lowest probability of their class, lowest first.
        unreadable: the reason for each file that cannot be read, and for each video that broke off.
        damaged: what is wrong with files that were decoded in part, and with how many of their frames.
        remarks: what is odd about whole files, by path.
    """

    naming: Naming
    pictures: int = 0
    classes: Counter[int] = field(default_factory=Counter)
    findings: Counter[str | None] = field(default_factory=Counter)
    unanswered: int = 0
    too_small: int = 0
    first: list[tuple[str, Answered]] = field(default_factory=list)
    doubtful: list[tuple[str, Answered]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    damaged: Counter[str] = field(default_factory=Counter)
    remarks: dict[str, str] = field(default_factory=dict)

    def add(self, seen: Seen | Unusable) -> None:
        """Count a picture."""
        if isinstance(seen, Unusable):
            self.unreadable.append(f"{seen.path}: {seen.reason}")
            return
        frame = seen.frame
        self.pictures += 1
        self.unanswered += not seen.answers
        self.too_small += seen.too_small
        if frame.damage:
            self.damaged[f"{frame.path}: {frame.damage}"] += 1
        if frame.remark:
            self.remarks[frame.path] = frame.remark
        rows = [(_place(seen, answered), answered) for answered in seen.answers]
        for _, answered in rows:
            self.classes[answered.label] += 1
            self.findings[answered.subject.finding] += 1
        self.first += rows[: SHOWN - len(self.first)]
        self.doubtful = heapq.nsmallest(SHOWN, [*self.doubtful, *rows], key=lambda row: row[1].certainty)

    @property
    def answers(self) -> int:
        """Number of faces and whole pictures that were classified."""
        return self.classes.total()

    def record(self) -> dict[str, Any]:
        """The sums, for run.json."""
        return {
            "images": self.pictures,
            "answers": self.answers,
            "classes": {name: self.classes[label] for label, name in enumerate(self.naming.classes)},
            "found": {name: count for name, count in self.findings.items() if name is not None},
            "unanswered": self.unanswered,
            "too_small": self.too_small,
            "unreadable": self.unreadable,
            "damaged": [*self.damaged],
        }


def _place(seen: Seen, answered: Answered) -> str:
    """Where an answer is from, as it is shown: the path, for a video the time, and where a face is."""
    place = shortened(seen.frame.path, 70)
    if seen.clip.is_video:
        place += f" {_clock(seen.frame.seconds)}" if seen.frame.seconds is not None else f" frame {seen.frame.number}"
    if (found := answered.subject.detection) is not None and len(seen.answers) > 1:
        place += f" at {round(found.left)},{round(found.top)}"
    return place


def _clock(seconds: float) -> str:
    hours, rest = divmod(round(seconds, 1), 3600)  # first, or 59.96 would become 0:60.0
    minutes, seconds = divmod(rest, 60)
    return f"{hours:.0f}:{minutes:02.0f}:{seconds:04.1f}" if hours else f"{minutes:.0f}:{seconds:04.1f}"


def report(tally: Tally) -> None:
    """Show some answers, the number of each class, and what is odd about files."""
    if tally.answers:
        _show_classes(tally)
    for fault in tally.unreadable:
        log.warning("cannot be read: %s", fault)
    for fault, count in tally.damaged.items():
        frames = f" ({count} frames)" if count > 1 else ""
        log.warning("damaged, predicted from what is left of it: %s%s", fault, frames)
    report_remarks(tally.remarks)


def _show_classes(tally: Tally) -> None:
    names = [*map(named, tally.naming.classes)]
    what = "faces" if tally.findings["found"] else "images"
    some = {f"the first {SHOWN} {what}": tally.first, f"the {SHOWN} least certain {what}": tally.doubtful}
    for which, rows in some.items() if tally.answers > SHOWN else [(f"all {what}", tally.first)]:
        _show_answers(which, rows, names)
    log.info("predicted:")
    for line in aligned([("class", what, "share"), *_shares(tally, names)]):
        log.info("%s", line)


def _show_answers(which: str, rows: Sequence[tuple[str, Answered]], names: Sequence[str]) -> None:
    cells = [(place, names[row.label], *(f"{p:.2%}" for p in row.probabilities)) for place, row in rows]
    log.info("%s:", which)
    for line in aligned([("file", "prediction", *names), *cells]):
        log.info("%s", line)


def _shares(tally: Tally, names: Sequence[str]) -> list[tuple[str, str, str]]:
    return [
        (name, f"{tally.classes[label]:,}", f"{tally.classes[label] / tally.answers:.2%}")
        for label, name in enumerate(names)
    ]
