"""Shows how far long work is: as a bar on a terminal, and as a line a minute elsewhere."""

import logging
import time
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

log = logging.getLogger(__name__)

Item = TypeVar("Item")

# seconds before a bar appears, and between two lines
BAR_DELAY, LINE_EVERY = 2, 60


def progress(
    items: Iterable[Item],
    *,
    total: int | None,
    phase: str,
    unit: str = "images",
    size: int = 1,
    initial: int = 0,
    note: Callable[[], str] = str,
) -> Generator[Item, None, None]:
    """Yield items, and show how many units of work are done.

    Args:
        items: the work. An item is done when the next one is asked for.
        total: units of all items, None if that is not known.
        phase: name of the work, such as ``decode``.
        unit: what is counted, as a plural.
        size: units of an item; the last one may have fewer.
        initial: units that are done already.
        note: what to show beside the numbers, such as the running loss; asked for at every item.
    """
    from tqdm import tqdm

    done, told = initial, time.monotonic()
    with tqdm(
        total=total, initial=initial, desc=phase, unit=f" {unit}", leave=False, disable=None, delay=BAR_DELAY
    ) as bar:
        for item in items:
            yield item
            step = size if total is None else min(size, total - done)
            done += step
            bar.set_postfix_str(note(), refresh=False)
            bar.update(step)
            if bar.disable and time.monotonic() - told >= LINE_EVERY:
                beside = f", {note()}" if note() else ""
                of_all = "" if total is None else f" of {total:,}"
                log.info("%s: %s%s %s%s", phase, f"{done:,}", of_all, unit, beside)
                told = time.monotonic()
