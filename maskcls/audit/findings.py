"""What an audit concludes: findings in sentences, each with its severity."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from maskcls.audit.duplicates import EDITED, Groups, Link
from maskcls.audit.files import USUAL_MODE, FileFacts
from maskcls.audit.shortcuts import Shortcut
from maskcls.data.index import Index

Severity = Literal["severe", "doubtful", "note"]
Kind = Literal["leak", "shortcut", "bad_file", "conflict", "duplicates", "oddity"]
# share of a class's files in a split that may be in train, too, before the leak is severe
TOLERATED_LEAK = 0.01
# examples of files that a finding names
EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """One conclusion.

    Attributes:
        kind: what ``fail_on`` may name: leak, conflict, shortcut or bad_file; others are duplicates and oddity.
        severity: severe makes an accuracy worthless, doubtful should be looked at, a note changes little.
        text: one sentence.
        files: some of the files that it is about.
    """

    kind: Kind
    severity: Severity
    text: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Labelled:
    """Where each file stands: its split, its class, its photograph.

    Attributes:
        splits, classes: names, one for each file.
        photographs: int64, equal for files that show the same; without those that were edited in ``duplicates``.
    """

    splits: np.ndarray
    classes: np.ndarray
    photographs: np.ndarray
    duplicates: np.ndarray

    @classmethod
    def of(cls, index: Index, groups: Groups) -> "Labelled":
        """Of an index's files, split after split."""
        splits = [name for name, split in index.splits.items() for _ in split.paths]
        classes = [index.classes[label] for split in index.splits.values() for label in split.labels]
        return cls(np.array(splits), np.array(classes), groups.of_file, groups.duplicates_of_file)


def leaks(files: Labelled) -> list[dict[str, Any]]:
    """Of each split but train, and each class: how many files have a copy in the training split.

    Copies with a part replaced count, too: the same photograph was trained on.
    """
    trained = set(files.photographs[files.splits == "train"].tolist())
    rows = []
    for split in dict.fromkeys(files.splits.tolist()):
        for name in sorted(set(files.classes.tolist())):
            chosen = files.photographs[(files.splits == split) & (files.classes == name)]
            if split == "train" or not trained or not len(chosen):
                continue
            rows.append(
                {
                    "split": split,
                    "class": name,
                    "files": len(chosen),
                    "files_also_in_train": sum(photograph in trained for photograph in chosen.tolist()),
                }
            )
    return rows


def conflicts(files: Labelled) -> list[list[int]]:
    """Positions of the files of each photograph that is filed under several classes, unedited."""
    order = np.argsort(files.duplicates, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(files.duplicates[order])) + 1)
    return [part.tolist() for part in parts if len(set(files.classes[part].tolist())) > 1]


def conclude(
    facts: Sequence[FileFacts], files: Labelled, links: Sequence[Link], shortcuts: Sequence[Shortcut]
) -> list[Finding]:
    """All findings, the severest first."""
    found = [*_leak(files), *_shortcut(shortcuts), *_bad_files(facts), *_conflicts(facts, files)]
    found += [*_copies(files, links), *_oddities(facts)]
    order: tuple[Severity, ...] = ("severe", "doubtful", "note")
    return sorted(found, key=lambda finding: order.index(finding.severity))


def _leak(files: Labelled) -> list[Finding]:
    rows = leaks(files)
    findings = []
    for split in dict.fromkeys(row["split"] for row in rows):
        of_split = [row for row in rows if row["split"] == split]
        total, leaked = (sum(row[key] for row in of_split) for key in ("files", "files_also_in_train"))
        if not leaked:
            continue
        each = ", ".join(f"{row['files_also_in_train']} of {row['files']} {row['class']}" for row in of_split)
        share = max(row["files_also_in_train"] / row["files"] for row in of_split)
        severity: Severity = "severe" if share > TOLERATED_LEAK else "doubtful"
        findings.append(
            Finding(
                "leak",
                severity,
                f"{leaked} of {total} {split} files show a photograph that is in train, too ({each}): "
                f"an accuracy on {split} measures memory there",
            )
        )
    return findings


def _shortcut(shortcuts: Sequence[Shortcut]) -> list[Finding]:
    return [
        Finding(
            "shortcut",
            "severe" if s.is_severe else "doubtful",
            f"{s.name} alone, no face seen, tells the classes apart with a mean recall of {100 * s.accuracy:.1f} % "
            f"(95 % interval {100 * s.interval[0]:.1f} to {100 * s.interval[1]:.1f}, guessing {100 * s.chance:.1f} %)",
        )
        for s in shortcuts
        if s.interval[0] > s.chance + 0.05
    ]


def _bad_files(facts: Sequence[FileFacts]) -> list[Finding]:
    kinds = (
        ("severe", "cannot be read", [fact for fact in facts if fact.fault]),
        ("doubtful", "are cut off: their end is missing", [fact for fact in facts if fact.is_truncated]),
        ("doubtful", "are of a single colour", [fact for fact in facts if fact.is_constant]),
    )
    return [
        Finding("bad_file", severity, f"{len(bad)} of {len(facts)} files {what}", _examples(bad))  # type: ignore[arg-type]
        for severity, what, bad in kinds
        if bad
    ]


def _conflicts(facts: Sequence[FileFacts], files: Labelled) -> list[Finding]:
    found = conflicts(files)
    if not found:
        return []
    examples = tuple(facts[i].path for part in found for i in part)[:EXAMPLES]
    return [Finding("conflict", "severe", f"{len(found)} photographs are filed under more than one class", examples)]


def _copies(files: Labelled, links: Sequence[Link]) -> list[Finding]:
    found = []
    for name in sorted(set(files.classes.tolist())):
        of_class = files.classes == name
        photographs, largest = np.unique(files.duplicates[of_class], return_counts=True)
        if len(photographs) < of_class.sum():
            found.append(
                Finding(
                    "duplicates",
                    "doubtful" if len(photographs) < 0.9 * of_class.sum() else "note",
                    f"the {of_class.sum()} files of {name} show {len(photographs)} photographs, "
                    f"one of them {largest.max()} times",
                )
            )
    edited = sum(link.evidence == EDITED for link in links)
    if edited:
        found.append(
            Finding(
                "duplicates",
                "note",
                f"{edited} pairs of files are one photograph of which a part was replaced: related, no duplicates",
            )
        )
    return found


def _oddities(facts: Sequence[FileFacts]) -> list[Finding]:
    other_mode = [fact for fact in facts if fact.fault is None and fact.mode not in (USUAL_MODE, "")]
    modes = ", ".join(f"{n} {mode}" for mode, n in Counter(fact.mode for fact in other_mode).most_common())
    odd = {
        "have an ending that is not their format's": [fact for fact in facts if fact.suffix_lies],
        "have names that are no UTF-8": [fact for fact in facts if fact.name_is_unreadable],
        f"are not {USUAL_MODE} ({modes})": other_mode,
        "are not square, and will be squeezed": [fact for fact in facts if fact.width != fact.height],
    }
    findings = []
    for what, bad in odd.items():
        if bad:
            findings.append(Finding("oddity", "note", f"{len(bad)} of {len(facts)} files {what}", _examples(bad)))
    return findings


def _examples(facts: Sequence[FileFacts]) -> tuple[str, ...]:
    return tuple(fact.path for fact in facts[:EXAMPLES])
