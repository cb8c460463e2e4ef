"""Conclusions of an audit: findings in sentences, each with a severity."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maskcls.audit.duplicates import EDITED, Link
from maskcls.audit.files import USUAL_MODE, Inspection
from maskcls.audit.issues import KINDS, SEVERITIES, Issue, Kind, Severity, severity_of_leaks, usual_oddities
from maskcls.audit.labelled import Labelled, conflicts, leaks
from maskcls.audit.quality import Look
from maskcls.audit.shortcuts import Shortcut
from maskcls.wording import counted, named

# number of files or classes that a finding names as examples
EXAMPLES = 5
# values of 12 bits reach this share of those of 16
TWELVE_BITS = 4095 / 65535
# a class is rare where another one has so many times its files; training suffers from the second ratio on
RARE, VERY_RARE = 3, 10
# classes are shared out differently between two splits where a share differs by more than this, and not by chance: by a
# chi-squared test at this level
SHARE_DIFFERENCE, LEVEL = 0.05, 0.001

_SQUARED = "will be made so, as data.resize says"
# what is said of one file, and of several, by the fault of their issues
_SAID: Mapping[str, tuple[str, str]] = {
    "unreadable": ("cannot be read", "cannot be read"),
    "cut_off": ("is cut off: its end is missing", "are cut off: their end is missing"),
    "single_colour": ("has a single colour", "have a single colour"),
    "dark": ("is dark", "are dark"),
    "bright": ("is bright: its middle is almost white", "are bright: their middle is almost white"),
    "low_contrast": ("has little contrast", "have little contrast"),
    "blurred": ("looks blurred", "look blurred"),
    "odd_size": ("is much larger or smaller than the others", "are much larger or smaller than the others"),
    "odd_aspect": ("is much wider or higher than the others", "are much wider or higher than the others"),
    "no_face": ("has no face that was found", "have no face that was found"),
    "remark": ("is not an ordinary image file", "are not ordinary image files"),
    "suffix": ("has a suffix that does not fit its format", "have a suffix that does not fit their format"),
    "name": ("has a name that is not UTF-8", "have names that are not UTF-8"),
    "mode": (f"is not {USUAL_MODE}", f"are not {USUAL_MODE}"),
    "not_square": (f"is not square and {_SQUARED}", f"are not square and {_SQUARED}"),
}


@dataclass(frozen=True)
class Finding:
    """One conclusion.

    Attributes:
        kind: what was found; ``fail_on`` may name a leak, conflict, shortcut, bad_file or imbalance.
        severity: severe makes an accuracy worthless, doubtful should be looked at, a note changes little.
        text: one sentence.
        files: paths of some of the files concerned; ``issues.csv`` has all of them.
    """

    kind: Kind
    severity: Severity
    text: str
    files: tuple[str, ...] = ()


def conclude(
    inspection: Inspection,
    files: Labelled,
    links: Sequence[Link],
    shortcuts: Sequence[Shortcut],
    issues: Sequence[Issue],
    few_features: int,
) -> list[Finding]:
    """Return all findings, the most severe first, and then by kind.

    Args:
        few_features: number of files that have too few local features to be recognised when they are turned.
    """
    facts = inspection.facts
    by_fault: dict[str, list[Issue]] = {}
    for issue in issues:
        by_fault.setdefault(issue.fault, []).append(issue)

    def examples(fault: str, split: str = "") -> tuple[str, ...]:
        chosen = [one.image for one in by_fault.get(fault, []) if not split or files.splits[one.image] == split]
        return tuple(facts[image].path for image in chosen[:EXAMPLES])

    found = [Finding("leak", severity, text, examples("leak", split)) for split, severity, text in _leaks(files)]
    found += [Finding("shortcut", *told) for told in [*_shortcuts(shortcuts), *_dark_classes(inspection, files)]]
    found += [Finding("conflict", "severe", text, examples("conflict")) for text in _conflicts(files)]
    found += [Finding("imbalance", *told) for told in _imbalance(files)]
    found += [Finding("duplicates", *told) for told in _copies(files, links, few_features)]
    usual = usual_oddities(facts)  # which are in no row of a file
    for fault, said in _SAID.items():
        if these := usual.get(fault) or by_fault.get(fault):
            text = f"{len(these)} of {counted(len(facts), 'file')} {said[len(these) > 1]}"
            if fault == "mode":
                modes = Counter(issue.detail for issue in these).most_common()
                text += f" ({', '.join(f'{number} {mode}' for mode, number in modes)})"
            found.append(Finding(these[0].kind, these[0].severity, text, examples(fault)))
    return sorted(found, key=lambda one: (SEVERITIES.index(one.severity), KINDS.index(one.kind)))


def _leaks(files: Labelled) -> Iterator[tuple[str, Severity, str]]:
    for split, severity in severity_of_leaks(files).items():
        rows = [row for row in leaks(files) if row.split == split]
        total, leaked = sum(row.files for row in rows), sum(row.also_in_train for row in rows)
        each = [f"{row.also_in_train} of {row.files} in {named(row.class_name)}" for row in rows if row.also_in_train]
        classes = f" ({', '.join(each)})" if len(files.class_names) > 1 else ""
        shows = "shows an image that is" if leaked == 1 else "show images that are"
        what = f"{leaked} of {counted(total, f'{split} file')} {shows} also in train{classes}"
        yield split, severity, f"{what}: accuracy on {'it' if leaked == 1 else 'them'} measures memory"


def _shortcuts(shortcuts: Sequence[Shortcut]) -> Iterator[tuple[Severity, str]]:
    for one in shortcuts:
        if one.interval[0] > one.chance + 0.05:
            low, high = one.interval
            text = (
                f"{one.name} alone can tell the classes apart with a mean recall of {100 * one.accuracy:.1f} % "
                f"(95 % interval {100 * low:.1f} to {100 * high:.1f}, guessing {100 * one.chance:.1f} %)"
            )
            yield "severe" if one.is_severe else "doubtful", f"{text}; {one.caveat}" if one.caveat else text


def _dark_classes(inspection: Inspection, files: Labelled) -> Iterator[tuple[Severity, str]]:
    """Find classes whose images are all as dark as 12-bit values in 16-bit files are."""
    readable = np.array([fact.fault is None for fact in inspection.facts], dtype=bool)
    is_dark = inspection.looks[:, Look._fields.index("peak")] <= TWELVE_BITS + 0.5 / 255
    dark = [
        (name, int(chosen.sum()))
        for name in files.class_names
        if (chosen := readable & (files.classes == name)).any() and is_dark[chosen].all()
    ]
    for name, count in dark:
        of_class = f" of {named(name)}" if name else ""
        text = f"all {counted(count, 'image')}{of_class} are so dark that they look like 12-bit values in 16-bit files"
        differs = len(dark) < len(files.class_names)
        yield "severe" if differs else "doubtful", f"{text}: brightness tells the classes apart" if differs else text


def _conflicts(files: Labelled) -> Iterator[str]:
    found = len(conflicts(files))
    if found:
        yield f"{counted(found, 'image')} {'is' if found == 1 else 'are'} filed under more than one class"


def _imbalance(files: Labelled) -> Iterator[tuple[Severity, str]]:
    """Compare the numbers of files of the classes, within each split and between train and each other split."""
    classes = files.class_names
    number_of = Counter(zip(files.splits.tolist(), files.classes.tolist(), strict=True))
    counts = {split: np.array([number_of[split, name] for name in classes]) for split in files.split_names}
    for split, numbers in counts.items():
        missing = [name for name, number in zip(classes, numbers, strict=True) if not number]
        if missing:
            more = f" and {len(missing) - EXAMPLES} more" if len(missing) > EXAMPLES else ""
            yield "severe", f"{split} has no image of {', '.join(map(named, missing[:EXAMPLES]))}{more}"
        largest, smallest = int(numbers.argmax()), int(numbers.argmin())
        if not missing and numbers[largest] >= RARE * numbers[smallest]:
            ratio = numbers[largest] / numbers[smallest]
            most, least = (f"{named(classes[one])} ({numbers[one]})" for one in (largest, smallest))
            text = (
                f"{split} has {ratio:.0f} times as many images of {most} as of {least}: look at the recall of each "
                "class, not only at the accuracy"
            )
            yield "doubtful" if ratio >= VERY_RARE else "note", text
    for split, numbers in counts.items():
        if split != "train" and "train" in counts and _is_shared_otherwise(counts["train"], numbers):
            trained, other = counts["train"] / counts["train"].sum(), numbers / numbers.sum()
            changed = int(np.abs(trained - other).round(9).argmax())
            shares = f"{100 * trained[changed]:.0f} % of train and {100 * other[changed]:.0f} % of {split}"
            yield "note", f"{shares} are {named(classes[changed])}"


def _is_shared_otherwise(first: np.ndarray, second: np.ndarray) -> bool:
    from scipy.stats import chi2_contingency

    table = np.stack([first, second])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or np.abs(table[0] / table[0].sum() - table[1] / table[1].sum()).max() <= SHARE_DIFFERENCE:
        return False
    return bool(chi2_contingency(table).pvalue < LEVEL)


def _copies(files: Labelled, links: Sequence[Link], few_features: int) -> Iterator[tuple[Severity, str]]:
    few: list[tuple[str, str, int]] = []
    for name in files.class_names:
        count = int((files.classes == name).sum())
        groups, sizes = np.unique(files.groups.unedited[files.classes == name], return_counts=True)
        of_class = f" of {named(name)}" if name else ""
        text = f"the {count} files{of_class} show {counted(len(groups), 'different image')}"
        text += f", one of them {sizes.max()} times"
        if len(groups) < 0.9 * count:
            yield "doubtful", text
        elif len(groups) < count:
            few.append((text, name, count - len(groups)))
    if len(few) <= 3:
        yield from (("note", text) for text, _, _ in few)
    else:
        each = ", ".join(f"{copies} in {named(name)}" for _, name, copies in few)
        yield "note", f"{sum(copies for _, _, copies in few)} files show an image of their class once more ({each})"
    edited = sum(link.evidence == EDITED for link in links)
    if edited:
        shows = "shows one image" if edited == 1 else "show one image each"
        pairs = f"{counted(edited, 'pair')} of files"
        yield "note", f"{pairs} {shows} with a part replaced: related, but not near-duplicates"
    if few_features:
        has = "has" if few_features == 1 else "have"
        copies = "copies that are turned, cropped or mirrored are not found"
        yield "note", f"{few_features} of {counted(len(files.splits), 'file')} {has} too few corners: {copies}"
