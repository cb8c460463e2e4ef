"""Image files that cannot be read: name all of them in an error, or leave them out."""

import logging
from collections.abc import Callable
from typing import Literal, TypeVar

from maskcls.data.decode import UnreadableFilesError
from maskcls.data.index import Index

log = logging.getLogger(__name__)

Opened = TypeVar("Opened")


def open_readable(
    index: Index, opener: Callable[[Index], Opened], on_bad_image: Literal["error", "skip"]
) -> tuple[Opened, Index, dict[str, str]]:
    """Open the images of a data set.

    Args:
        opener: opens the images of an index.
        on_bad_image: whether files that cannot be read are an error or left out.

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
            for fault in error.faults.values():
                log.warning("cannot be read: %s", fault)
            if on_bad_image == "error":
                raise
            index, skipped = index.without(error.faults), skipped | error.faults
        else:
            if skipped:
                log.warning("%d files cannot be read and are left out: data.on_bad_image=skip", len(skipped))
            return opened, index, skipped
