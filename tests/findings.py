"""Files of an audit that tests make: facts, labels and measurements without any image."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskcls.audit.duplicates import FileGroups
from maskcls.audit.files import FileFacts, Inspection
from maskcls.audit.labelled import Labelled
from maskcls.audit.quality import Look

# measurements of an ordinary image
ORDINARY = Look(bright_parts=0.9, middle=0.5, contrast=0.7, blur=0.3, peak=1.0)


def labelled(rows: Sequence[tuple[str, str, int]]) -> Labelled:
    """Files given as split, class and group."""
    splits, classes, groups = zip(*rows, strict=True)
    numbers = np.array(groups)
    return Labelled(np.array(splits), np.array(classes), FileGroups(numbers, numbers, ("",) * len(rows)))


def fact(path: str, **changes: Any) -> FileFacts:
    """Facts about an ordinary file."""
    usual: dict[str, Any] = {
        "size": 9,
        "format": "PNG",
        "mode": "RGB",
        "width": 8,
        "height": 8,
        "mean": (0.5,) * 3,
        "deviation": (0.1,) * 3,
    }
    return FileFacts(path, **(usual | changes))


def inspected(facts: Sequence[FileFacts], looks: dict[int, Look] | None = None) -> Inspection:
    """The inspection of files; all but those in ``looks`` look ordinary."""
    nothing = np.zeros((len(facts), 1))
    measured = [(looks or {}).get(position, ORDINARY) for position in range(len(facts))]
    return Inspection(list(facts), nothing, nothing, nothing, np.array(measured, dtype=np.float32))
