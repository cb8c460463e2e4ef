"""Lists the image files of a data set, with their splits and classes. No pixel is read here."""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from maskcls.config import nearest
from maskcls.data.layout import Layout, class_name, find_layout, listed, plain_path, split_of, suggestion
from maskcls.data.left_out import HIDDEN, LOOSE, NO_CLASSES, OWN, SYSTEM, endings, summaries, without_images
from maskcls.data.walk import list_images
from maskcls.errors import UserError, raise_machine_failure
from maskcls.progress import progress
from maskcls.wording import counted

# the class of each class folder; None leaves a folder out
ClassMap = Mapping[str, str | None]


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
        splits: the splits that the data set has: train, val and test, or some of them; ``all`` alone if it is not
            split.
        left_out: why each other file of the data set is not used, by path; a folder stands for all that it holds.
        folders: folder of each split that has one in the data set, whatever the splits are now.
        origin: where the splits come from: the data set has them, or they were drawn at random or by group.
        notes: what else a person should know of the files.
    """

    root: Path
    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    left_out: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    origin: Literal["as_shipped", "random", "grouped"] = "as_shipped"
    notes: tuple[str, ...] = ()

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
            for path, label in progress(split.pairs(), total=len(split), phase="list", unit="files"):
                size = file_state(self.root / path)[0]
                digest.update(f"{name}\0{path}\0{self.classes[label]}\0{size}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


def file_state(path: Path) -> tuple[int, int]:
    """Return a file's size in bytes and time of change in nanoseconds; -1 and 0 if it cannot be reached."""
    try:
        stat = path.stat()
    except OSError as error:
        raise_machine_failure(error, path)
        return -1, 0
    return stat.st_size, stat.st_mtime_ns


def is_class_name(name: str) -> bool:
    """Return whether a class can have this name: a folder can have it, and it can be printed."""
    return 0 < len(name) <= 255 and name.isprintable() and name not in (".", "..") and not set("/\\") & set(name)


def index_folder(root: Path, class_map: ClassMap | None = None, splits: Mapping[str, str] | None = None) -> Index:
    """List the images in a folder of class folders, or of split folders that contain class folders.

    `maskcls.data.layout` says which folders are splits and classes. The classes are the sorted names of the class
    folders of all splits. Nothing is logged: `maskcls.data.notices` does that.

    Args:
        root: the folder. If all it holds is a folder of folders, that folder is used instead.
        class_map: the class of each folder of these names; null leaves the folder out. Others keep their names.
        splits: the folders of the splits, relative to the root; none if their names tell.

    Returns:
        An index of the splits that have images, or of a single split named ``all`` if there are no split folders. The
        paths of each split are sorted.

    Raises:
        UserError: there is no such folder, what is a class or a split is not clear, a class folder has files but no
            image, or a class name cannot be printed or is not in the data set.
    """
    mapping = {unicodedata.normalize("NFC", name): mapped for name, mapped in (class_map or {}).items()}
    layout = find_layout(root, mapping, splits or {})
    class_folders = [folder for folders in layout.classes.values() for folder in folders]
    _require_folders(layout, mapping)
    listing = list_images(layout.root, class_folders)
    left_out = {**layout.left_out, **listing.left_out}
    if not any(listing.images.values()):
        raise _without_classes(layout, left_out)
    without = [folder for folder in class_folders if not listing.images[folder]]
    for folder in without:
        left_out[folder] = _require_nothing(layout, folder, listing.left_out)

    name_of = {folder: mapping.get(class_name(folder)) or class_name(folder) for folder in class_folders}
    named = {
        split: [(path, name_of[folder]) for folder in folders for path in listing.images[folder]]
        for split, folders in layout.classes.items()
    }
    left_out |= {layout.folders[split]: NO_CLASSES for split, found in named.items() if not found}
    index = index_of({split: found for split, found in named.items() if found}, layout.root, left_out)
    return replace(index, folders={split: layout.folders[split] for split in index.splits})


def index_of(named: Mapping[str, Collection[tuple[str, str]]], root: Path, left_out: Mapping[str, str]) -> Index:
    """Make an index from the path and the class name of each file, by split.

    Raises:
        UserError: a class name cannot be printed.
    """
    classes = tuple(sorted({name for found in named.values() for _, name in found}))
    odd = [name for name in classes if not is_class_name(name)]
    if odd:
        fault = "cannot be used" if odd[0].isprintable() else "cannot be printed"
        raise UserError(f"{root}: the class name {odd[0]!r} {fault}; rename it, without / and \\")
    label = {name: number for number, name in enumerate(classes)}
    splits = {split: Split.of((path, label[name]) for path, name in sorted(found)) for split, found in named.items()}
    return Index(root, classes, splits, dict(sorted(left_out.items())))


def index_unlabelled(root: Path) -> Index:
    """List the images of a folder without class folders, and of its subfolders, in the split ``all`` and the class "".

    Raises:
        UserError: there is no such folder, or no image in it.
    """
    root = plain_path(root.absolute())
    if not root.is_dir():
        raise UserError(f"data.root={root}: no such folder")
    listing = list_images(root, ["."])
    if not listing.images["."]:
        raise UserError(f"{root}: holds no image file")
    return Index(root, ("",), {"all": Split.of((path, 0) for path in listing.images["."])}, listing.left_out)


