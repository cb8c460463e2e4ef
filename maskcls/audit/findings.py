"""Conclusions of an audit: findings in sentences, each with a severity."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from maskcls.audit.duplicates import EDITED, FileGroups, Link
from maskcls.audit.files import USUAL_MODE, FileFacts
from maskcls.audit.shortcuts import Shortcut
from maskcls.data.index import Index

Severity = Literal["severe", "doubtful", "note"]
Kind = Literal["leak", "shortcut", "bad_file", "conflict", "duplicates", "oddity"]
# in the order in which findings are listed
SEVERITIES, KINDS = get_args(Severity), get_args(Kind)
# a leak is severe where more than this share of a class's files in a split is also in train
TOLERATED_LEAK = 0.01
# number of files that a finding names as examples
EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """One conclusion.

    Attributes:
        kind: what was found; ``fail_on`` may name a leak, conflict, shortcut or bad_file.
        severity: severe makes an accuracy worthless, doubtful should be looked at, a note changes little.
        text: one sentence.
        files: paths of some of the files concerned.
    """

    kind: Kind
    severity: Severity
    text: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Labelled:
    """Split, class and group of each file, split after split.

    Attributes:
        splits, classes: str [files], names.
        groups: which files show one photograph.
    """

    splits: np.ndarray
    classes: np.ndarray
    groups: FileGroups

    @classmethod
    def of(cls, index: Index, groups: FileGroups) -> "Labelled":
        """Describe the files of an index."""
        splits = [name for name, split in index.splits.items() for _ in split.paths]
        classes = [index.classes[label] for split in index.splits.values() for label in split.labels]
        return cls(np.array(splits), np.array(classes), groups)


@dataclass(frozen=True)
class Leak:
    """Number of files of one class in one split, and of those among them whose group is also in train."""

    split: str
    class_name: str
    files: int
    also_in_train: int


def leaks(files: Labelled) -> list[Leak]:
    """Count, for each class of each other split, the files whose group is also in train.

    Edited copies count as well, because their photograph was trained on.
    """
    all_groups = files.groups.of_file
    trained = set(all_groups[files.splits == "train"].tolist())
    found = []
    for split in dict.fromkeys(files.splits.tolist()):
        for name in sorted(set(files.classes.tolist())):
            groups = all_groups[(files.splits == split) & (files.classes == name)].tolist()
            if split != "train" and trained and groups:
                found.append(Leak(split, name, len(groups), sum(group in trained for group in groups)))
    return found


def conflicts(files: Labelled) -> list[list[int]]:
    """List the positions of the files of each group that has several classes. Edited copies do not count."""
    groups = files.groups.unedited
    order = np.argsort(groups, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    return [part.tolist() for part in parts if len(set(files.classes[part].tolist())) > 1]


def conclude(
    facts: Sequence[FileFacts], files: Labelled, links: Sequence[Link], shortcuts: Sequence[Shortcut]
) -> list[Finding]:
    """Return all findings, the most severe first, and then by kind."""
    found = [*_leak(files), *_shortcut(shortcuts), *_conflicts(facts, files), *_copies(files, links)]
    found += _unusual_files(facts)
    return sorted(found, key=lambda one: (SEVERITIES.index(one.severity), KINDS.index(one.kind)))


def _leak(files: Labelled) -> list[Finding]:
    rows = leaks(files)
    findings = []
    for split in dict.fromkeys(row.split for row in rows):
        of_split = [row for row in rows if row.split == split]
        total, leaked = sum(row.files for row in of_split), sum(row.also_in_train for row in of_split)
        if not leaked:
            continue
        each = ", ".join(f"{row.also_in_train} of {row.files} {row.class_name}" for row in of_split)
        share = max(row.also_in_train / row.files for row in of_split)
        severity: Severity = "severe" if share > TOLERATED_LEAK else "doubtful"
        text = f"{leaked} of {total} {split} files show a photograph that is also in train ({each}): "
        findings.append(Finding("leak", severity, f"{text}accuracy on them measures memory"))
    return findings


def _shortcut(shortcuts: Sequence[Shortcut]) -> list[Finding]:
    return [
        Finding(
            "shortcut",
            "severe" if s.is_severe else "doubtful",
            f"{s.name} alone, without seeing a face, can tell the classes apart with a mean recall of "
            f"{100 * s.accuracy:.1f} % (95 % interval {100 * s.interval[0]:.1f} to {100 * s.interval[1]:.1f}, "
            f"guessing {100 * s.chance:.1f} %)",
        )
        for s in shortcuts
        if s.interval[0] > s.chance + 0.05
    ]


def _unusual_files(facts: Sequence[FileFacts]) -> list[Finding]:
    other_mode = [fact for fact in facts if fact.fault is None and fact.mode not in (USUAL_MODE, "")]
    modes = ", ".join(f"{n} {mode}" for mode, n in Counter(fact.mode for fact in other_mode).most_common())
    kinds: tuple[tuple[Kind, Severity, str, list[FileFacts]], ...] = (
        ("bad_file", "severe", "cannot be read", [fact for fact in facts if fact.fault]),
        ("bad_file", "doubtful", "are cut off: their end is missing", [fact for fact in facts if fact.is_truncated]),
        ("bad_file", "doubtful", "have a single colour", [fact for fact in facts if fact.is_constant]),
        ("oddity", "note", "have a suffix that does not fit their format", [f for f in facts if f.suffix_lies]),
        ("oddity", "note", "have names that are not UTF-8", [fact for fact in facts if fact.name_is_unreadable]),
        ("oddity", "note", f"are not {USUAL_MODE} ({modes})", other_mode),
        ("oddity", "note", "are not square and will be squeezed", [f for f in facts if f.width != f.height]),
    )
    return [
        Finding(kind, severity, f"{len(files)} of {len(facts)} files {what}", _examples(files))
        for kind, severity, what, files in kinds
        if files
    ]


def _conflicts(facts: Sequence[FileFacts], files: Labelled) -> list[Finding]:
    found = conflicts(files)
    if not found:
        return []
    examples = _examples([facts[i] for part in found for i in part])
    return [Finding("conflict", "severe", f"{len(found)} photographs are filed under more than one class", examples)]


def _copies(files: Labelled, links: Sequence[Link]) -> list[Finding]:
    found = []
    for name in sorted(set(files.classes.tolist())):
        count = int((files.classes == name).sum())
        groups, sizes = np.unique(files.groups.unedited[files.classes == name], return_counts=True)
        if len(groups) < count:
            severity: Severity = "doubtful" if len(groups) < 0.9 * count else "note"
            text = f"the {count} files of {name} show {len(groups)} photographs, one of them {sizes.max()} times"
            found.append(Finding("duplicates", severity, text))
    edited = sum(link.evidence == EDITED for link in links)
    if edited:
        text = f"{edited} pairs of files show one photograph with a part replaced: related, but not near-duplicates"
        found.append(Finding("duplicates", "note", text))
    return found


def _examples(facts: Sequence[FileFacts]) -> tuple[str, ...]:
    return tuple(fact.path for fact in facts[:EXAMPLES])
