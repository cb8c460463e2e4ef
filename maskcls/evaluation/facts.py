"""What is known of evaluated files beside their pixels, for slices and intervals."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from maskcls.data.groups import Groups
from maskcls.data.index import Split


def file_facts(
    root: Path, files: Split, photographs: Groups | None, trained_on: Collection[str] | None
) -> dict[str, np.ndarray]:
    """Columns of ``predictions.csv``, an entry for each file.

    Args:
        photographs: which files show one photograph, None where that is not known.
        trained_on: the photographs that were trained on, None where that is not known.

    Returns:
        ``side``, pixels of the longer side; where photographs are known ``photograph``; where it is known of all files,
        ``original`` (1, or 0 for an augmented copy); and where ``trained_on`` is, ``in_train`` (1 or 0).
    """
    facts = {"side": np.array([_longer_side(root / path) for path in files.paths], dtype=np.int64)}
    if photographs is None:
        return facts
    known = [photographs[path] for path in files.paths]
    facts["group"] = np.array([photograph.group for photograph in known], dtype=object)
    if all(photograph.is_original is not None for photograph in known):
        facts["original"] = np.array([photograph.is_original for photograph in known], dtype=np.int64)
    if trained_on is not None:
        facts["in_train"] = np.array([photograph.group in trained_on for photograph in known], dtype=np.int64)
    return facts


def _longer_side(path: Path) -> int:
    """Of an image file's header; 0 for one that Pillow does not know."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as header:  # reads no pixels
            return max(header.size)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        return 0
