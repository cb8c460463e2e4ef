"""The image files of a split, and how each becomes an image of the model's input size."""

import hashlib
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import numpy as np

from maskcls.data.decode import Box, decode_image, prepare_image
from maskcls.data.index import file_state

# change it when decode.py returns other pixels than before
TRANSFORM_VERSION = 1


@dataclass(frozen=True)
class ImageFiles:
    """Image files, and how they are prepared.

    Attributes:
        root: folder that the paths are relative to.
        paths: image files, in the order of the images.
        size: pixels a side of a prepared image.
        equalised_size: pixels a side of an earlier resize, so that no image is sharper than another; None for none.
        boxes: the square to cut out of each image, None for a whole image; None if all are whole.
    """

    root: Path
    paths: Sequence[str]
    size: int
    _: KW_ONLY
    equalised_size: int | None = None
    boxes: Sequence[Box | None] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the prepared images as one array."""
        return len(self), self.size, self.size, 3

    def read(self, position: int) -> np.ndarray:
        """Decode and prepare the image at a position of ``paths``; RGB, uint8 [size, size, 3].

        Raises:
            UnreadableImageError: as `maskcls.data.decode.decode_image` does.
        """
        image = decode_image(self.root / self.paths[position])
        box = self.boxes[position] if self.boxes else None
        return prepare_image(image, self.size, equalised_size=self.equalised_size, box=box)

    def cache_key(self) -> str:
        """Hash what the pixels depend on; sizes and times of change stand for the contents of the files."""
        pixels = f"{self.size}" if self.equalised_size is None else f"{self.equalised_size}-{self.size}"
        digest = hashlib.sha256(f"{TRANSFORM_VERSION} {pixels} {self.root}\n".encode(errors="surrogateescape"))
        for path in self.paths:
            size_and_time = "\0".join(map(str, file_state(self.root / path)))
            digest.update(f"{path}\0{size_and_time}\n".encode(errors="surrogateescape"))
        if self.boxes:
            digest.update(repr([box and tuple(box) for box in self.boxes]).encode())
        return digest.hexdigest()[:32]
