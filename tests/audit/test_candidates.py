"""The index of descriptors: finds images with descriptors in common, and few others."""

import numpy as np
import pytest

from maskcls.audit import candidates
from maskcls.audit.candidates import DescriptorIndex

PER_IMAGE = 40


def descriptors_of(images: int, seed: int = 0) -> np.ndarray:
    """Random RootSIFT-like descriptors, uint8 [images * PER_IMAGE, 128]."""
    values = np.random.default_rng(seed).exponential(size=(images * PER_IMAGE, 128))
    rooted = np.sqrt(values / values.sum(axis=1, keepdims=True))
    return np.minimum(np.rint(512 * rooted), 255).astype(np.uint8)


def disturbed(descriptors: np.ndarray, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 4, descriptors.shape)
    return np.clip(descriptors + noise, 0, 255).astype(np.uint8)


def votes(index: DescriptorIndex, descriptors: np.ndarray, askers: np.ndarray) -> dict[tuple[int, int], int]:
    first, second, counted = index.votes(descriptors, askers)
    return {(int(a), int(b)): int(n) for a, b, n in zip(first, second, counted, strict=True)}


def test_an_image_with_disturbed_descriptors_of_another_is_found() -> None:
    descriptors = descriptors_of(60)
    descriptors[5 * PER_IMAGE : 6 * PER_IMAGE] = disturbed(descriptors[:PER_IMAGE])
    owners = np.repeat(np.arange(60), PER_IMAGE)
    found = votes(DescriptorIndex(descriptors, owners), descriptors, owners)
    assert found[0, 5] > PER_IMAGE / 2
    assert found[5, 0] > PER_IMAGE / 2
    others = [count for pair, count in found.items() if set(pair) != {0, 5}]
    assert max(others, default=0) < 4


def test_a_descriptor_votes_once_for_an_image_and_never_for_its_own() -> None:
    descriptors = descriptors_of(3)
    descriptors[:] = descriptors[0]
    owners = np.repeat(np.arange(3), PER_IMAGE)
    found = votes(DescriptorIndex(descriptors, owners), descriptors, owners)
    assert found == {(a, b): PER_IMAGE for a in range(3) for b in range(3) if a != b}


def test_parts_vote_as_the_whole_does() -> None:
    descriptors = descriptors_of(20)
    descriptors[PER_IMAGE : 2 * PER_IMAGE] = disturbed(descriptors[:PER_IMAGE])
    owners = np.repeat(np.arange(20), PER_IMAGE)
    index = DescriptorIndex(descriptors, owners)
    whole = votes(index, descriptors, owners)
    half = 10 * PER_IMAGE
    assert whole == votes(index, descriptors[:half], owners[:half]) | votes(index, descriptors[half:], owners[half:])


def test_the_votes_are_a_function_of_the_seed() -> None:
    descriptors = descriptors_of(30)
    owners = np.repeat(np.arange(30), PER_IMAGE)
    first, second = (votes(DescriptorIndex(descriptors, owners, seed=3), descriptors, owners) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("images", [1, 2])
def test_few_images_are_enough(images: int) -> None:
    descriptors = descriptors_of(images)[: 3 * images]
    owners = np.repeat(np.arange(images), 3)
    assert votes(DescriptorIndex(descriptors, owners), descriptors, owners) == {}


def test_the_words_stay_as_rare_as_there_are_more_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "SAMPLE", 2000)
    for images in (50, 200):
        descriptors = descriptors_of(images)
        index = DescriptorIndex(descriptors, np.repeat(np.arange(images), PER_IMAGE))
        sizes = np.diff(index.starts)
        assert sizes.sum() == len(descriptors)
        assert sizes[sizes > 0].mean() < 3 * candidates.DESCRIPTORS_PER_WORD


def test_an_image_that_is_left_out_is_not_found() -> None:
    descriptors = np.tile(descriptors_of(1), (3, 1))
    owners = np.repeat([0, -1, 2], PER_IMAGE)
    found = votes(DescriptorIndex(descriptors, owners), descriptors[:PER_IMAGE], owners[:PER_IMAGE])
    assert found == {(0, 2): PER_IMAGE}


def test_of_a_word_that_all_images_have_the_first_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MAX_PER_WORD", 5)
    descriptors = np.repeat(descriptors_of(1)[:1], 100, axis=0)
    owners = np.arange(100)
    found = votes(DescriptorIndex(descriptors, owners), descriptors[50:60], owners[50:60])
    assert set(found) == {(asker, other) for asker in range(50, 60) for other in range(5)}
