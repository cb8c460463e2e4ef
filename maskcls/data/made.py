"""Further training images that are made of faces before training, and kept in the cache like decoded files."""

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from maskcls.data.decode import Decoded, decode_file, prepare_image
from maskcls.data.image_files import ImageFiles


class FoundFaces(NamedTuple):
    """Image files in which a detector finds a face.

    Attributes:
        paths: the files.
        landmarks: float [files, 5, 2], as `maskcls.data.faces.Detection` has them.
        chances: how likely each is to be drawn; they sum to 1.
    """

    paths: Sequence[str]
    landmarks: np.ndarray
    chances: np.ndarray


@dataclass(frozen=True)
class MadeFaces(ImageFiles):
    """Image files of faces, each of which is changed before it is prepared.

    Attributes:
        landmarks: float [files, 5, 2], as `maskcls.data.faces.Detection` has them.
        version: a number that a class changes when the same files give other pixels than before.
    """

    landmarks: np.ndarray

    version: ClassVar[int]

    def changed(self, rng: np.random.Generator, image: np.ndarray, position: int) -> np.ndarray:
        """Change the image at a position of ``paths``; RGB uint8 [height, width, 3]. ``rng`` draws everything."""
        raise NotImplementedError

    def read(self, position: int) -> Decoded:
        """Decode, change and prepare the image at a position of ``paths``; see `ImageFiles.read`."""
        path = self.paths[position]
        decoded = decode_file(self.root / path)
        # the same change for the same file, whatever other files there are
        rng = np.random.default_rng([self.version, zlib.crc32(path.encode(errors="surrogateescape"))])
        changed = self.changed(rng, decoded.image, position)
        return decoded._replace(image=prepare_image(changed, self.size, resize=self.resize), remark="")

    def hashed(self, text: str, *arrays: np.ndarray) -> str:
        """Hash what `ImageFiles.cache_key` hashes, and besides it a text and arrays."""
        digest = hashlib.sha256(f"{super().cache_key()} {text}".encode())
        for array in arrays:
            digest.update(array.tobytes())
        return digest.hexdigest()[:32]
