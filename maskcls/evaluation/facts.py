"""Facts about evaluated files that slices and intervals are made from."""

import hashlib
import logging
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np

from maskcls.data.groups import Groups
from maskcls.data.index import Index, Split, file_state
from maskcls.errors import raise_machine_failure
from maskcls.progress import progress
from maskcls.wording import counted

log = logging.getLogger(__name__)


def file_facts(
    root: Path, files: Split, groups: Groups | None, trained_on: Collection[str] | None
) -> dict[str, np.ndarray]:
    """Collect the columns of ``predictions.csv`` that describe the files.

    Args:
        root: folder that the paths of the files are relative to.
        groups: group of each file, None where the groups are not known.
        trained_on: paths of the files that the model was trained on, None where they are not known.

    Returns:
        Arrays [files] by column. int64 ``side``: longer side in pixels, 0 where unknown. Where the groups are known,
        also object ``group``: name of the group; and int64 ``original``: 0 for an augmented copy, else 1 (only if this
        is known of all files). With ``trained_on``, int64 ``in_train``: 1 where the file, or another one of its group,
        was trained on (only if the groups are known, or a file was trained on).
    """
    facts = {"side": np.array([_longer_side(root / path) for path in files.paths], dtype=np.int64)}
    if groups is not None:
        memberships = [groups[path] for path in files.paths]
        facts["group"] = np.array([membership.group for membership in memberships], dtype=object)
        if all(membership.is_original is not None for membership in memberships):
            facts["original"] = np.array([membership.is_original for membership in memberships], dtype=np.int64)
    if trained_on is not None:
        known = {groups[path].group for path in trained_on} if groups else set()
        seen = [path in trained_on or bool(groups and groups[path].group in known) for path in files.paths]
        if groups or any(seen):
            facts["in_train"] = np.array(seen, dtype=np.int64)
    return facts


def trained_files(index: Index, files: Split, training: Index) -> set[str]:
    """Find the files of a data set that were trained on: whatever links lead to them, and copies byte for byte.

    Args:
        index: the data set.
        files: its files that are evaluated. Copies are looked for among these.
        training: the data set of the training, as it was then.

    Returns:
        Their paths in ``index``.
    """
    own = [training.root / path for path in training.splits["train"].paths]
    real = set(map(os.path.realpath, own))
    found = {path for path in index.all_images().paths if os.path.realpath(index.root / path) in real}
    return found | _copies(index.root, [path for path in files.paths if path not in found], own)


def _copies(root: Path, paths: Sequence[str], others: Iterable[Path]) -> set[str]:
    """Return the paths whose files have the same bytes as one of the others. Only files of equal sizes are read."""
    by_size: dict[int, list[Path]] = {}
    for other in others:
        by_size.setdefault(file_state(other)[0], []).append(other)
    by_size.pop(-1, None)
    digests: dict[int, set[str]] = {}
    closed: list[Path] = []
    copies = set()
    for path in progress(paths, total=len(paths), phase="compare", unit="files"):
        size = file_state(root / path)[0]
        if size not in by_size:
            continue
        if size not in digests:
            digests[size] = {_digest(other, closed) for other in by_size[size]} - {""}
        if _digest(root / path, closed) in digests[size]:
            copies.add(path)
    if closed:
        number = counted(len(closed), "file")
        log.warning("whether images are copies of training images is not known of all: %s cannot be read", number)
    return copies


def _digest(path: Path, closed: list[Path]) -> str:
    """Return a digest of a file; nothing if it cannot be read, which is noted in ``closed``."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise_machine_failure(error, path)
        closed.append(path)
        return ""


def _longer_side(path: Path) -> int:
    """Read the longer side from an image file's header; 0 for a file that Pillow does not know."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as header:  # reads no pixels
            return max(header.size)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        return 0
