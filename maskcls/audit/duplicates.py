"""Which files of a data set show one photograph, told from their pixels; names and folders are never looked at."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import DisjointSet
from tqdm import tqdm

from maskcls.audit.candidates import DescriptorIndex
from maskcls.audit.features import FeatureStore, mirrored
from maskcls.audit.files import FileFacts
from maskcls.audit.geometry import Match, match

# descriptors that two images must have in common to be compared
MIN_VOTES = 4
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

    Files that cannot be read, or are of a single colour, are left out.
    """
    usable = [i for i, fact in enumerate(facts) if fact.fault is None and not fact.is_constant]
    links = _identical(usable, lambda i: facts[i].digest, IDENTICAL_FILE)
    kept = _without_copies(usable, links)
    links += (same := _identical(kept, lambda i: facts[i].pixel_digest, IDENTICAL_PIXELS))
    kept = _without_copies(kept, same)
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
    for first, second, mirror in tqdm(
        _candidates(images, store), desc="compare", unit=" pairs", leave=False, disable=None
    ):
        if duplicates.connected(first, second):
            continue
        found = match(
            store.features(first), store.features(second), store.thumbnail(first), store.thumbnail(second), mirror
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


def _candidates(images: Sequence[int], store: FeatureStore) -> list[tuple[int, int, bool]]:
    """Pairs of images with descriptors in common, most first, and whether it is those of the mirror image."""
    chosen = np.array(images, dtype=np.int64)
    counts = np.diff(store.starts)
    owners = np.repeat(np.arange(len(store)), counts)
    if not len(owners):
        return []
    index = DescriptorIndex(store.descriptors, owners)
    is_chosen = np.zeros(len(store), dtype=bool)
    is_chosen[chosen] = True
    votes: dict[tuple[int, int, bool], int] = defaultdict(int)
    starts = range(0, len(store), IMAGES_AT_A_TIME)
    for start in tqdm(starts, desc="look up", unit=" parts", leave=False, disable=None):
        stop = min(start + IMAGES_AT_A_TIME, len(store))
        part = slice(store.starts[start], store.starts[stop])
        for mirror in (False, True):
            descriptors = mirrored(store.descriptors[part]) if mirror else store.descriptors[part]
            askers, others, counted = index.votes(descriptors, owners[part])
            is_kept = (counted >= MIN_VOTES) & is_chosen[askers] & is_chosen[others]
            is_kept[is_kept] = _most(askers[is_kept], counted[is_kept], MAX_CANDIDATES)
            for asker, other, count in zip(askers[is_kept], others[is_kept], counted[is_kept], strict=True):
                pair = (int(min(asker, other)), int(max(asker, other)), mirror)
                votes[pair] = max(votes[pair], int(count))
    return sorted(votes, key=lambda pair: (-votes[pair], pair))


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
