"""Facts about evaluated files that slices and intervals are made from."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from maskcls.data.groups import Groups
from maskcls.data.index import Split


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


def _longer_side(path: Path) -> int:
    """Read the longer side from an image file's header; 0 for a file that Pillow does not know."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as header:  # reads no pixels
            return max(header.size)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        return 0
