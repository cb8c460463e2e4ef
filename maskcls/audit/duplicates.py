"""Which files of a data set show one photograph, told from their pixels; names and folders are never looked at."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import DisjointSet
from tqdm import tqdm

from maskcls.audit.candidates import DescriptorIndex
from maskcls.audit.features import FeatureStore, mirrored
from maskcls.audit.files import FileFacts, one_thread_each
from maskcls.audit.geometry import Match, match
from maskcls.cores import in_threads, usable_cores

# descriptors that two images must have in common to be compared
MIN_VOTES = 3
# of an image, the others with most descriptors in common that it is compared with, as it is and mirrored: faces are
# alike, so that without a bound the pairs would grow with the square of the number of images
MAX_CANDIDATES = 10
# images whose descriptors are looked up at a time
IMAGES_AT_A_TIME = 200

IDENTICAL_FILE = "identical file"
IDENTICAL_PIXELS = "identical pixels"
REENCODED = "re-encoded"
RESIZED = "resized"
TRANSFORMED = "transformed"
EDITED = "edited"
# strongest first; a file's evidence is its strongest link's
EVIDENCE = (IDENTICAL_FILE, IDENTICAL_PIXELS, REENCODED, RESIZED, TRANSFORMED, EDITED)


@dataclass(frozen=True)
class Link:
    """Two files that show one photograph.

    Attributes:
        first, second: positions of the files.
        evidence: one of `EVIDENCE`; ``transformed`` is rotated, moved, zoomed or mirrored; ``edited`` has a part
            replaced, as by a mask that was drawn on: such files are related, not duplicates.
        match: how one lies on the other; None where they are identical.
    """

    first: int
    second: int
    evidence: str
    match: Match | None = None


def find_links(facts: Sequence[FileFacts], store: FeatureStore) -> list[Link]:
    """Link the files that show one photograph, enough of them that each group hangs together.

    Files that cannot be read are left out; those of a single colour are linked only to identical files.
    """
    readable = [i for i, fact in enumerate(facts) if fact.fault is None]
    links = _identical(readable, lambda i: facts[i].digest, IDENTICAL_FILE)
    kept = [i for i in _without_copies(readable, links) if not facts[i].is_constant]
    links += (same := _identical(kept, lambda i: facts[i].pixel_digest, IDENTICAL_PIXELS))
    kept = _without_copies(kept, same)
    with one_thread_each():
        return links + _similar(kept, facts, store)


def _identical(images: Iterable[int], key: Callable[[int], Hashable], evidence: str) -> list[Link]:
    """Links from the first image of each key to the others."""
    first: dict[Hashable, int] = {}
    links = []
    for image in images:
        known = first.setdefault(key(image), image)
        if known != image:
            links.append(Link(known, image, evidence))
    return links


def _without_copies(images: Iterable[int], links: Iterable[Link]) -> list[int]:
    copies = {link.second for link in links}
    return [image for image in images if image not in copies]


def _similar(images: Sequence[int], facts: Sequence[FileFacts], store: FeatureStore) -> list[Link]:
    """Links between images with similar local features, where these agree on how one lies on the other."""

    duplicates = DisjointSet(images)
    links = []
    pairs = _candidates(images, store)
    # one after the other: in threads, which wait for each other in many small calls, it takes longer
    for first, second, mirror in tqdm(pairs.tolist(), desc="compare", unit=" pairs", leave=False, disable=None):
        if duplicates.connected(first, second):
            continue
        found = match(
            store.features(first), store.features(second), store.thumbnail(first), store.thumbnail(second), bool(mirror)
        )
        if found is None:
            continue
        evidence = _evidence(found, facts[first], facts[second])
        links.append(Link(first, second, evidence, found))
        if evidence != EDITED:
            duplicates.merge(first, second)
    return links


def _evidence(found: Match, first: FileFacts, second: FileFacts) -> str:
    if found.is_edited:
        return EDITED
    if not found.keeps_the_frame:
        return TRANSFORMED
    return REENCODED if (first.width, first.height) == (second.width, second.height) else RESIZED


def _candidates(images: Sequence[int], store: FeatureStore) -> np.ndarray:
    """Pairs of images with descriptors in common, most first, and whether it is those of the mirror image.

    Returns:
        int32 [pairs, 3], rows of first image, second image, mirror; first below second.
    """
    owners = np.full(store.starts[-1], -1)
    for image in images:
        owners[store.starts[image] : store.starts[image + 1]] = image
    if not (owners >= 0).any():
        return np.empty((0, 3), dtype=np.int32)
    index = DescriptorIndex(store.descriptors, owners)

    def ask(start: int) -> np.ndarray:
        """The pairs of some images: int32 [pairs, 4], with their votes."""
        found = []
        part = images[start : start + IMAGES_AT_A_TIME]
        rows = slice(store.starts[part[0]], store.starts[part[-1] + 1])
        asking = owners[rows] >= 0
        descriptors, askers = store.descriptors[rows][asking], owners[rows][asking]
        for mirror in (False, True):
            asker, other, votes = index.votes(mirrored(descriptors) if mirror else descriptors, askers)
            kept = votes >= MIN_VOTES
            kept[kept] = _most(asker[kept], votes[kept], MAX_CANDIDATES)
            pair = np.stack([np.minimum(asker, other), np.maximum(asker, other), np.full_like(asker, mirror), votes])
            found.append(pair.T[kept].astype(np.int32))
        return np.concatenate(found)

    starts = range(0, len(images), IMAGES_AT_A_TIME)
    with in_threads(ask, starts, usable_cores()) as asked:
        bar = tqdm(asked, total=len(starts), desc="look up", unit=" parts", leave=False, disable=None)
        pairs = np.concatenate(list(bar))
    pairs = pairs[np.lexsort((pairs[:, 2], pairs[:, 1], pairs[:, 0], -pairs[:, 3]))]
    # both of a pair may have asked: the first of its rows, the one with more votes, stays
    _, first = np.unique(pairs[:, :3], axis=0, return_index=True)
    unique: np.ndarray = pairs[np.sort(first), :3]
    return unique


def _most(askers: np.ndarray, counted: np.ndarray, limit: int) -> np.ndarray:
    """Which entries are among the ``limit`` highest counts of their asker; of equals, the first."""
    order = np.lexsort((-counted, askers))
    ordered = askers[order]
    is_first = np.ones(len(ordered), dtype=bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(is_first)
    rank = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.append(starts, len(ordered))))
    kept = np.zeros(len(ordered), dtype=bool)
    kept[order[rank < limit]] = True
    return kept


@dataclass(frozen=True)
class Groups:
    """Files by photograph.

    Attributes:
        of_file: int64 [files], the number of each file's photograph, counted in the order of their first files.
        duplicates_of_file: the same, without the links between edited pictures.
        evidence: of each file, the strongest that links it, empty for a file of its own.
    """

    of_file: np.ndarray
    duplicates_of_file: np.ndarray
    evidence: tuple[str, ...]


def group(count: int, links: Sequence[Link]) -> Groups:
    """The connected parts of the files, of which there are ``count``."""
    strongest = [len(EVIDENCE)] * count
    for link in links:
        for image in (link.first, link.second):
            strongest[image] = min(strongest[image], EVIDENCE.index(link.evidence))
    return Groups(
        _components(count, links),
        _components(count, [link for link in links if link.evidence != EDITED]),
        tuple((*EVIDENCE, "")[rank] for rank in strongest),
    )


def _components(count: int, links: Sequence[Link]) -> np.ndarray:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = np.array([(link.first, link.second) for link in links], dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    _, first = np.unique(labels, return_index=True)
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[labels]
