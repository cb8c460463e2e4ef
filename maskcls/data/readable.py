"""Image files that cannot be read, or only in part: name all of them in an error, leave them out, or use them."""

import logging
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from maskcls.config.types import OnBadImage
from maskcls.data.decode import UnreadableFilesError
from maskcls.data.index import Index
from maskcls.wording import counted

log = logging.getLogger(__name__)

Opened = TypeVar("Opened")

# names in a line of the log
SHOWN = 20


def report_remarks(remarks: Mapping[str, str]) -> None:
    """Log what is odd about files that were decoded, by path: a line for each oddity, with the number of the files."""
    by_text: dict[str, list[str]] = {}
    for path, text in sorted(remarks.items()):  # libjpeg counts bytes, which would make a line for each file
        by_text.setdefault(re.sub(r"\b[0-9]+ ", "", text), []).append(path)
    for text, paths in by_text.items():
        names = ", ".join(paths[:SHOWN]) + (f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else "")
        log.warning("%s: %s: %s", counted(len(paths), "file"), text, names)


def report_damaged(damaged: Mapping[str, str]) -> None:
    """Log which damaged files are used, and their number."""
    for fault in damaged.values():
        log.warning("damaged, used in part: %s", fault)
    if damaged:
        log.warning("%s used in part: data.on_bad_image=use", counted(len(damaged), "damaged file"))


def open_readable(
    index: Index, opener: Callable[[Index], Opened], on_bad_image: OnBadImage
) -> tuple[Opened, Index, dict[str, str]]:
    """Open the images of a data set.

    Args:
        opener: opens the images of an index; raises UnreadableFilesError for those that are not to be used.
        on_bad_image: whether these are an error or left out.

    Returns:
        What ``opener`` returned, the index without the files that are left out, and the reason for each of these files,
        by path.

    Raises:
        UnreadableFilesError: files cannot be read and ``on_bad_image`` is ``error``; the log names each file.
    """
    skipped: dict[str, str] = {}
    while True:
        try:
            opened = opener(index)
        except UnreadableFilesError as error:
            for path, fault in error.faults.items():
                log.warning("%s: %s", "damaged" if path in error.damaged else "cannot be read", fault)
            if on_bad_image == "error":
                raise
            index, skipped = index.without(error.faults), skipped | error.faults
        else:
            if skipped:
                log.warning("%s left out: data.on_bad_image=%s", counted(len(skipped), "file"), on_bad_image)
            return opened, index, skipped
