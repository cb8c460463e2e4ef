"""Shows how far long work is: as a bar on a terminal, and as a line a minute elsewhere."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

log = logging.getLogger(__name__)

Item = TypeVar("Item")

# seconds before a bar appears, and between two lines
BAR_DELAY, LINE_EVERY = 2, 60


def progress(items: Iterable[Item], *, total: int, phase: str, unit: str = "images", size: int = 1) -> Iterator[Item]:
    """Yield items, and show how many units of work are done.

    Args:
        items: the work. An item is done when the next one is asked for.
        total: units of all items.
        phase: name of the work, such as ``decode``.
        unit: what is counted, as a plural.
        size: units of an item; the last one may have fewer.
    """
    from tqdm import tqdm

    done, told = 0, time.monotonic()
    with tqdm(total=total, desc=phase, unit=f" {unit}", leave=False, disable=None, delay=BAR_DELAY) as bar:
        for item in items:
            yield item
            step = min(size, total - done)
            done += step
            bar.update(step)
            if bar.disable and time.monotonic() - told >= LINE_EVERY:
                log.info("%s: %s of %s %s", phase, f"{done:,}", f"{total:,}", unit)
                told = time.monotonic()
