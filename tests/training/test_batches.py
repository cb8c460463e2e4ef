"""The order of the images and the seeds of their changes are functions of seed and epoch."""

import dataclasses

import numpy as np
import pytest
import torch
from trainings import tiny_batches, tiny_images

from maskcls.training.batches import TrainingBatches


def images_of(batches: TrainingBatches, epoch: int, start: int = 0) -> list[torch.Tensor]:
    return [images for images, _ in batches.remaining(epoch, start)]


def test_an_epoch_takes_each_image_once() -> None:
    batches = tiny_batches(20, size=6)
    assert (len(batches), batches.images) == (4, 20)
    pixels = torch.cat(images_of(batches, 0)).permute(0, 2, 3, 1).numpy()
    known = np.asarray(tiny_images(20).images)
    positions = [int(np.flatnonzero((known == image).all(axis=(1, 2, 3)))[0]) for image in pixels]
    assert sorted(positions) == list(range(20))
    assert positions != list(range(20))


@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_an_epoch_goes_on_with_its_remaining_batches(start: int) -> None:
    batches = tiny_batches(20, size=6)
    whole = images_of(batches, 2)
    rest = images_of(tiny_batches(20, size=6), 2, start)
    assert len(rest) == 4 - start
    assert all(torch.equal(a, b) for a, b in zip(whole[start:], rest, strict=True))


def test_the_order_depends_on_epoch_and_seed_and_on_nothing_else() -> None:
    batches = tiny_batches(20, size=20)
    (first,), (second,) = images_of(batches, 0), images_of(batches, 1)
    torch.rand(7)
    assert torch.equal(images_of(batches, 0)[0], first)
    assert not torch.equal(first, second)
    assert not torch.equal(images_of(dataclasses.replace(batches, seed=6), 0)[0], first)


def test_the_files_of_a_batch_are_those_that_it_holds() -> None:
    batches = tiny_batches(20, size=6)
    for number, images in enumerate(images_of(batches, 3)):
        files = batches.files(3, number)
        positions = [int(name.removesuffix(".png")) for name in files]
        expected = np.asarray(tiny_images(20).images)[positions]
        assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), expected)
    assert len(batches.files(3, 3)) == 2  # the last batch


def test_the_changes_of_an_epoch_begin_with_a_seed_of_their_own() -> None:
    batches = tiny_batches()

    def drawn(epoch: int, seed: int = 5) -> int:
        other = dataclasses.replace(batches, seed=seed)
        other.begin(epoch)
        return int(torch.randint(2**40, (), generator=other.changes))

    assert drawn(0) == drawn(0)
    assert len({drawn(0), drawn(1), drawn(0, seed=6)}) == 3
    batches.begin(0)
    list(batches.remaining(0, 0))  # the order is drawn from another generator
    assert batches.changes.initial_seed() != batches.order.initial_seed()
    assert int(torch.randint(2**40, (), generator=batches.changes)) == drawn(0)