def letters(name: str) -> str:
    """Return a name in lower case without spaces and separators, so that spellings of one name are equal."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFC", name).casefold()))


def _require_folders(layout: Layout, class_map: Mapping[str, str | None]) -> None:
    """Check that the folders of a class map exist.

    Raises:
        UserError: one does not.
    """
    folders = [folder for folders in layout.classes.values() for folder in folders]
    names = {class_name(folder) for folder in (*folders, *layout.left_out)}
    for name in class_map:
        if name not in names:
            raise UserError(
                f"data.class_map: {layout.root} has no class folder '{name}'; it has {listed(sorted(names))}"
                f"{nearest(name, names)}"
            )


def _without_classes(layout: Layout, left_out: Mapping[str, str]) -> UserError:
    """Say that a data set has no image in a class folder, and what it has."""
    found = f"; left out: {'; '.join(summaries(left_out))}" if left_out else ""
    expected = "expected files such as WithMask/1.png or Train/WithMask/1.png"
    loose = {path.rpartition("/")[0] for path, reason in left_out.items() if reason == LOOSE}
    advice = _if_classes(layout.folders.values()) if loose & set(layout.folders.values()) else ""
    return UserError(f"{layout.root}: no images in class folders; {expected}{advice}{found}")


def _if_classes(splits: Iterable[str]) -> str:
    """Say what to type if the folders of splits are those of classes; nothing if there are none."""
    names = [class_name(name) for folder in splits if split_of(name := folder.partition("/")[0])]
    if not names:
        return ""
    own = "is a class and no split" if len(names) == 1 else "are classes and no splits"
    return f"; if {listed(names)} {own}, type {suggestion(dict(zip(names, names, strict=True)))}"


def _require_nothing(layout: Layout, folder: str, left_out: Mapping[str, str]) -> str:
    """Check that a class folder without images is empty, and return that as a reason: a class must not be lost.

    Raises:
        UserError: it holds files.
    """
    inside = {path: reason for path, reason in left_out.items() if f"{path}/".startswith(f"{folder}/")}
    files = [path for path, reason in inside.items() if not reason.startswith((HIDDEN, SYSTEM, *OWN))]
    if files:
        reasons = ", ".join(
            sorted({reason.partition(": ")[2] or reason for reason in map(inside.__getitem__, files)})[:3]
        )
        raise UserError(
            f"{layout.root}: the class folder '{folder}' has {counted(len(files), 'file')} but no image "
            f"({endings(files)}: {reasons}); {suggestion({class_name(folder): None})} leaves it out"
        )
    return without_images(inside.values())


def require_classes(index: Index) -> None:
    """Check that train and val have images of every class.

    Raises:
        UserError: one of them has no image of a class.
    """
    for name in ("train", "val"):
        without = [c for label, c in enumerate(index.classes) if label not in index.splits[name].labels]
        if without:
            classes_of = [set(index.splits[split].labels) for split in index.folders if split in index.splits]
            is_disjoint = sum(map(len, classes_of)) == len(set().union(*classes_of))
            mapped = {c: next((o for o in index.classes if o != c and letters(o) == letters(c)), None) for c in without}
            raise UserError(
                f"{index.root}: no image of the {'class' if len(without) == 1 else 'classes'} {listed(without)} in the "
                f"{name} split; to {'join them' if all(mapped.values()) else 'do without'}, type {suggestion(mapped)}"
                f"{_if_classes(index.folders.values()) if len(classes_of) > 1 and is_disjoint else ''}"
            )


def match_classes(index: Index, classes: Iterable[str], class_map: ClassMap | None = None) -> Index:
    """Return the same images with labels that are positions in ``classes``, the classes of a trained model.

    Args:
        class_map: the class map that the data set was listed with.

    Raises:
        UserError: the data set, or its class map, has a class that the model does not know.
    """
    names = tuple(classes)
    for folder, name in (class_map or {}).items():
        if name is not None and name not in names:
            raise UserError(
                f"data.class_map: '{folder}' becomes '{name}', which is not one of the model's classes: "
                f"{listed(names)}{nearest(name, names)}"
            )
    unknown = [name for name in index.classes if name not in names]
    if unknown:
        mapped = dict(class_map or {}) | {name: _counterpart(name, names) for name in unknown}
        advice = f"type {suggestion(mapped)} (null leaves a folder out)"
        if not any(mapped.values()):  # whatever they are called
            example = suggestion({unknown[0]: names[0]})
            advice = f"if they mean the same, say which is which, as in {example}; null leaves a folder out"
        raise UserError(
            f"{index.root}: {listed(unknown)} {'is not a class' if len(unknown) == 1 else 'are not classes'} of the "
            f"model, which has {listed(names)}; {advice}"
        )
    new_label = [names.index(name) for name in index.classes]
    splits = {
        name: Split(split.paths, tuple(new_label[label] for label in split.labels))
        for name, split in index.splits.items()
    }
    return replace(index, classes=names, splits=splits)


def _counterpart(name: str, classes: Sequence[str]) -> str | None:
    """Return the class that a folder of this name seems to mean, None if that is not clear: no_mask is WithoutMask."""
    same = [one for one in classes if letters(one) == letters(name)] or [
        one for one in classes if _meaning(one) == _meaning(name)
    ]
    return same[0] if len(same) == 1 else None


def _meaning(name: str) -> tuple[bool, str]:
    """Return whether a class is that something is missing, and what."""
    plain = letters(name)
    rest = re.sub("^(without|non|not|no|un)", "", plain)
    return rest != plain, re.sub("^(with|wearing|has)|(on|ed|worn)$", "", rest)
