"""The images that are trained on, with and without those that are made of faces."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from configuration import small

from maskcls.data.exchanged import ExchangedFaces
from maskcls.data.streaming import JoinedImages
from maskcls.errors import UserError
from maskcls.training import examples as module
from maskcls.training.data import load_data
from maskcls.training.examples import Examples, training_examples

# training images of each class in the data set of the tests, and those in whose faces landmarks are "found"
EACH, FOUND = 24, 20
NOTHING = ("augment.masks=0", "augment.obstacles=0", "augment.exchanged=0")


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
    for overrides in ([], ["augment=light"], ["augment=robust", *NOTHING]):
        config = small(dataset, *overrides)
        data = load_data(config.data)
        examples = training_examples(config, data)
        assert examples.split is data.splits["train"]
        assert examples.paths == data.index.splits["train"].paths
        assert (examples.sampling, examples.weights, dict(examples.made)) == (None, None, {})


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("sampling", ["files", "classes"])
def test_what_is_made_of_faces_takes_its_share_of_each_class(dataset: Path, sampling: str) -> None:
    shares = ("augment.masks=0.5", "augment.obstacles=0.25", "augment.exchanged=0.125")
    data, examples = examples_of(dataset, *shares, f"data.sampling={sampling}")
    assert dict(examples.made) == {
        "a drawn mask": FOUND, "an obstacle": FOUND, "a worn mask": FOUND, "another mouth": FOUND
    }  # fmt: skip
    assert len(examples.split) == len(examples.paths) == 2 * EACH + 4 * FOUND
    assert Counter(examples.split.labels) == {0: EACH + 2 * FOUND, 1: EACH + 2 * FOUND}
    weights, labels = np.array(examples.weights), np.array(examples.split.labels)
    assert examples.sampling is not None
    assert examples.sampling.draws == 2 * EACH
    for label in (0, 1):
        assert weights[labels == label].sum() == pytest.approx(0.5)
    made = weights[2 * EACH :].reshape(4, FOUND)
    assert made.sum(axis=1) == pytest.approx([0.25, 0.125, 0.0625, 0.0625])
    assert labels[2 * EACH :].reshape(4, FOUND)[:, 0].tolist() == [0, 1, 0, 1]
    bare = [path for path, label in data.index.splits["train"].pairs() if label == 1]
    assert examples.paths[2 * EACH :] == bare[:FOUND] * 4


@pytest.mark.usefixtures("detector")
def test_lower_halves_come_from_training_images_of_the_same_class(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    givers = []

    def faces(*arguments: Any, **keywords: Any) -> ExchangedFaces:
        givers.append(keywords["others"].paths)
        return ExchangedFaces(*arguments, **keywords)

    monkeypatch.setattr(module, "ExchangedFaces", faces)
    data, examples = examples_of(dataset, "augment.masks=0", "augment.obstacles=0", "augment.exchanged=0.5")
    files = list(data.index.splits["train"].pairs())
    assert givers == [[path for path, label in files if label == own][:FOUND] for own in (0, 1)]
    assert dict(examples.made) == {"a worn mask": FOUND, "another mouth": FOUND}
    worn = examples.split.images[2 * EACH : 2 * EACH + FOUND]
    bare = data.splits["train"].images[np.flatnonzero(np.array(data.splits["train"].labels) == 1)[:FOUND]]
    assert np.array_equal(worn[:, :1], bare[:, :1])  # the forehead stays as it is


@pytest.mark.usefixtures("detector")
def test_damaged_images_are_trained_on_but_nothing_is_made_of_them(dataset: Path) -> None:
    config = small(dataset, "augment=robust", "data.positive_class=WithMask", "augment.masks=0")
    data = load_data(config.data)
    damaged = [path for path, _ in data.index.splits["train"].pairs()][::EACH]  # one of each class
    data = dataclasses.replace(data, damaged=dict.fromkeys(damaged, "cut off"))
    examples = training_examples(config, data)
    assert set(damaged) <= set(examples.paths[: 2 * EACH])
    assert not set(damaged) & set(examples.paths[2 * EACH :])


def test_landmarks_in_one_place_are_no_face(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cached_landmarks", lambda root, paths, *rest: np.full((len(paths), 5, 2), 7.0))
    monkeypatch.setattr(module, "find_detector", lambda model, cache_dir, key: model)
    with pytest.raises(UserError, match="no face was found"):
        examples_of(dataset)


@pytest.mark.usefixtures("detector")
def test_the_images_are_those_of_the_files_and_then_the_drawn_ones(dataset: Path) -> None:
    data, examples = examples_of(dataset, "augment.obstacles=0", "augment.exchanged=0")
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
    assert np.array_equal(streamed.split.images[40:], cached.split.images[40:])


@pytest.mark.usefixtures("detector")
def test_masks_need_a_class_that_has_them(dataset: Path) -> None:
    with pytest.raises(UserError) as caught:
        examples_of(dataset, "data.positive_class=null")
    assert str(caught.value) == (
        "augment=robust makes images of one class from faces of the other: it needs two classes, and "
        "data.positive_class=NAME for the one with masks; augment.masks=0 augment.obstacles=0 augment.exchanged=0 "
        "makes none"
    )


def test_faces_without_landmarks_are_an_error(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cached_landmarks", lambda root, paths, *rest: np.full((len(paths), 5, 2), np.nan))
    monkeypatch.setattr(module, "find_detector", lambda model, cache_dir, key: model)
    with pytest.raises(UserError, match=r"no face was found in the training images of WithoutMask; augment\.masks=0"):
        examples_of(dataset)


def test_the_error_about_a_detector_names_the_key_of_training(dataset: Path) -> None:
    with pytest.raises(UserError, match=r"^augment\.detector=.*none\.onnx: no such file"):
        examples_of(dataset, "augment.detector=none.onnx")
    Path("text.onnx").write_text("no detector")
    with pytest.raises(UserError, match=r"^augment\.detector=.*text\.onnx: not a detector"):
        examples_of(dataset, "augment.detector=text.onnx")
