"""What every campaign gets and returns."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

from torture.processes import Processes

Case = TypeVar("Case")
Result = TypeVar("Result")


class CampaignError(Exception):
    """A campaign cannot judge any case. The message says why."""


@dataclass(frozen=True)
class Options:
    """How a campaign is run.

    Attributes:
        folder: an empty folder for its files.
        seed: seed of the generators that draw its cases.
        scale: share of the cases to run.
        jobs: processes at a time.
    """

    folder: Path
    seed: int
    scale: float
    jobs: int

    def cases(self, at_full_scale: int, *, at_least: int) -> int:
        """How many cases to run."""
        return max(at_least, round(at_full_scale * self.scale))

    def in_parallel(self, run: Callable[[Case], Result], cases: Iterable[Case]) -> list[Result]:
        """Run cases, ``jobs`` at a time. The results are in the order of the cases."""
        with ThreadPoolExecutor(self.jobs) as pool:
            return list(pool.map(run, cases))


class Outcome(NamedTuple):
    """What a campaign found.

    Attributes:
        cases: how many were run.
        failures: what was wrong, a line each.
        remarks: what the cases were like, for the table.
    """

    cases: int
    failures: list[str]
    remarks: str


Campaign: TypeAlias = Callable[[Options, Processes], Outcome]
