"""Finds pairs of images with similar local features, without comparing every image with every other.

An inverted index of visual words (Sivic and Zisserman 2003, https://doi.org/10.1109/ICCV.2003.1238663) on a product of
two codebooks (Babenko and Lempitsky 2012, https://doi.org/10.1109/CVPR.2012.6248038), with binary signatures that tell
the descriptors of one word apart (Jégou, Douze and Schmid 2008, https://doi.org/10.1007/978-3-540-88682-2_24).
The work grows linearly with the number of images: the codebooks grow with it, so that words stay equally rare.
"""

import numpy as np
import torch

from maskcls.progress import progress

# average number of descriptors per word
DESCRIPTORS_PER_WORD = 8
# principal components of the descriptors that words are made of, half of them in each codebook
COMPONENTS = 16
# number of nearest words in each codebook that a descriptor is looked up in
PROBES = 2
# principal components of the descriptors that signatures are made of
SIGNATURE_COMPONENTS = 64
# number of descriptors of a word that are looked at, the first ones: a watermark's word is in every image
MAX_PER_WORD = 100
# largest number of the 64 bits in which the signatures of similar descriptors differ
MAX_DISTANCE = 12
# number of descriptors that components and codebooks are computed from
SAMPLE = 100_000
# number of descriptors encoded at a time: their distances to a codebook's words stay in the processor's cache
CHUNK = 1024


class DescriptorIndex:
    """Finds the images that have similar descriptors.

    Args:
        descriptors: uint8 [descriptors, 128]; read in order, a part at a time.
        owners: int64 [descriptors], position of the image of each descriptor; -1 leaves the descriptor out.
        seed: seed of the codebooks and of the signatures.
    """

    def __init__(self, descriptors: np.ndarray, owners: np.ndarray, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        indexed = np.flatnonzero(owners >= 0)
        count = len(indexed)
        drawn = np.sort(generator.choice(indexed, size=min(count, SAMPLE), replace=False))
        sample = torch.from_numpy(descriptors[drawn].astype(np.float32))
        self.mean = sample.mean(dim=0)
        variances, directions = torch.linalg.eigh((sample - self.mean).T @ (sample - self.mean) / len(sample))
        deviations = variances.flip(0).clamp(min=1e-6).sqrt()
        # words are equally frequent after scaling to unit variance; signatures have less noise with half the scaling
        self.to_words = directions.flip(1)[:, :COMPONENTS] / deviations[:COMPONENTS]
        projection = torch.from_numpy(generator.normal(size=(SIGNATURE_COMPONENTS, 64)).astype(np.float32))
        scaled = directions.flip(1)[:, :SIGNATURE_COMPONENTS] / deviations[:SIGNATURE_COMPONENTS].sqrt()
        self.to_bits = scaled @ projection
        self.medians = ((sample - self.mean) @ self.to_bits).median(dim=0).values

        words = int(np.clip(np.sqrt(count / DESCRIPTORS_PER_WORD), 1, len(sample)))
        components = (sample - self.mean) @ self.to_words
        self.codebooks = [
            part[torch.from_numpy(generator.permutation(len(sample))[:words])]
            for part in (components[:, 0::2], components[:, 1::2])
        ]
        cells, signatures = self._encode(descriptors, indexed, probes=1, show=True)
        cells = cells[:, 0]
        order = np.argsort(cells, kind="stable")
        self.signatures, self.owners = signatures[order], owners[indexed][order]
        self.starts = np.concatenate([[0], np.cumsum(np.bincount(cells, minlength=words * words))])

    def _encode(
        self, descriptors: np.ndarray, rows: np.ndarray, probes: int, *, show: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Look up the nearest words, int64 [rows, probes squared], and the signatures, uint64 [rows], of some rows."""
        probes = min(probes, len(self.codebooks[0]))
        cells = np.empty((len(rows), probes**2), dtype=np.int64)
        signatures = np.empty(len(rows), dtype=np.uint64)
        starts = range(0, len(rows), CHUNK)
        for start in progress(starts, total=len(starts), phase="index", unit="parts") if show else starts:
            part = slice(start, start + CHUNK)
            centred = torch.from_numpy(descriptors[rows[part]].astype(np.float32)) - self.mean
            components = centred @ self.to_words
            first, second = (
                torch.addmm(codebook.square().sum(dim=1), half, codebook.T, alpha=-2)
                .topk(probes, dim=1, largest=False)
                .indices
                for half, codebook in zip((components[:, 0::2], components[:, 1::2]), self.codebooks, strict=True)
            )
            cells[part] = (first[:, :, None] * len(self.codebooks[1]) + second[:, None, :]).flatten(1)
            bits = (centred @ self.to_bits > self.medians).numpy()
            signatures[part] = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
        return cells, signatures

    def votes(self, descriptors: np.ndarray, askers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Count the similar descriptors of each pair of images.

        Args:
            descriptors: uint8 [descriptors, 128].
            askers: int64 [descriptors], position of the image of each descriptor.

        Returns:
            Three int64 arrays with one entry for each pair that has similar descriptors: the asker, the other image,
            and the number of the asker's descriptors with a similar one in the other image.
        """
        cells, signatures = self._encode(descriptors, np.arange(len(descriptors)), PROBES)
        starts = self.starts[cells].ravel()
        sizes = np.minimum(self.starts[cells + 1].ravel() - starts, MAX_PER_WORD)
        # positions of all entries of all words, one word after the other
        rows = np.repeat(np.arange(sizes.size) // cells.shape[1], sizes)
        positions = np.arange(sizes.sum()) + np.repeat(starts - np.cumsum(sizes) + sizes, sizes)
        similar = np.bitwise_count(signatures[rows] ^ self.signatures[positions]) <= MAX_DISTANCE
        rows, others = rows[similar], self.owners[positions[similar]]
        is_other = askers[rows] != others
        # a descriptor votes once for an image, however many similar descriptors the image has
        voted = np.sort(_pair(rows[is_other], others[is_other]))
        voted = voted[np.append(True, voted[1:] != voted[:-1])[: len(voted)]]  # np.unique's hash table is slower
        pairs, votes = np.unique(_pair(askers[voted >> 32], voted & 0xFFFFFFFF), return_counts=True)
        return pairs >> 32, pairs & 0xFFFFFFFF, votes


def _pair(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pack two whole numbers below 2**31 into one, int64."""
    return first.astype(np.int64) << 32 | second
