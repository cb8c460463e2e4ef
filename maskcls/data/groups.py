"""Which files show one photograph, and splits that keep it on one side."""

import csv
import hashlib
import logging
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from maskcls.data.index import SPLIT_NAMES, Index, Split
from maskcls.errors import UserError
from maskcls.files import cell

log = logging.getLogger(__name__)

# of the published names, as in Augmented_12_345678.png
AUGMENTED = "Augmented"
# share of a folder's files that must be those of the published data set for its map to be believed
KNOWN_SHARE = 0.99
# files that are known neither by name nor by content before no more are read
PROBES = 100


@dataclass(frozen=True)
class Membership:
    """What is known of the photograph that a file shows.

    Attributes:
        group: its name, the same for all files that show it.
        is_original: whether the file is no augmented copy; None where that is not known.
    """

    group: str
    is_original: bool | None = None


# by the paths of an index
Groups = Mapping[str, Membership]


def read_groups(path: Path, index: Index) -> Groups:
    """The photograph of each file of an index, as a ``groups.csv`` says, which ``maskcls-audit`` writes.

    Args:
        path: a table with the columns path and group; and original (true or false) if it is known.

    Raises:
        UserError: where it is no such table, or lacks a file of the index.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"data.groups={path}: not a file")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"data.groups={path}: cannot be read: {error}") from None
    if not rows or not {"path", "group"} <= rows[0].keys():
        raise UserError(
            f"data.groups={path}: expected a table with the columns path and group, as maskcls-audit writes"
        )
    unnamed = [row["path"] for row in rows if not row["group"]]
    if unnamed:
        raise UserError(f"data.groups={path}: {len(unnamed)} files have no group, such as {unnamed[0]}")
    known = {
        row["path"]: Membership(row["group"], {"true": True, "false": False}.get((row.get("original") or "").lower()))
        for row in rows
    }
    paths = [cell(name) for name in index.all_images().paths]
    missing = [name for name in paths if name not in known]
    if missing:
        raise UserError(
            f"data.groups={path}: {len(missing)} of {len(paths)} files of {index.root} are not in it, such as "
            f"{missing[0]}; audit this folder again"
        )
    return {name: known[str(cell(name))] for name in index.all_images().paths}


def published_groups(index: Index) -> Groups | None:
    """The photograph of each file of a copy of the public data set, facemask12k, from the map that comes with maskcls.

    Files are known by their split, class and name; where these are not the published ones, by their content.

    Returns:
        None where the folder holds other files.
    """
    by_name: dict[tuple[str, str, str], Membership] = {}
    by_digest: dict[str, Membership] = {}
    text = resources.files("maskcls.data").joinpath("facemask12k.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        photograph = Membership(row["group"], not row["file"].startswith(AUGMENTED))
        # a copy in another format has another ending
        by_name[SPLIT_NAMES[row["split"].lower()], row["class"], Path(row["file"]).stem] = photograph
        by_digest[row["sha256"]] = photograph
    found = {
        path: by_name.get((name, index.classes[label], Path(path).stem))
        for name, split in index.splits.items()
        for path, label in zip(split.paths, split.labels, strict=True)
    }
    unknown = [path for path, photograph in found.items() if photograph is None]
    for number, path in enumerate(unknown):
        file = index.root / path
        content = file.read_bytes() if file.is_file() else b""  # whoever decodes it says so
        found[path] = by_digest.get(hashlib.sha256(content).hexdigest())
        if number == PROBES and not any(found[path] for path in unknown[:PROBES]):
            break  # these are other files: the rest need not be read
    unknown = [path for path, photograph in found.items() if photograph is None]
    if len(unknown) > (1 - KNOWN_SHARE) * len(found):
        log.info("%s is not facemask12k: which of its files show one photograph is not known", index.root)
        return None
    if unknown:
        log.warning(
            "%d files are not in the map of facemask12k: each is taken for a photograph of its own", len(unknown)
        )
    return {path: photograph or Membership(path) for path, photograph in found.items()}


def split_by_group(index: Index, photographs: Groups, val_fraction: float, test_fraction: float, seed: int) -> Index:
    """Draw train, val and test anew from all files, so that no photograph is in two of them.

    Photographs of each class are shuffled by ``seed`` and cut alike; one of several classes counts as the first of
    them. In val and test a photograph has one file a class, an original where there is one; in train it has all.

    Raises:
        UserError: where a class has too few photographs.
    """
    if len(index.classes) < 2:
        raise UserError(
            f"{index.root}: expected at least two class folders with images, found {index.classes[0]} alone"
        )
    files = index.all_images()
    label_of_group: dict[str, int] = {}
    for path, label in zip(files.paths, files.labels, strict=True):
        group = photographs[path].group
        label_of_group[group] = min(label, label_of_group.get(group, label))
    side: dict[str, str] = {}
    for label, name in enumerate(index.classes):
        groups = sorted(group for group, own in label_of_group.items() if own == label)
        random.Random(f"{seed} {label}").shuffle(groups)
        test, val = (
            max(1, round(fraction * len(groups))) if fraction else 0 for fraction in (test_fraction, val_fraction)
        )
        if len(groups) - test - val < 1:
            raise UserError(f"{index.root}: class {name} has {len(groups)} photographs, too few to be split")
        side |= {group: "test" if i < test else "val" if i < test + val else "train" for i, group in enumerate(groups)}
    chosen: dict[str, dict[object, tuple[str, int]]] = {"train": {}, "val": {}, "test": {}}
    # originals first, so that they are the ones that stay
    order = sorted(range(len(files)), key=lambda i: (photographs[files.paths[i]].is_original is False, files.paths[i]))
    for i in order:
        path, label = files.paths[i], files.labels[i]
        group = photographs[path].group
        split = side[group]
        chosen[split].setdefault(path if split == "train" else (group, label), (path, label))
    splits = {name: _split(list(found.values())) for name, found in chosen.items() if found}
    return Index(index.root, index.classes, splits)


def _split(files: Sequence[tuple[str, int]]) -> Split:
    ordered = sorted(files)
    return Split(tuple(path for path, _ in ordered), tuple(label for _, label in ordered))


def seen_in_training(index: Index, photographs: Groups) -> dict[str, dict[str, int]]:
    """How many files of each split but train, and each class, show a photograph that train shows, too."""
    trained = {photographs[path].group for path in index.splits["train"].paths}
    return {
        name: {
            of_class: sum(
                photographs[path].group in trained
                for path, own in zip(split.paths, split.labels, strict=True)
                if own == label
            )
            for label, of_class in enumerate(index.classes)
        }
        for name, split in index.splits.items()
        if name != "train"
    }


def sampling_weights(split: Split, photographs: Groups) -> list[float]:
    """How often each file is to be drawn, so that classes count alike, and the photographs of each; they sum to 1."""
    files_of = Counter(photographs[path].group for path in split.paths)
    weights = [1 / files_of[photographs[path].group] for path in split.paths]
    total: Counter[int] = Counter()
    for label, weight in zip(split.labels, weights, strict=True):
        total[label] += weight  # type: ignore[assignment]
    return [weight / total[label] / len(total) for label, weight in zip(split.labels, weights, strict=True)]
