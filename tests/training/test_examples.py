"""The images that are trained on, with and without faces that are drawn on."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from configuration import small

from maskcls.data.streaming import JoinedImages
from maskcls.errors import UserError
from maskcls.training import examples as module
from maskcls.training.data import load_data
from maskcls.training.examples import Examples, training_examples

# training images of each class in the data set of the tests, and those in whose faces landmarks are "found"
EACH, FOUND = 24, 20


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector that finds a face in the middle of all images but the last four."""
    landmarks = np.array([(5, 6), (10, 6), (7.5, 9), (6, 11), (9, 11)], dtype=float)

    def find(root: Path, paths: list[str], *rest: object) -> np.ndarray:
        found = np.stack([landmarks] * len(paths))
        found[FOUND:] = np.nan
        return found

    monkeypatch.setattr(module, "cached_landmarks", find)
    monkeypatch.setattr(module, "find_detector", lambda model, cache_dir, key: model)


def examples_of(root: Path, *overrides: str) -> tuple[Any, Examples]:
    config = small(root, "augment=robust", "data.positive_class=WithMask", *overrides)
    data = load_data(config.data)
    return data, training_examples(config, data)


def test_without_drawings_the_files_are_trained_on(dataset: Path) -> None:
    for overrides in ([], ["augment=light"], ["augment=robust", "augment.masks=0", "augment.obstacles=0"]):
        config = small(dataset, *overrides)
        data = load_data(config.data)
        examples = training_examples(config, data)
        assert examples.split is data.splits["train"]
        assert examples.paths == data.index.splits["train"].paths
        assert (examples.sampling, examples.weights, dict(examples.drawn)) == (None, None, {})


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("sampling", ["files", "classes"])
def test_drawn_faces_take_their_share_of_each_class(dataset: Path, sampling: str) -> None:
    data, examples = examples_of(dataset, "augment.masks=0.5", "augment.obstacles=0.25", f"data.sampling={sampling}")
    assert dict(examples.drawn) == {"mask": FOUND, "obstacle": FOUND}
    assert len(examples.split) == len(examples.paths) == 2 * EACH + 2 * FOUND
    assert Counter(examples.split.labels) == {0: EACH + FOUND, 1: EACH + FOUND}
    weights, labels = np.array(examples.weights), np.array(examples.split.labels)
    assert examples.sampling is not None
    assert examples.sampling.draws == 2 * EACH
    for label in (0, 1):
        assert weights[labels == label].sum() == pytest.approx(0.5)
    masks, obstacles = weights[2 * EACH : 2 * EACH + FOUND], weights[2 * EACH + FOUND :]
    assert masks.sum() == pytest.approx(0.25)
    assert obstacles.sum() == pytest.approx(0.125)
    bare = [path for path, label in data.index.splits["train"].pairs() if label == 1]
    assert examples.paths[2 * EACH : 2 * EACH + FOUND] == bare[:FOUND]


@pytest.mark.usefixtures("detector")
def test_the_images_are_those_of_the_files_and_then_the_drawn_ones(dataset: Path) -> None:
    data, examples = examples_of(dataset, "augment.obstacles=0")
    images, files = examples.split.images, data.splits["train"].images
    assert isinstance(images, JoinedImages)
    assert images.shape == (2 * EACH + FOUND, 16, 16, 3)
    assert np.array_equal(images[: 2 * EACH], files)
    bare = np.flatnonzero(np.array(data.splits["train"].labels) == 1)
    for number in (0, FOUND - 1):
        drawn, face = images[2 * EACH + number], files[bare[number]]
        assert not np.array_equal(drawn, face)
        assert np.array_equal(drawn[:1], face[:1])  # the forehead stays as it is
    chosen = np.array([2 * EACH + 1, 0, 2 * EACH - 1])
    assert np.array_equal(images[chosen], np.stack([images[int(position)] for position in chosen]))


@pytest.mark.usefixtures("detector")
def test_images_that_are_not_cached_are_drawn_on_at_each_read(dataset: Path) -> None:
    _, cached = examples_of(dataset)
    _, streamed = examples_of(dataset, "data.cache_gb=0", "data.cache_dir=other")
    assert np.array_equal(streamed.split.images[40:70], cached.split.images[40:70])


@pytest.mark.usefixtures("detector")
def test_masks_need_a_class_that_has_them(dataset: Path) -> None:
    with pytest.raises(UserError) as caught:
        examples_of(dataset, "data.positive_class=null")
    assert str(caught.value) == (
        "augment=robust draws masks onto the faces of one class to make images of the other: it needs two classes, and "
        "data.positive_class=NAME for the one with masks; augment.masks=0 augment.obstacles=0 draws nothing"
    )


def test_faces_without_landmarks_are_an_error(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cached_landmarks", lambda root, paths, *rest: np.full((len(paths), 5, 2), np.nan))
    monkeypatch.setattr(module, "find_detector", lambda model, cache_dir, key: model)
    with pytest.raises(UserError, match="no face found to draw a mask onto"):
        examples_of(dataset)


def test_the_error_about_a_detector_names_the_key_of_training(dataset: Path) -> None:
    with pytest.raises(UserError, match=r"^augment\.detector=.*none\.onnx: no such file"):
        examples_of(dataset, "augment.detector=none.onnx")
    Path("text.onnx").write_text("no detector")
    with pytest.raises(UserError, match=r"^augment\.detector=.*text\.onnx: not a detector"):
        examples_of(dataset, "augment.detector=text.onnx")
