"""Folders of files, and indexes of files, that tests make."""

from pathlib import Path

from images import CLASSES

from maskcls.data.index import Index, Split


def make_files(folder: Path, *names: str) -> Path:
    """Write files below ``folder``, each with its name as content; a name that ends in '/' makes an empty folder."""
    for name in names:
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
    return folder


def make_classes(folder: Path, **counts: int) -> Path:
    """Write so many files ``folder/CLASS/N.png`` of each class."""
    return make_files(folder, *(f"{name}/{number}.png" for name, count in counts.items() for number in range(count)))


def index_of(files: dict[str, dict[str, int]]) -> Index:
    """Make an index of files that do not exist: ``files[SPLIT][PATH]`` is a label."""
    splits = {name: Split.of(labels.items()) for name, labels in files.items()}
    return Index(Path("/nowhere"), CLASSES, splits)


def labelled(split: Split) -> dict[str, int]:
    """Return the label of each path."""
    return dict(split.pairs())
