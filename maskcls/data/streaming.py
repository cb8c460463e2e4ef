"""Images that are decoded again at each read, for data sets that are too large for the cache."""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from maskcls.data.decode import UnreadableImageError
from maskcls.data.image_files import ImageFiles
from maskcls.errors import UserError


class StreamedImages:
    """Images that are indexed like an array [images, size, size, 3], and decoded at each read, in threads.

    Args:
        files: the image files.
        threads: threads that decode.
        damaged: paths of the files that are known to be damaged, and used in part.
    """

    def __init__(self, files: ImageFiles, *, threads: int, damaged: Collection[str] = ()) -> None:
        self.files = files
        self.damaged = frozenset(damaged)
        self.threads = threads
        # threads suffice: OpenCV and torch release the interpreter's lock
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, positions: int | slice | np.ndarray) -> np.ndarray:
        """Decode some images, in parallel.

        Args:
            positions: as NumPy indexes the first axis of an array: one position, a slice, int [n] or bool [images].

        Returns:
            uint8 [n, size, size, 3], or [size, size, 3] for one position.

        Raises:
            IndexError: there is no image at a position.
            UserError: a file cannot be read any more; the message names it.
        """
        chosen = np.arange(len(self))[positions]
        images = np.empty((*chosen.shape, *self.files.shape[1:]), dtype=np.uint8)
        slots = images.reshape(-1, *self.files.shape[1:])
        flat = chosen.ravel().tolist()

        def fill(part: range) -> None:
            for slot in part:
                slots[slot] = self._read(flat[slot])

        try:
            list(self.pool.map(fill, (range(start, len(slots), self.threads) for start in range(self.threads))))
        except UnreadableImageError as error:
            # the file was readable when the data set was opened: this is never skipped
            raise UserError(f"an image file cannot be read, repair or remove it: {error}") from None
        return images

    def _read(self, position: int) -> np.ndarray:
        decoded, path = self.files.read(position), self.files.paths[position]
        if decoded.damage and path not in self.damaged:
            raise UnreadableImageError(f"{self.files.root / path}: {decoded.damage}")
        return decoded.image


class JoinedImages:
    """Images of several sources, one after another, that are indexed like one array [images, size, size, 3].

    Args:
        parts: the sources; all have images of one size.
    """

    def __init__(self, parts: Sequence["Images"]) -> None:
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])
        self.shape = (int(self.ends[-1]), *parts[0][:1].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, positions: int | slice | np.ndarray) -> np.ndarray:
        """Copy some images; arguments, result and errors are those of `StreamedImages`."""
        chosen = np.arange(len(self))[positions]
        images = np.empty((*chosen.shape, *self.shape[1:]), dtype=np.uint8)
        source = np.searchsorted(self.ends, chosen, side="right")
        for number, part in enumerate(self.parts):
            own = source == number
            if own.any():
                images[own] = part[chosen[own] - (self.ends[number] - len(part))]
        return images


# the images of a split; all types are indexed alike
Images = np.ndarray | StreamedImages | JoinedImages
