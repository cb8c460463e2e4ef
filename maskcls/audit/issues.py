"""What is wrong with single files: one issue for each file and finding, to sort and to act on."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from maskcls.audit.duplicates import EDITED, EVIDENCE, Link
from maskcls.audit.files import USUAL_MODE, FileFacts, Inspection
from maskcls.audit.labelled import Labelled, conflicts, groups_of, is_leaked, leaks
from maskcls.audit.quality import Fault, Judgement, judge
from maskcls.wording import counted

Severity = Literal["severe", "doubtful", "note"]
Kind = Literal["leak", "shortcut", "bad_file", "conflict", "imbalance", "duplicates", "quality", "oddity"]
# in the order in which findings are listed
SEVERITIES, KINDS = get_args(Severity), get_args(Kind)
# a leak is severe where more than this share of a class's files in a split is also in train
TOLERATED_LEAK = 0.01
# oddities that say nothing about a file where most files have them
MAY_BE_USUAL = ("mode", "not_square")
# what is measured on an image, by the fault
_MEASURED: Mapping[Fault, str] = {
    "dark": "brightness of the bright parts",
    "bright": "brightness of the middle",
    "low_contrast": "contrast",
    "blurred": "blur",
    "odd_size": "side",
    "odd_aspect": "width divided by height",
}


class Issue(NamedTuple):
    """One thing that is wrong with one file.

    Attributes:
        image: position of the file.
        kind: kind of the finding that it belongs to.
        fault: its name, more exact than the kind.
        severity: severity of the finding.
        score: how bad it is or how sure, 0..1.
        related: position of the file that it is a copy of, None for other faults.
        detail: what was measured or found.
    """

    image: int
    kind: Kind
    fault: str
    severity: Severity
    score: float = 1.0
    related: int | None = None
    detail: str = ""


def list_issues(inspection: Inspection, files: Labelled, links: Sequence[Link]) -> list[Issue]:
    """List everything that is wrong with single files: the most severe first, then by kind, fault and score."""
    facts = inspection.facts
    shown = [image for image, fact in enumerate(facts) if fact.fault is None and not fact.is_constant]
    sizes = np.array([(fact.width, fact.height) for fact in facts])
    judgements = judge(inspection.looks, sizes, shown)
    usual = usual_oddities(facts)
    of_files = [issue for issue in _file_issues(facts) if issue.fault not in usual]
    found = [*of_files, *_copies(files, links), *map(_quality_issue, judgements)]
    return sorted(found, key=lambda one: (SEVERITIES.index(one.severity), KINDS.index(one.kind), one.fault, -one.score))


def usual_oddities(facts: Sequence[FileFacts]) -> dict[str, list[Issue]]:
    """Return the oddities that more than half of the readable files have, by fault: they set no file apart."""
    by_fault: dict[str, list[Issue]] = defaultdict(list)
    for issue in _file_issues(facts):
        if issue.fault in MAY_BE_USUAL:
            by_fault[issue.fault].append(issue)
    readable = sum(fact.fault is None for fact in facts)
    return {fault: issues for fault, issues in by_fault.items() if 2 * len(issues) > readable}


def severity_of_leaks(files: Labelled) -> Mapping[str, Severity]:
    """Return how severe the leak of each split is, for splits that have one."""
    share: dict[str, float] = defaultdict(float)
    for row in leaks(files):
        share[row.split] = max(share[row.split], row.also_in_train / row.files)
    return {split: "severe" if part > TOLERATED_LEAK else "doubtful" for split, part in share.items() if part}


def _file_issues(facts: Sequence[FileFacts]) -> Iterator[Issue]:
    for image, fact in enumerate(facts):
        for applies, kind, fault, severity, detail in _faults_of(fact):
            if applies:
                yield Issue(image, kind, fault, severity, detail=detail)


def _faults_of(fact: FileFacts) -> tuple[tuple[bool, Kind, str, Severity, str], ...]:
    """Return for each fault whether a file has it, its kind, name and severity, and a detail."""
    if fact.fault is not None:
        return (
            (True, "bad_file", "unreadable", "severe", fact.fault),
            (fact.name_is_unreadable, "oddity", "name", "note", ""),
        )
    colour = ", ".join(f"{255 * value:.0f}" for value in fact.mean)
    size = f"{fact.width} x {fact.height} pixels"
    return (
        (fact.damage is not None, "bad_file", "cut_off", "doubtful", fact.damage or ""),
        (fact.is_constant, "bad_file", "single_colour", "doubtful", f"red, green and blue {colour}"),
        (fact.has_face is False, "quality", "no_face", "note", ""),
        (fact.remark != "", "oddity", "remark", "note", fact.remark),
        (fact.suffix_lies, "oddity", "suffix", "note", f"the content is {fact.format}"),
        (fact.name_is_unreadable, "oddity", "name", "note", ""),
        (fact.mode not in (USUAL_MODE, ""), "oddity", "mode", "note", fact.mode),
        (fact.width != fact.height, "oddity", "not_square", "note", size),
    )


def _quality_issue(found: Judgement) -> Issue:
    detail = f"{_MEASURED[found.fault]} {found.value:.2f}, the median of all files is {found.usual:.2f}"
    if found.fault == "odd_size":
        side = counted(round(found.value), "pixel")
        detail = f"{_MEASURED[found.fault]} about {side}, the median of all files is {found.usual:.0f}"
    return Issue(found.image, "quality", found.fault, "note", found.score, detail=detail)


def _copies(files: Labelled, links: Sequence[Link]) -> Iterator[Issue]:
    """List the files that show an image of train, an image of another class, or once more an image of their class."""
    everything, unedited = _Related(links), _Related(link for link in links if link.evidence != EDITED)
    leaked, severities = is_leaked(files), severity_of_leaks(files)
    for image in np.flatnonzero(leaked).tolist():
        copy = everything.nearest(image, lambda other: files.splits[other] == "train")
        yield _copy(image, "leak", "leak", severities[files.splits[image]], copy)
    for image in (position for part in conflicts(files) for position in part):
        copy = unedited.nearest(image, _is_of_class(files, image, same=False))
        yield _copy(image, "conflict", "conflict", "severe", copy)
    for part in groups_of(files.groups.unedited):
        kept: set[str] = set()
        for image in part:
            name = files.classes[image]
            if name in kept and not leaked[image]:
                copy = unedited.nearest(image, _is_of_class(files, image, same=True))
                yield _copy(image, "duplicates", "copy", "note", copy)
            kept.add(name)
    for link in links:
        if link.evidence == EDITED and not (leaked[link.first] or leaked[link.second]):
            yield _copy(link.second, "duplicates", "edited", "note", _Counterpart(link.first, EDITED, _score(link)))


def _is_of_class(files: Labelled, image: int, *, same: bool) -> Callable[[int], bool]:
    """Return a function that tells whether another file is of the same class as one, or whether it is not."""
    name = files.classes[image]
    return lambda other: (files.classes[other] == name) == same


class _Counterpart(NamedTuple):
    """A file that shows the same image, and by which evidence; the score is that of the weakest link between them."""

    image: int
    evidence: str
    score: float


def _copy(image: int, kind: Kind, fault: str, severity: Severity, copy: _Counterpart) -> Issue:
    return Issue(image, kind, fault, severity, copy.score, copy.image, copy.evidence)


def _score(link: Link) -> float:
    return link.match.agreement if link.match else 1.0


class _Related:
    """Finds the nearest file along the links."""

    def __init__(self, links: Iterable[Link]) -> None:
        self._links: dict[int, list[tuple[int, Link]]] = defaultdict(list)
        for link in sorted(links, key=lambda link: (EVIDENCE.index(link.evidence), -_score(link))):
            self._links[link.first].append((link.second, link))
            self._links[link.second].append((link.first, link))

    def nearest(self, image: int, is_wanted: Callable[[int], bool]) -> _Counterpart:
        """Return the nearest of the other files that are wanted; there must be one."""
        seen = {image}
        waiting = deque([_Counterpart(image, "", 1.0)])
        while waiting:
            here = waiting.popleft()
            for other, link in self._links[here.image]:
                if other in seen:
                    continue
                seen.add(other)
                evidence = link.evidence if here.image == image else "through other copies"
                there = _Counterpart(other, evidence, min(here.score, _score(link)))
                if is_wanted(other):
                    return there
                waiting.append(there)
        raise ValueError(f"file {image} has no such copy")
