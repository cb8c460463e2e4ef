"""Groups of files that show one photograph: reads them, counts files by them, and weighs files by them."""

import csv
import hashlib
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from maskcls.data.index import Index, Split
from maskcls.data.layout import SPLIT_NAMES
from maskcls.errors import UserError
from maskcls.files import cell
from maskcls.wording import counted

log = logging.getLogger(__name__)

# how the names of augmented copies begin in the public data set, as in Augmented_12_345678.png
AUGMENTED = "Augmented"
# share of a folder's files that must be files of the public data set for its groups to be used
KNOWN_SHARE = 0.99
# files without a published name that are read before giving up, if none of them is a published file
PROBES = 100


@dataclass(frozen=True)
class Membership:
    """The group that a file belongs to.

    Attributes:
        group: name of the group; the same for all files that show one photograph.
        is_original: False for an augmented copy, True for other files; None if it is not known.
    """

    group: str
    is_original: bool | None = None


# the group of each file of an index, by path
Groups = Mapping[str, Membership]


def read_groups(path: Path, index: Index) -> Groups:
    """Read the group of each file of an index from a table such as the ``groups.csv`` of ``maskcls-audit``.

    Args:
        path: a CSV file with the columns path and group, and perhaps original (true or false).

    Raises:
        UserError: the file is not such a table, or lacks a file of the index.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"data.groups={path}: not a file; expected a table, such as maskcls-audit writes")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"data.groups={path}: cannot be read: {error}") from None
    if not rows or not {"path", "group"} <= rows[0].keys():
        raise UserError(f"data.groups={path}: expected a table with the columns path and group, see maskcls-audit")
    unnamed = [row["path"] for row in rows if not row["group"]]
    if unnamed:
        raise UserError(f"data.groups={path}: {counted(len(unnamed), 'file')} without a group, such as {unnamed[0]}")
    known = {
        row["path"]: Membership(row["group"], {"true": True, "false": False}.get((row.get("original") or "").lower()))
        for row in rows
    }
    paths = [cell(name) for name in index.all_images().paths]
    missing = [name for name in paths if name not in known]
    if missing:
        raise UserError(
            f"data.groups={path}: lacks {len(missing)} of {counted(len(paths), 'file')} of {index.root}, such as "
            f"{missing[0]}; run maskcls-audit on this folder again"
        )
    return {name: known[str(cell(name))] for name in index.all_images().paths}


def published_groups(index: Index) -> Groups | None:
    """Look up the group of each file of the public data set, facemask12k, in the table that comes with maskcls.

    Files are looked up by split, class and name without the suffix; those that are not found, by their content.

    Returns:
        The group of each file, or None if the index has other files than the public data set.
    """
    by_name: dict[tuple[str, str, str], Membership] = {}
    by_digest: dict[str, Membership] = {}
    text = resources.files("maskcls.data").joinpath("facemask12k.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        membership = Membership(row["group"], is_original=not row["file"].startswith(AUGMENTED))
        # without the suffix, which differs in a copy in another format
        by_name[SPLIT_NAMES[row["split"].lower()], row["class"], Path(row["file"]).stem] = membership
        by_digest[row["sha256"]] = membership
    found = {
        path: by_name.get((name, index.classes[label], Path(path).stem))
        for name, split in index.splits.items()
        for path, label in split.pairs()
    }
    unknown = [path for path, membership in found.items() if membership is None]
    for number, path in enumerate(unknown):
        file = index.root / path
        content = file.read_bytes() if file.is_file() else b""  # decoding it later reports the fault
        found[path] = by_digest.get(hashlib.sha256(content).hexdigest())
        if number == PROBES and not any(found[path] for path in unknown[:PROBES]):
            break  # this is another data set: the other files need not be read
    unknown = [path for path, membership in found.items() if membership is None]
    if len(unknown) > (1 - KNOWN_SHARE) * len(found):
        return None
    if unknown:
        log.warning("not in facemask12k, so a group of its own each: %s", counted(len(unknown), "file"))
    return {path: membership or Membership(path) for path, membership in found.items()}


def seen_in_training(index: Index, groups: Groups) -> dict[str, dict[str, int]]:
    """Count the files whose group has files in train, by split (except train) and class."""
    trained = {groups[path].group for path in index.splits["train"].paths}
    return {
        name: {
            class_name: sum(groups[path].group in trained for path, own in split.pairs() if own == label)
            for label, class_name in enumerate(index.classes)
        }
        for name, split in index.splits.items()
        if name != "train"
    }


def sampling_weights(split: Split, groups: Groups) -> list[float]:
    """Weigh files so that all classes count alike, all groups of a class, and all files of a group.

    A group with files of several classes counts less in each of them: in proportion to its files there.

    Returns:
        The probability of drawing each file; they sum to 1.
    """
    files_of = Counter(groups[path].group for path in split.paths)
    weights = [1 / files_of[groups[path].group] for path in split.paths]
    total = dict.fromkeys(split.labels, 0.0)
    for label, weight in zip(split.labels, weights, strict=True):
        total[label] += weight
    return [weight / total[label] / len(total) for label, weight in zip(split.labels, weights, strict=True)]
