"""Images that are decoded anew each time they are read, for data sets that the cache has no room for."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from maskcls.data.decode import Box, UnreadableImageError, read_image
from maskcls.errors import UserError


class StreamedImages:
    """Reads like the array that `maskcls.data.cache.cached_images` returns, and takes no memory or disk.

    Args:
        root: the folder that the paths are relative to.
        paths: of the image files.
        size: pixels a side.
        threads: that decode, shared by all reads.
        through: as `maskcls.data.decode.read_image` takes it.
        boxes: what is cut out of each image; None for the whole images.
    """

    def __init__(
        self,
        root: Path,
        paths: Sequence[str],
        size: int,
        threads: int,
        through: int | None = None,
        boxes: Sequence[Box | None] | None = None,
    ) -> None:
        self.root = root
        self.paths = paths
        self.size = size
        self.threads = threads
        self.through = through
        self.boxes = boxes
        # threads: OpenCV and torch release the interpreter's lock
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, positions: int | slice | np.ndarray) -> np.ndarray:
        """Decode some images, in parallel.

        Returns:
            uint8 [positions, size, size, 3], or [size, size, 3] for one position.

        Raises:
            UserError: naming a file that cannot be read; it is never replaced by another image.
        """
        chosen = np.arange(len(self.paths))[positions]
        images = np.empty((*chosen.shape, self.size, self.size, 3), dtype=np.uint8)
        slots = images.reshape(-1, self.size, self.size, 3)
        paths = [self.paths[position] for position in chosen.ravel().tolist()]
        boxes = [self.boxes[position] if self.boxes else None for position in chosen.ravel().tolist()]

        def fill(part: range) -> None:
            for slot in part:
                slots[slot] = read_image(self.root / paths[slot], self.size, self.through, boxes[slot])

        try:
            list(self.pool.map(fill, (range(start, len(slots), self.threads) for start in range(self.threads))))
        except UnreadableImageError as error:
            # it could be when the data was opened
            raise UserError(f"an image file cannot be read, repair or remove it: {error}") from None
        return images
