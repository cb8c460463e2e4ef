"""From folders to lists of files: which image is of which split and class. No pixel is read here."""

import glob
import hashlib
import logging
import os
import random
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from maskcls.config import nearest
from maskcls.errors import MACHINE_ERRORS, UserError

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
# folders that start so hold no images of the user's but copies, made by notebooks, file managers and macOS's archiver
HIDDEN = (".", "__MACOSX")
IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".webp", ".tif", ".tiff", ".gif"))


@dataclass(frozen=True)
class Split:
    """Images with their labels.

    Attributes:
        paths: relative to the data set's root, with '/', in sorted order.
        labels: the index of each image's class.
    """

    paths: tuple[str, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class Index:
    """A data set's classes and splits.

    Attributes:
        root: absolute; the paths of the splits are relative to it.
        classes: names, in alphabetical order; a label is a position in it.
        splits: those of `SPLITS` that the data set has, or ``all`` where it is not split.
    """

    root: Path
    classes: tuple[str, ...]
    splits: Mapping[str, Split]

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of images by split, then by class."""
        return {
            name: {c: split.labels.count(label) for label, c in enumerate(self.classes)}
            for name, split in self.splits.items()
        }

    def without(self, paths: Collection[str]) -> "Index":
        """The same, but for some files."""
        left_out = set(paths)
        splits = {}
        for name, split in self.splits.items():
            kept = [
                (path, label) for path, label in zip(split.paths, split.labels, strict=True) if path not in left_out
            ]
            splits[name] = Split(tuple(path for path, _ in kept), tuple(label for _, label in kept))
        return Index(self.root, self.classes, splits)

    def without_split(self, left_out: str) -> "Index":
        """The same, but for a split."""
        return Index(self.root, self.classes, {name: split for name, split in self.splits.items() if name != left_out})

    def all_images(self) -> Split:
        """The images of all splits together."""
        return Split(
            tuple(path for split in self.splits.values() for path in split.paths),
            tuple(label for split in self.splits.values() for label in split.labels),
        )

    def fingerprint(self) -> str:
        """A hash of every split's paths, labels and file sizes: equal for equal data sets wherever they lie."""
        digest = hashlib.sha256()
        for name, split in sorted(self.splits.items()):
            for path, label in zip(split.paths, split.labels, strict=True):
                size = file_state(self.root / path)[0]
                digest.update(f"{name}\0{path}\0{self.classes[label]}\0{size}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


def file_state(path: Path) -> tuple[int, int]:
    """A file's size in bytes and its time of change in nanoseconds; -1 and 0 where it is gone, or leads nowhere."""
    try:
        stat = path.stat()
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        return -1, 0
    return stat.st_size, stat.st_mtime_ns


def is_class_name(name: str) -> bool:
    """Whether a class can have this name: that of a folder, which can be shown."""
    return 0 < len(name) <= 255 and name.isprintable() and name not in (".", "..") and not set("/\\") & set(name)


def is_image(path: Path) -> bool:
    """Whether the name is that of an image file; hidden files are none."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def find_images(source: str) -> list[Path]:
    """The image files that ``source`` means: itself, those in a folder and its subfolders, or those of a pattern.

    Raises:
        UserError: where there is none.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        files = [file for file in _walk(path) if is_image(file)]
    else:
        # a folder of this name is meant as it is, whatever its brackets would match
        folder = glob.escape(str(path.parent)) if path.parent.is_dir() else str(path.parent)
        files = [Path(name) for name in glob.glob(f"{folder}/{path.name}", recursive=True) if is_image(Path(name))]
    if not files:
        kind = "this folder holds no image file" if path.is_dir() else "no such file, and no image file of this pattern"
        raise UserError(f"source={source}: {kind}; expected an image, a folder or a pattern such as photos/*.jpg")
    return sorted(files)


def index_folder(root: Path) -> Index:
    """List the images of a folder of class folders, with or without split folders.

    Split folders are named as in `SPLIT_NAMES`, in any case. The classes are the class folders of all
    splits, matched by name. A split folder without images counts as missing.

    Args:
        root: the folder; one that holds no folder but one that is no split stands for that one.

    Returns:
        An index of the splits that are there; of one split, named ``all``, where there are no split folders.

    Raises:
        UserError: where the folder is missing, or holds no class folder with images.
    """
    root = _descend(root.absolute())
    split_folders: dict[str, Path] = {}
    for folder in _folders(root):
        split = SPLIT_NAMES.get(folder.name.lower())
        if split is not None and split in split_folders:
            raise UserError(f"{root}: '{split_folders[split].name}' and '{folder.name}' are both the {split} split")
        if split is not None:
            split_folders[split] = folder
    left_out = [folder.name for folder in _folders(root) if folder not in split_folders.values()]
    if split_folders and left_out:
        log.warning("%s: not split folders, left out: %s", root, ", ".join(left_out))
    folders = {name: split_folders[name] for name in SPLITS if name in split_folders} or {"all": root}
    files = {name: by_class for name, folder in folders.items() if (by_class := _class_files(folder))}
    classes = tuple(sorted(set().union(*files.values())))
    odd = [name for name in classes if not is_class_name(name)]
    if odd:
        raise UserError(f"{root}: a class folder's name holds what cannot be shown, rename it: {odd[0]!r}")
    if not classes:
        raise UserError(f"{root}: no images in class folders, such as WithMask/1.png or Train/WithMask/1.png")
    for name in folders.keys() - files.keys():
        log.warning("%s: no images in class folders, left out", folders[name])
    return Index(root, classes, {name: _as_split(root, by_class, classes) for name, by_class in files.items()})


def cut_missing_splits(index: Index, val_fraction: float, test_fraction: float, seed: int) -> Index:
    """An index to train on: with train and val splits, cut from what is there where they are not folders.

    Each class is shuffled by ``seed`` and cut alike. A data set with split folders, but without one for test,
    stays without.

    Args:
        val_fraction: share for validation of the training images, or of all where there are no split folders.
        test_fraction: share of all images for test where there are no split folders.

    Raises:
        UserError: where there are fewer than two classes, no training images, or a class without any.
    """
    root, splits = index.root, dict(index.splits)
    if len(index.classes) < 2:
        raise UserError(f"{root}: expected at least two class folders with images, found {index.classes[0]} alone")
    if "all" in splits:
        rest, test = _cut(splits.pop("all"), test_fraction, seed)
        train, val = _cut(rest, val_fraction / (1 - test_fraction), seed + 1)
        splits = {"train": train, "val": val} | ({"test": test} if len(test) else {})
    elif "train" not in splits:
        raise UserError(f"{root}: no training images beside {', '.join(splits)}; expected a folder named Train")
    elif "val" not in splits:
        train, val = _cut(splits.pop("train"), val_fraction, seed + 1)
        splits = {"train": train, "val": val} | splits
    cut = Index(root, index.classes, splits)
    require_classes(cut)
    for name, split in splits.items():
        without = [name for label, name in enumerate(index.classes) if label not in split.labels]
        if without:
            log.warning("%s: no image of class %s in the %s split", root, ", ".join(without), name)
    return cut


def require_classes(index: Index) -> None:
    """Check that there is something to learn and to validate on.

    Raises:
        UserError: where training or validation has no image of a class.
    """
    for name in ("train", "val"):
        without = [c for label, c in enumerate(index.classes) if label not in index.splits[name].labels]
        if without:
            raise UserError(f"{index.root}: no image of class {', '.join(without)} in the {name} split")


def match_classes(index: Index, classes: Iterable[str]) -> Index:
    """The same images with labels that count in ``classes``, those of a trained model.

    Raises:
        UserError: where the data set has a class that the model does not know.
    """
    names = tuple(classes)
    for name in index.classes:
        if name not in names:
            raise UserError(
                f"{index.root}: class '{name}' is not one of the model's: {', '.join(names)}{nearest(name, names)}"
            )
    new_label = [names.index(name) for name in index.classes]
    splits = {
        name: Split(split.paths, tuple(new_label[label] for label in split.labels))
        for name, split in index.splits.items()
    }
    return Index(index.root, names, splits)


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(HIDDEN))
    except OSError as error:
        raise UserError(f"{folder}: cannot list this folder: {error.strerror}") from None


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder but those in hidden folders."""

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot list this folder: {error.strerror}")

    for top, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
        yield from (Path(top, name) for name in names)


def _descend(root: Path) -> Path:
    if not root.is_dir():
        raise UserError(f"data.root={root}: no such folder")
    folders = _folders(root)
    # archives often hold the data set in a folder of their own
    if len(folders) == 1 and folders[0].name.lower() not in SPLIT_NAMES and _folders(folders[0]):
        log.info("data set found in %s", folders[0])
        return _descend(folders[0])
    return root


def _class_files(folder: Path) -> dict[str, list[Path]]:
    by_class: dict[str, list[Path]] = {}
    ignored = 0
    for class_folder in _folders(folder):
        files = list(_walk(class_folder))
        images = [file for file in files if is_image(file)]
        ignored += len(files) - len(images)
        if images:
            # macOS spells é and Korean syllables in several characters, people and other systems in one
            by_class.setdefault(unicodedata.normalize("NFC", class_folder.name), []).extend(images)
        else:
            log.warning("%s holds no image, left out", class_folder)
    if ignored:
        log.warning("%s: %d files that are not images, left out", folder, ignored)
    return by_class


def _as_split(root: Path, by_class: Mapping[str, list[Path]], classes: tuple[str, ...]) -> Split:
    labelled = sorted(
        (file.relative_to(root).as_posix(), classes.index(name)) for name, files in by_class.items() for file in files
    )
    return Split(tuple(path for path, _ in labelled), tuple(label for _, label in labelled))


def _cut(split: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Split off ``fraction`` of each class (at least one image, where it has two) at random."""
    chosen: set[int] = set()
    for label in sorted(set(split.labels)):
        positions = [i for i, other in enumerate(split.labels) if other == label]
        count = min(max(1, round(fraction * len(positions))), len(positions) - 1) if fraction > 0 else 0
        chosen.update(random.Random(f"{seed} {label}").sample(positions, count))

    def part(inside: bool) -> Split:
        kept = [i for i in range(len(split)) if (i in chosen) == inside]
        return Split(tuple(split.paths[i] for i in kept), tuple(split.labels[i] for i in kept))

    return part(False), part(True)
