"""The image files of a split, and how each becomes an image of the model's input size."""

import hashlib
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from maskcls.config.types import Resize
from maskcls.data.decode import Box, Decoded, decode_file, prepare_image
from maskcls.data.index import file_state

# change it when decode.py returns other pixels than before
TRANSFORM_VERSION = 3


@dataclass(frozen=True)
class ImageFiles:
    """Image files, and how they are prepared.

    Attributes:
        root: folder that the paths are relative to.
        paths: image files, in the order of the images.
        size: pixels a side of a prepared image.
        equalised_size: pixels a side of an earlier resize, so that no image is sharper than another; None for none.
        boxes: the square to cut out of each image, None for a whole image; None if all are whole.
        resize: how an image that is no square becomes one.
    """

    root: Path
    paths: Sequence[str]
    size: int
    _: KW_ONLY
    equalised_size: int | None = None
    boxes: Sequence[Box | None] | None = None
    resize: Resize = "squeeze"

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the prepared images as one array."""
        return len(self), self.size, self.size, 3

    def read(self, position: int) -> Decoded:
        """Decode and prepare the image at a position of ``paths``; RGB, uint8 [size, size, 3].

        Raises:
            UnreadableImageError: as `maskcls.data.decode.decode_file` does.
        """
        decoded = decode_file(self.root / self.paths[position])
        box = self.boxes[position] if self.boxes else None
        prepared = prepare_image(
            decoded.image, self.size, equalised_size=self.equalised_size, box=box, resize=self.resize
        )
        return decoded._replace(image=prepared)

    def cache_key(self) -> str:
        """Hash what the pixels depend on; sizes and times of change stand for the contents of the files."""
        pixels = f"{self.size}" if self.equalised_size is None else f"{self.equalised_size}-{self.size}"
        if self.resize != "squeeze":
            pixels += f" {self.resize}"
        digest = hashlib.sha256(f"{TRANSFORM_VERSION} {pixels} {self.root}\n".encode(errors="surrogateescape"))
        for path in self.paths:
            size_and_time = "\0".join(map(str, file_state(self.root / path)))
            digest.update(f"{path}\0{size_and_time}\n".encode(errors="surrogateescape"))
        if self.boxes:
            digest.update(repr([box and tuple(box) for box in self.boxes]).encode())
        return digest.hexdigest()[:32]
