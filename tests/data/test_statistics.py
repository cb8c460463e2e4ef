from pathlib import Path

import numpy as np
import pytest

from maskcls.data.cache import cached_images
from maskcls.data.image_files import ImageFiles
from maskcls.data.statistics import IMAGENET, STUDY, Normalization, measure


@pytest.fixture
def images() -> np.ndarray:
    """Images whose channels differ in mean and deviation."""
    values = np.random.default_rng(0).normal((90, 128, 200), (40, 20, 5), (37, 9, 7, 3))
    return values.clip(0, 255).astype(np.uint8)


def test_mean_and_std_are_over_all_pixels(images: np.ndarray) -> None:
    pixels = images.reshape(-1, 3) / 255
    measured = measure(images)
    np.testing.assert_allclose(measured.mean, pixels.mean(axis=0), atol=1e-5, rtol=0)
    np.testing.assert_allclose(measured.std, pixels.std(axis=0), atol=1e-5, rtol=0)


def test_std_is_not_the_mean_of_each_images_own() -> None:
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[1] = 255
    assert measure(images) == Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize("chunk", [1, 10, 36, 37, 1000])
def test_chunks_make_no_difference(images: np.ndarray, chunk: int) -> None:
    assert measure(images, chunk) == measure(images)


@pytest.mark.parametrize("value", [0, 1, 100, 255])
def test_constant_images_are_left_unscaled(value: int) -> None:
    measured = measure(np.full((5, 4, 4, 3), value, np.uint8))
    np.testing.assert_allclose(measured.mean, [value / 255] * 3, atol=1e-6)
    assert measured.std == (1.0, 1.0, 1.0)


def test_one_constant_channel_leaves_the_others_measured(images: np.ndarray) -> None:
    constant = images.copy()
    constant[..., 1] = 7
    measured = measure(constant)
    assert measured.std[1] == 1
    assert (measured.std[0], measured.std[2]) == (measure(images).std[0], measure(images).std[2])


def test_memory_mapped_images(images: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "1.npy", images)
    assert measure(np.load(tmp_path / "1.npy", mmap_mode="r")) == measure(images)


def test_result_is_plain_numbers_for_a_checkpoint(images: np.ndarray) -> None:
    measured = measure(images)
    assert {type(value) for value in (*measured.mean, *measured.std)} == {float}


def test_constants() -> None:
    assert Normalization((0.5685, 0.4648, 0.4162), (0.2430, 0.2229, 0.2187)) == STUDY
    assert Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) == IMAGENET


@pytest.mark.realdata
def test_training_images_have_the_studys_mean(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "facemask12k" / "Train"
    files = [file.relative_to(root).as_posix() for file in sorted(root.glob("*/*.jpg"))[::10]]
    measured = measure(cached_images(ImageFiles(root, files, 64), tmp_path / "cache", threads=2))
    np.testing.assert_allclose(measured.mean, STUDY.mean, atol=0.01)
    # these are of all pixels at 224 pixels a side; here the images have 64
    np.testing.assert_allclose(measured.std, (0.2822, 0.2589, 0.2605), atol=0.015)
