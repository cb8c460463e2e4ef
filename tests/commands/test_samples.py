"""The plot of training images: which rows it has, and what is in them."""

from pathlib import Path

import numpy as np
import pytest
from schema import AUGMENT

from maskcls.commands.samples import COLUMNS, plot_samples, sample_rows
from maskcls.config import AugmentConfig, convert
from maskcls.data.decode import decode_image
from maskcls.data.loaders import LabelledImages, Sampling
from maskcls.training.examples import Examples

FILES, MADE, SIDE = 20, 10, 16


def examples(*, made: bool) -> Examples:
    """Images whose label can be seen: those of label 1 are bright."""
    count = FILES + MADE * made
    labels = [number % 2 for number in range(FILES)] + [0] * (count - FILES)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (count, SIDE, SIDE, 3), dtype=np.uint8)
    images[np.array(labels) == 1] += 150
    split = LabelledImages(images, labels)
    if not made:
        return Examples(split, [""] * count, None)
    return Examples(split, [""] * count, Sampling([1.0] * count, FILES), {"a drawn mask": MADE})


def augment(name: str) -> AugmentConfig:
    config: AugmentConfig = convert(AUGMENT[name], AugmentConfig, "augment")
    return config


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("none", {"": FILES}),
        ("flip", {"": COLUMNS, "flip": COLUMNS}),
        ("light", {"": COLUMNS, "light": COLUMNS}),
        (
            "robust",
            dict.fromkeys(("", "distance", "patches", "light", "camera"), COLUMNS) | {"as seen": 2 * COLUMNS},
        ),
    ],
)
def test_each_step_of_the_augmentation_has_a_row(name: str, rows: dict[str, int]) -> None:
    found = list(sample_rows(examples(made=False), augment(name)))
    assert {row.what: len(row.images) for row in found} == rows
    for row in found:
        assert row.images.shape[1:] == (SIDE, SIDE, 3)
        assert row.images.dtype == np.uint8
        assert len(row.labels) == len(row.images)
    files = found[0]
    assert [image.min() >= 150 for image in files.images] == [label == 1 for label in files.labels]
    assert all(not np.array_equal(row.images, files.images) for row in found[1:])


def test_images_that_are_made_of_faces_have_a_row() -> None:
    rows = {row.what: row for row in sample_rows(examples(made=True), augment("none"))}
    assert set(rows["with a drawn mask"].labels) == {0}
    assert rows["with a drawn mask"].images.max() < 100


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    plot_samples(examples(made=True), augment("robust"), ["A", "B"], tmp_path / "samples.png")
    height, width = decode_image(tmp_path / "samples.png").shape[:2]
    assert height > width / 2 > 200
