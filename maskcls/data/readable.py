"""What is done about image files that cannot be read: an error that names all of them, or going on without them."""

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
    """Open a data set's images.

    Args:
        opener: opens those of an index.
        on_bad_image: as ``data.on_bad_image``.

    Returns:
        What ``opener`` returns, the index without the files that are left out, and these with the reasons, by path.

    Raises:
        UnreadableFilesError: where files cannot be read and are not to be skipped; each has been named in the log.
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
