"""Finds the files of a data set that show one image, from pixels alone: names and folders are not looked at."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import DisjointSet

from maskcls.audit.candidates import DescriptorIndex
from maskcls.audit.features import FeatureStore, mirrored
from maskcls.audit.files import FileFacts, Inspection, one_thread_each
from maskcls.audit.geometry import MIN_AGREEMENT_EVERYWHERE, Match, compare_everywhere, match
from maskcls.audit.thumbnails import are_alike, confirm, neighbours
from maskcls.cores import in_threads, usable_cores
from maskcls.progress import progress

# number of similar descriptors from which two images are compared
MIN_VOTES = 3
# number of images that an image is compared with, those with most similar descriptors, as it is and mirrored: images
# of one kind are alike, and without a bound the pairs would grow with the square of the number of images
MAX_CANDIDATES = 10
# number of features below which an image's turned copies are missed more often than not, on digits and blurred faces
FEW_FEATURES = 10
# longer side in pixels below which features are not compared: enlarged pixels have corners in common, and among
# scikit-learn's digits of 8 pixels, different ones match
MIN_SIDE = 16
# number of pixels below which only identical ones make two images copies: any two images of two pixels are alike
MIN_PIXELS = 64
# number of images whose descriptors are looked up at a time
IMAGES_AT_A_TIME = 200

IDENTICAL_FILE = "identical file"
IDENTICAL_PIXELS = "identical pixels"
REENCODED = "re-encoded"
RESIZED = "resized"
TRANSFORMED = "transformed"
EDITED = "edited"
# strongest first; a file has the evidence of its strongest link
EVIDENCE = (IDENTICAL_FILE, IDENTICAL_PIXELS, REENCODED, RESIZED, TRANSFORMED, EDITED)


@dataclass(frozen=True)
class Link:
    """Two files that show one image.

    Attributes:
        first, second: positions of the files.
        evidence: one of `EVIDENCE`. A ``transformed`` picture is rotated, moved, zoomed or mirrored. In an ``edited``
            one a part was replaced, for example by a drawn mask: such files are related, but not near-duplicates.
        match: how one image lies on the other; None where they are identical. It has no inliers where only thumbnails
            were compared.
    """

    first: int
    second: int
    evidence: str
    match: Match | None = None


def find_links(inspection: Inspection, store: FeatureStore) -> list[Link]:
    """Link files that show one image. Links connect each group, but not every pair in it.

    Files that cannot be read are left out. Files of a single colour are linked only to identical files.
    """
    facts = inspection.facts
    readable = [i for i, fact in enumerate(facts) if fact.fault is None]
    links = _identical(readable, lambda i: facts[i].digest, IDENTICAL_FILE)
    kept = [i for i in _without_copies(readable, links) if not facts[i].is_constant]
    links += (same := _identical(kept, lambda i: facts[i].pixel_digest, IDENTICAL_PIXELS))
    kept = _without_copies(kept, same)
    duplicates = DisjointSet(kept)
    with one_thread_each():
        links += _similar([image for image in kept if _is_large(facts[image])], facts, store, duplicates)
        large = [image for image in kept if facts[image].width * facts[image].height >= MIN_PIXELS]
        return links + _plain_copies(large, inspection, store, duplicates)


def without_features(facts: Sequence[FileFacts], store: FeatureStore) -> list[int]:
    """List the images that have too few local features to be recognised when they are turned, cropped or mirrored."""
    counts = np.diff(store.starts)
    readable = [i for i, fact in enumerate(facts) if fact.fault is None]
    return [i for i in readable if counts[i] < FEW_FEATURES or not _is_large(facts[i])]


def _is_large(fact: FileFacts) -> bool:
    """Whether an image is large enough for its local features to say what it shows."""
    return max(fact.width, fact.height) >= MIN_SIDE


def _identical(images: Iterable[int], key: Callable[[int], Hashable], evidence: str) -> list[Link]:
    """Link the first image of each key to the others."""
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


def _similar(
    images: Sequence[int], facts: Sequence[FileFacts], store: FeatureStore, duplicates: DisjointSet
) -> list[Link]:
    """Link images whose local features and pixels match, and merge those that show one image in ``duplicates``."""
    links = []
    pairs = _candidates(images, store).tolist()
    # in one thread: several would wait for each other in many small calls, and take longer
    for first, second, mirror in progress(pairs, total=len(pairs), phase="compare", unit="pairs"):
        if duplicates.connected(first, second):
            continue
        found = match(store.features(first), store.features(second), mirror=bool(mirror))
        if found is None:
            continue
        evidence = _evidence(found, facts[first], facts[second])
        if evidence in (REENCODED, RESIZED):
            thumbnails = store.features(first).thumbnail, store.features(second).thumbnail
            side = _smaller_side(facts[first], facts[second])
            if compare_everywhere(*thumbnails, found.matrix, side) < MIN_AGREEMENT_EVERYWHERE:
                continue  # two objects, or persons, in one frame
        links.append(Link(first, second, evidence, found))
        if evidence != EDITED:
            duplicates.merge(first, second)
    return links


def _smaller_side(first: FileFacts, second: FileFacts) -> int:
    """Return the longer side of the smaller one of two images."""
    return min(max(first.width, first.height), max(second.width, second.height))


def _plain_copies(
    images: Sequence[int], inspection: Inspection, store: FeatureStore, duplicates: DisjointSet
) -> list[Link]:
    """Link images whose thumbnails agree and that are not linked yet: those that have few local features."""
    links = []
    pairs = neighbours(inspection.thumbnails, images, usable_cores())
    for first, second in progress(pairs, total=len(pairs), phase="compare thumbnails", unit="pairs"):
        if duplicates.connected(first, second):
            continue
        facts = [inspection.facts[image] for image in (first, second)]
        shortest = min(min(fact.width, fact.height) for fact in facts)
        if not are_alike(inspection.thumbnails[first], inspection.thumbnails[second], shortest):
            continue
        found = confirm(store.features(first), store.features(second), _smaller_side(*facts))
        if found is not None:
            links.append(Link(first, second, _resized_or_not(*facts), found))
            duplicates.merge(first, second)
    return links


def _evidence(found: Match, first: FileFacts, second: FileFacts) -> str:
    if found.is_edited:
        return EDITED
    if not found.keeps_the_frame:
        return TRANSFORMED
    return _resized_or_not(first, second)


def _resized_or_not(first: FileFacts, second: FileFacts) -> str:
    return REENCODED if (first.width, first.height) == (second.width, second.height) else RESIZED


def _candidates(images: Sequence[int], store: FeatureStore) -> np.ndarray:
    """Find pairs of images with similar descriptors, those with most first.

    Returns:
        int32 [pairs, 3], rows of first image, second image, and whether one is mirrored; first is below second.
    """
    owners = np.full(store.starts[-1], -1)
    for image in images:
        owners[store.starts[image] : store.starts[image + 1]] = image
    if not (owners >= 0).any():
        return np.empty((0, 3), dtype=np.int32)
    index = DescriptorIndex(store.descriptors, owners)

    def ask(start: int) -> np.ndarray:
        """Find the pairs of some images: int32 [pairs, 4], the last column is their votes."""
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
        pairs = np.concatenate(list(progress(asked, total=len(starts), phase="look up", unit="parts")))
    pairs = pairs[np.lexsort((pairs[:, 2], pairs[:, 1], pairs[:, 0], -pairs[:, 3]))]
    # both images of a pair may have asked for it: keep the row with more votes, which is the first
    _, first = np.unique(pairs[:, :3], axis=0, return_index=True)
    unique: np.ndarray = pairs[np.sort(first), :3]
    return unique


def _most(askers: np.ndarray, counted: np.ndarray, limit: int) -> np.ndarray:
    """Mark the entries with the ``limit`` highest counts of each asker, bool [entries]; ties go to the first."""
    order = np.lexsort((-counted, askers))
    _, starts, asker = np.unique(askers[order], return_index=True, return_inverse=True)
    rank = np.arange(len(order)) - starts[asker]
    kept = np.zeros(len(order), dtype=bool)
    kept[order[rank < limit]] = True
    return kept


@dataclass(frozen=True)
class FileGroups:
    """Group of each file. Groups are numbered in the order of their first files.

    Attributes:
        of_file: int64 [files], number of each file's group.
        unedited: int64 [files], the same without the links between edited pictures.
        evidence: evidence of the strongest link of each file, "" for a file without links.
    """

    of_file: np.ndarray
    unedited: np.ndarray
    evidence: tuple[str, ...]


def group(count: int, links: Sequence[Link]) -> FileGroups:
    """Group ``count`` files: the groups are the connected components of the links."""
    strongest = [len(EVIDENCE)] * count
    for link in links:
        for image in (link.first, link.second):
            strongest[image] = min(strongest[image], EVIDENCE.index(link.evidence))
    return FileGroups(
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
