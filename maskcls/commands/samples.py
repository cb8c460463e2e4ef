"""The plot of training images: as they are, and as the network sees them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from maskcls.config import AugmentConfig
from maskcls.data.augment import build_augment
from maskcls.data.streaming import Images
from maskcls.training.examples import Examples

# images in a row
COLUMNS = 8


class Row(NamedTuple):
    """Images in a row of the plot.

    Attributes:
        what: what was done to them; empty for nothing.
        images: uint8 [n, size, size, 3].
        labels: label of each image.
    """

    what: str
    images: np.ndarray
    labels: Sequence[int]


def plot_samples(examples: Examples, augment: AugmentConfig, classes: Sequence[str], path: Path) -> None:
    """Draw training images: the files, those made of faces, and what each step of the augmentation makes of them.

    Args:
        augment: the augmentation.
        classes: names of the classes.
    """
    from maskcls.reporting.plots import sample_grid

    rows = list(sample_rows(examples, augment))
    images = [image for row in rows for image in row.images]
    captions = [f"{classes[label]}\n{row.what}".strip() for row in rows for label in row.labels]
    sample_grid(images, captions, path, "training images", COLUMNS)


def sample_rows(examples: Examples, augment: AugmentConfig) -> Iterator[Row]:
    """Choose and change the images of the plot, as a function of the training images alone."""
    rng = np.random.default_rng(0)  # of its own: drawing plots or not changes no figure
    images, labels = examples.split.images, np.array(examples.split.labels)
    changes = build_augment(augment, torch.Generator().manual_seed(0))
    files = len(images) - sum(examples.made.values())
    chosen = rng.permutation(files)[: COLUMNS * (4 if changes is None else 1)]
    yield Row("", images[chosen], labels[chosen].tolist())
    start = files
    for what, count in examples.made.items():
        made = start + rng.permutation(count)[:COLUMNS]
        yield Row(f"with {what}", images[made], labels[made].tolist())
        start += count
    if changes is None:
        return
    for what, change in changes.steps.items():
        yield Row(what, _changed(images, chosen, change), labels[chosen].tolist())
    if len(changes.steps) > 1:
        weights = None if examples.weights is None else np.array(examples.weights) / np.sum(examples.weights)
        seen = rng.choice(len(images), 2 * COLUMNS, p=weights)
        yield Row("as seen", _changed(images, seen, changes), labels[seen].tolist())


def _changed(images: Images, chosen: np.ndarray, change: Callable[[Tensor], Tensor]) -> np.ndarray:
    """Apply a change to some images; uint8 [n, size, size, 3]."""
    changed = change(torch.from_numpy(np.array(images[chosen])).permute(0, 3, 1, 2))
    if changed.dtype != torch.uint8:
        changed = (changed * 255).round().to(torch.uint8)
    array: np.ndarray = changed.permute(0, 2, 3, 1).numpy()
    return array
