"""Draws the splits that training needs: those that a data set lacks, or all of them anew by group."""

import logging
import random
from dataclasses import replace

from maskcls.data.groups import Groups
from maskcls.data.index import Index, Split, require_classes
from maskcls.data.layout import listed, suggestion
from maskcls.data.left_out import SAME_PHOTOGRAPH
from maskcls.errors import UserError
from maskcls.wording import counted

log = logging.getLogger(__name__)


def cut_missing_splits(index: Index, *, val_fraction: float, test_fraction: float, seed: int) -> Index:
    """Cut the splits that are missing at random from those that are there, class by class.

    If the data set is not split, train, val and test are cut from all images. If it has train but not val, val is cut
    from train. If it has split folders but no test, it stays without test.

    Args:
        val_fraction: share of all images that becomes val, or of the training images if only val is cut.
        test_fraction: share of all images that becomes test.

    Raises:
        UserError: there are fewer than two classes, no training images, or a class without images in train or val.
    """
    _require_two_classes(index)
    root, splits, origin = index.root, dict(index.splits), index.origin
    if "all" in splits:
        origin = "random"
        _require_images(index, "all", 3 if test_fraction else 2)
        rest, test = _cut(splits.pop("all"), test_fraction, seed=seed)
        train, val = _cut(rest, val_fraction / (1 - test_fraction), seed=seed + 1)
        splits = {"train": train, "val": val} | ({"test": test} if len(test) else {})
    elif "train" not in splits:
        raise UserError(f"{root}: no training images beside {', '.join(splits)}; expected a folder named Train")
    elif "val" not in splits:
        _require_images(index, "train", 2)
        train, val = _cut(splits.pop("train"), val_fraction, seed=seed + 1)
        splits = {"train": train, "val": val} | splits
    complete = replace(index, splits=splits, origin=origin)
    require_classes(complete)
    for name, counts in complete.counts().items():
        without = [class_name for class_name, count in counts.items() if not count]
        if without:
            log.warning("%s: no image of class %s in the %s split", root, listed(without), name)
    return complete


def _require_two_classes(index: Index) -> None:
    if len(index.classes) < 2:
        raise UserError(f"{index.root}: expected at least two classes with images, found only '{index.classes[0]}'")


def _require_images(index: Index, split: str, least: int) -> None:
    """Check that each class has enough images to be cut at random.

    Raises:
        UserError: a class has too few.
    """
    for name, count in index.counts()[split].items():
        if 0 < count < least:
            raise UserError(
                f"{index.root}: class '{name}' has {counted(count, 'image')}, needs at least {least} for the splits; "
                f"{suggestion({name: None})} leaves it out"
            )


def _cut(split: Split, fraction: float, *, seed: int) -> tuple[Split, Split]:
    """Cut a split in two at random, class by class.

    Returns:
        The rest, and ``fraction`` of the images: at least one of each class that has two, unless ``fraction`` is 0.
    """
    chosen: set[int] = set()
    for label in sorted(set(split.labels)):
        positions = [i for i, other in enumerate(split.labels) if other == label]
        count = min(max(1, round(fraction * len(positions))), len(positions) - 1) if fraction > 0 else 0
        chosen.update(random.Random(f"{seed} {label}").sample(positions, count))
    pairs = list(split.pairs())
    rest = Split.of(pair for i, pair in enumerate(pairs) if i not in chosen)
    return rest, Split.of(pairs[i] for i in sorted(chosen))


def split_by_group(index: Index, groups: Groups, *, val_fraction: float, test_fraction: float, seed: int) -> Index:
    """Draw train, val and test anew from all files, so that no group is in two of them.

    The groups of each class are shuffled, and val and test get their fractions of them. A group with files of several
    classes counts for the first of these. Val and test get one file for each group and class, an original if there is
    one, and the others are left out; train gets all files of its groups.

    Raises:
        UserError: there are fewer than two classes, or a class has too few groups.
    """
    _require_two_classes(index)
    files = index.all_images()
    label_of: dict[str, int] = {}
    for path, label in files.pairs():
        group = groups[path].group
        label_of[group] = min(label, label_of.get(group, label))
    split_of: dict[str, str] = {}
    for label, class_name in enumerate(index.classes):
        names = sorted(group for group, own in label_of.items() if own == label)
        random.Random(f"{seed} {label}").shuffle(names)
        test, val = (
            max(1, round(fraction * len(names))) if fraction else 0 for fraction in (test_fraction, val_fraction)
        )
        if len(names) - test - val < 1:
            raise UserError(
                f"{index.root}: class '{class_name}' has {counted(len(names), 'group')}, too few to be split"
            )
        drawn = ["test"] * test + ["val"] * val + ["train"] * (len(names) - test - val)
        split_of |= zip(names, drawn, strict=True)
    chosen: dict[str, dict[object, tuple[str, int]]] = {"train": {}, "val": {}, "test": {}}
    # originals first, so that val and test get them
    for path, label in sorted(files.pairs(), key=lambda pair: (groups[pair[0]].is_original is False, pair)):
        group = groups[path].group
        split = split_of[group]
        chosen[split].setdefault(path if split == "train" else (group, label), (path, label))
    splits = {name: Split.of(sorted(found.values())) for name, found in chosen.items() if found}
    used = {path for split in splits.values() for path in split.paths}
    unused = [path for path in files.paths if path not in used]
    others = {path: f"{SAME_PHOTOGRAPH} {split_of[groups[path].group]}" for path in unused}
    return replace(index, splits=splits, left_out={**index.left_out, **others}, origin="grouped")
