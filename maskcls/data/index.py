"""Lists the image files of folders, with their splits and classes. No pixel is read here."""

import glob
import hashlib
import logging
import os
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from maskcls.config import nearest
from maskcls.errors import MACHINE_ERRORS, UserError

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
# the split that a folder's name means; names are compared in lower case
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# prefixes of folders that notebooks, file managers and macOS's archiver fill with copies
HIDDEN = (".", "__MACOSX")
IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".webp", ".tif", ".tiff", ".gif"))


@dataclass(frozen=True)
class Split:
    """The image files of a split, and their labels.

    Attributes:
        paths: relative to the root of the data set, separated by '/'.
        labels: position of each image's class in `Index.classes`.
    """

    paths: tuple[str, ...]
    labels: tuple[int, ...]

    @classmethod
    def of(cls, files: Iterable[tuple[str, int]]) -> "Split":
        """Make a split of paths and their labels."""
        pairs = list(files)
        return cls(tuple(path for path, _ in pairs), tuple(label for _, label in pairs))

    def __len__(self) -> int:
        return len(self.paths)

    def pairs(self) -> Iterator[tuple[str, int]]:
        """Yield the path and the label of each image."""
        return zip(self.paths, self.labels, strict=True)


@dataclass(frozen=True)
class Index:
    """The classes and splits of a data set.

    Attributes:
        root: folder that the paths of the splits are relative to; absolute.
        classes: names of the classes; a label is a position in them.
        splits: the splits that the data set has, by their names in `SPLITS`; ``all`` alone if it is not split.
    """

    root: Path
    classes: tuple[str, ...]
    splits: Mapping[str, Split]

    def counts(self) -> dict[str, dict[str, int]]:
        """Count the images by split, then by class."""
        return {
            name: {c: split.labels.count(label) for label, c in enumerate(self.classes)}
            for name, split in self.splits.items()
        }

    def without(self, paths: Collection[str]) -> "Index":
        """Return the index without the files of these paths."""
        left_out = set(paths)
        splits = {
            name: Split.of((path, label) for path, label in split.pairs() if path not in left_out)
            for name, split in self.splits.items()
        }
        return replace(self, splits=splits)

    def without_split(self, left_out: str) -> "Index":
        """Return the index without a split."""
        return replace(self, splits={name: split for name, split in self.splits.items() if name != left_out})

    def all_images(self) -> Split:
        """Return the images of all splits, one split after another."""
        return Split.of(pair for split in self.splits.values() for pair in split.pairs())

    def fingerprint(self) -> str:
        """Hash the split, path, class and size in bytes of every file; a copy in another folder has the same hash."""
        digest = hashlib.sha256()
        for name, split in sorted(self.splits.items()):
            for path, label in split.pairs():
                size = file_state(self.root / path)[0]
                digest.update(f"{name}\0{path}\0{self.classes[label]}\0{size}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


def file_state(path: Path) -> tuple[int, int]:
    """Return a file's size in bytes and time of change in nanoseconds; -1 and 0 if it cannot be reached."""
    try:
        stat = path.stat()
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        return -1, 0
    return stat.st_size, stat.st_mtime_ns


def is_class_name(name: str) -> bool:
    """Return whether a class can have this name: a folder can have it, and it can be printed."""
    return 0 < len(name) <= 255 and name.isprintable() and name not in (".", "..") and not set("/\\") & set(name)


def is_image(path: Path) -> bool:
    """Return whether a file has the name of an image and is not hidden."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def find_images(source: str) -> list[Path]:
    """Return the image files that ``source`` names, sorted.

    Args:
        source: a file of any name; a folder, searched with its subfolders; or a pattern such as photos/*.jpg.

    Raises:
        UserError: there is no such file, or a folder cannot be listed.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        files = [file for file in _walk(path) if is_image(file)]
    else:
        # brackets in the name of a folder that exists are part of its name
        folder = glob.escape(str(path.parent)) if path.parent.is_dir() else str(path.parent)
        files = [Path(name) for name in glob.glob(f"{folder}/{path.name}", recursive=True) if is_image(Path(name))]
    if not files:
        kind = "this folder holds no image file" if path.is_dir() else "no such file, and no image file of this pattern"
        raise UserError(f"source={source}: {kind}; expected an image, a folder or a pattern such as photos/*.jpg")
    return sorted(files)


def index_folder(root: Path) -> Index:
    """List the images in a folder of class folders, or of split folders that contain class folders.

    Split folders have the names in `SPLIT_NAMES`, in upper or lower case; one without images counts as missing. The
    classes are the sorted names of the class folders of all splits.

    Args:
        root: the folder. If it contains a single folder, which is not a split and contains folders itself, that folder
            is used instead.

    Returns:
        An index of the splits that have images, or of a single split named ``all`` if there are no split folders. The
        paths of each split are sorted.

    Raises:
        UserError: there is no such folder or no class folder with images, two folders are the same split, or the name
            of a class cannot be printed.
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
        log.warning("%s: ignoring folders that are not splits: %s", root, ", ".join(left_out))
    folders = {name: split_folders[name] for name in SPLITS if name in split_folders} or {"all": root}
    files = {name: by_class for name, folder in folders.items() if (by_class := _class_files(folder))}
    classes = tuple(sorted(set().union(*files.values())))
    odd = [name for name in classes if not is_class_name(name)]
    if odd:
        raise UserError(f"{root}: the class name {odd[0]!r} cannot be printed; rename its folder")
    if not classes:
        raise UserError(
            f"{root}: no images in class folders; expected files such as WithMask/1.png or Train/WithMask/1.png"
        )
    for name in folders.keys() - files.keys():
        log.warning("%s: ignoring this split, which has no images in class folders", folders[name])
    return Index(root, classes, {name: _as_split(root, by_class, classes) for name, by_class in files.items()})


def require_classes(index: Index) -> None:
    """Check that train and val have images of every class.

    Raises:
        UserError: one of them has no image of a class.
    """
    for name in ("train", "val"):
        without = [c for label, c in enumerate(index.classes) if label not in index.splits[name].labels]
        if without:
            raise UserError(f"{index.root}: no image of class {', '.join(without)} in the {name} split")


def match_classes(index: Index, classes: Iterable[str]) -> Index:
    """Return the same images with labels that are positions in ``classes``, the classes of a trained model.

    Raises:
        UserError: the data set has a class that the model does not know.
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
    """Yield all files below a folder, except those in folders that `HIDDEN` names."""

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot list this folder: {error.strerror}")

    for top, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
        yield from (Path(top, name) for name in names)


def _descend(root: Path) -> Path:
    """Return the folder that holds the class or split folders, as `index_folder` describes it."""
    if not root.is_dir():
        raise UserError(f"data.root={root}: no such folder")
    folders = _folders(root)
    # many archives put the data set into a folder of its own
    if len(folders) == 1 and folders[0].name.lower() not in SPLIT_NAMES and _folders(folders[0]):
        log.info("using the data set in %s", folders[0])
        return _descend(folders[0])
    return root


def _class_files(folder: Path) -> dict[str, list[Path]]:
    """Return the image files of each class folder in a folder."""
    by_class: dict[str, list[Path]] = {}
    ignored = 0
    for class_folder in _folders(folder):
        files = list(_walk(class_folder))
        images = [file for file in files if is_image(file)]
        ignored += len(files) - len(images)
        if images:
            # macOS stores é and Korean syllables as several characters, other systems as one
            by_class.setdefault(unicodedata.normalize("NFC", class_folder.name), []).extend(images)
        else:
            log.warning("%s: ignoring this folder, which has no images", class_folder)
    if ignored:
        log.warning("%s: ignoring %d files that are not images", folder, ignored)
    return by_class


def _as_split(root: Path, by_class: Mapping[str, list[Path]], classes: tuple[str, ...]) -> Split:
    pairs = (
        (file.relative_to(root).as_posix(), classes.index(name)) for name, files in by_class.items() for file in files
    )
    return Split.of(sorted(pairs))
