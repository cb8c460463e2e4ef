"""Local features: the same ones whatever an image's size, and those of the mirror image without looking at it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from images import scene

from maskcls.audit.features import FEATURES, SIDE, FeatureStore, extract, grey_thumbnail, mirrored


@pytest.mark.parametrize(("height", "width"), [(160, 160), (40, 20), (1000, 333), (1, 7), (1, 1)])
def test_a_thumbnail_keeps_the_shape_of_its_image(height: int, width: int) -> None:
    thumbnail = grey_thumbnail(np.full((height, width, 3), 7, dtype=np.uint8))
    assert max(thumbnail.shape) == SIDE
    assert thumbnail.shape[0] / thumbnail.shape[1] == pytest.approx(height / width, rel=0.02)
    assert (thumbnail == 7).all()


def test_no_more_than_the_strongest_features_are_kept() -> None:
    features = extract(grey_thumbnail(scene(0)))
    assert features.positions.shape == (FEATURES, 2)
    assert features.descriptors.shape == (FEATURES, 128)
    assert features.descriptors.dtype == np.uint8
    # RootSIFT has unit length; 512 stands for 1
    assert np.linalg.norm(features.descriptors.astype(float), axis=1) == pytest.approx(512, rel=0.02)


def test_an_image_of_one_colour_has_no_features() -> None:
    features = extract(np.full((SIDE, SIDE), 128, dtype=np.uint8))
    assert features.positions.shape == (0, 2)
    assert features.descriptors.shape == (0, 128)
    assert (features.thumbnail == 128).all()


def test_the_mirror_images_descriptors_are_the_originals_in_another_order() -> None:
    thumbnail = grey_thumbnail(scene(1))
    original, mirror = extract(thumbnail), extract(np.ascontiguousarray(thumbnail[:, ::-1]))
    position = original.positions * (-1, 1) + (SIDE - 1, 0)
    distance = np.linalg.norm(position[:, None] - mirror.positions, axis=2)
    near = np.flatnonzero(distance.min(axis=1) < 1)
    assert len(near) > FEATURES / 2

    def similarity(descriptors: np.ndarray) -> float:
        products = descriptors[near].astype(float) @ mirror.descriptors.T.astype(float) / 512**2
        # several features may stand in one place
        products[distance[near] >= 1] = 0
        return float(np.median(products.max(axis=1)))

    assert similarity(mirrored(original.descriptors)) > 0.95
    assert similarity(original.descriptors) < 0.8
    assert (mirrored(mirrored(original.descriptors)) == original.descriptors).all()


def test_a_store_gives_back_what_was_added(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    thumbnails = [grey_thumbnail(scene(2)), grey_thumbnail(scene(3)[:80]), None]
    features = [None if thumbnail is None else extract(thumbnail) for thumbnail in thumbnails]
    for found in features:
        store.add(found)
    store.close()
    for position in (1, 0):
        expected = features[position]
        assert expected is not None
        for name, values in store.features(position)._asdict().items():
            assert (values == getattr(expected, name)).all()
    assert [values.shape for values in store.features(2)] == [(0, 0), (0, 2), (0, 128)]
    assert store.starts.tolist() == [0, FEATURES, FEATURES + len(store.features(1).positions), len(store.descriptors)]


def test_a_store_needs_no_name_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store = FeatureStore(tmp_path / "store")
    store.add(extract(grey_thumbnail(scene(2))))
    assert list((tmp_path / "store").iterdir()) == []
    store.close()
    (tmp_path / "store").rmdir()
    assert len(store.features(0).positions) == FEATURES


def test_a_store_of_nothing_is_empty(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.close()
    assert store.descriptors.shape == (0, 128)
    assert store.starts.tolist() == [0]


def test_a_blurred_picture_keeps_its_features() -> None:
    thumbnail = grey_thumbnail(scene(4))
    before, after = extract(thumbnail), extract(cv2.GaussianBlur(thumbnail, (0, 0), 0.7))
    products = before.descriptors.astype(float) @ after.descriptors.T.astype(float) / 512**2
    assert (products.max(axis=1) > 0.9).mean() > 0.6
