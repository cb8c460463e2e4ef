"""The images that an exported network is tried on."""

import dataclasses
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from checkpoints import SIZE, inference_checkpoint
from configuration import small

from maskcls.config import as_dictionary
from maskcls.data.decode import decode_image, prepare_image
from maskcls.data.sources import open_dataset
from maskcls.export.sample import batches_of, noise_images, validation_images
from maskcls.models.document import Document


@pytest.fixture
def root(dataset: Path, tmp_path: Path) -> Path:
    """A data set that a test may change."""
    return Path(shutil.copytree(dataset, tmp_path / "set"))


def trained_on(root: Path) -> Document:
    """The document of a training on a data set."""
    config = small(root).data
    index, _ = open_dataset(config)
    return dataclasses.replace(
        inference_checkpoint().document,
        config={"data": as_dictionary(config)},
        data_fingerprint=index.fingerprint(),
        resize="crop",
    )


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (5, 5), (16, 16), (1000, 16)])
def test_the_images_are_spread_over_the_validation_split(count: int, expected: int, root: Path) -> None:
    sample = validation_images(trained_on(root), count)
    assert sample.images.shape == (expected, SIZE, SIZE, 3)
    assert sample.images.dtype == np.uint8
    assert sorted(set(sample.labels.tolist())) == ([0] if expected == 1 else [0, 1])
    index, _ = open_dataset(small(root).data)
    files = index.splits["val"]
    whole = [prepare_image(decode_image(root / path), SIZE, resize="crop") for path in files.paths]
    positions = [next(i for i, image in enumerate(whole) if np.array_equal(image, one)) for one in sample.images]
    assert positions == sorted(set(positions))
    assert [files.labels[position] for position in positions] == sample.labels.tolist()


def test_files_that_cannot_be_read_are_left_out_and_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    document = trained_on(root)
    file = sorted((root / "Validation" / "WithMask").iterdir())[0]
    file.write_bytes(b"x" * file.stat().st_size)
    with caplog.at_level(logging.WARNING):
        assert len(validation_images(document, 100).images) == 15
    assert [message for message in caplog.messages if message.startswith(f"left out: {file}: ")]


@pytest.mark.parametrize("change", ["gone", "other files"])
def test_there_are_no_images_if_the_files_of_the_training_have_changed(change: str, root: Path) -> None:
    document = trained_on(root)
    if change == "gone":
        shutil.rmtree(root)
    else:
        sorted((root / "Train" / "WithMask").iterdir())[0].unlink()
    sample = validation_images(document, 5)
    assert (sample.images.shape, len(sample.labels)) == ((0, SIZE, SIZE, 3), 0)


def test_noise_is_always_the_same() -> None:
    assert noise_images(8, 3).shape == (3, 8, 8, 3)
    assert np.array_equal(noise_images(8, 3), noise_images(8, 3))
    assert noise_images(8, 3).std() > 70


@pytest.mark.parametrize(("size", "expected"), [(1, [1, 1, 1]), (2, [2, 1]), (5, [3])])
def test_images_are_cut_into_batches(size: int, expected: list[int]) -> None:
    batches = list(batches_of(noise_images(8, 3), size))
    assert [len(batch) for batch in batches] == expected
    assert np.array_equal(np.concatenate(batches), noise_images(8, 3))
