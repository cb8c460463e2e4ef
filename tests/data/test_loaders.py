import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from images import noisy_image, write_image
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from maskcls.data.image_files import ImageFiles
from maskcls.data.loaders import AHEAD, LabelledImages, Loader, Sampling
from maskcls.data.streaming import StreamedImages
from maskcls.errors import UserError

COUNT = 23
CPU = torch.device("cpu")
resident = pytest.mark.parametrize("resident", [False, True])


@pytest.fixture
def split(tmp_path: Path) -> LabelledImages:
    """Images of noise; pixel (0, 0) of image i has i in red and 2 i in green, and its label is i % 3."""
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 5, 6, 3), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(COUNT)
    images[:, 0, 0, 1] = 2 * np.arange(COUNT)
    np.save(tmp_path / "images.npy", images)
    return LabelledImages(np.load(tmp_path / "images.npy", mmap_mode="r"), [i % 3 for i in range(COUNT)])


def shuffled(split: LabelledImages, seed: int = 0, *, resident: bool = False) -> Loader:
    return Loader(split, 4, CPU, shuffle=torch.Generator().manual_seed(seed), resident=resident)


def in_order(split: LabelledImages, *, resident: bool = False) -> Loader:
    return Loader(split, 4, CPU, resident=resident)


def order(loader: Loader) -> list[int]:
    return [number for images, _ in loader for number in images[:, 0, 0, 0].tolist()]


def gathering() -> list[str]:
    """Return the names of the threads that are gathering batches."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("loader")]


@resident
def test_every_image_comes_once_an_epoch(split: LabelledImages, *, resident: bool) -> None:
    loader = shuffled(split, resident=resident)
    for _ in range(2):
        assert sorted(order(loader)) == list(range(COUNT))


def test_epochs_differ_in_order(split: LabelledImages) -> None:
    loader = shuffled(split)
    first = order(loader)
    assert first != list(range(COUNT))
    assert order(loader) != first


def test_order_is_a_function_of_the_generators_seed(split: LabelledImages) -> None:
    one, same, other = shuffled(split, 1), shuffled(split, 1), shuffled(split, 2)
    for _ in range(2):
        first = order(one)
        assert order(same) == first
        assert order(other) != first


@resident
def test_order_is_that_of_torchs_own_loader(split: LabelledImages, *, resident: bool) -> None:
    generator = torch.Generator()
    numbers = TensorDataset(torch.arange(COUNT))
    torchs = DataLoader(numbers, batch_size=4, sampler=RandomSampler(numbers, generator=generator))
    own_generator = torch.Generator()
    ours = Loader(split, 4, CPU, shuffle=own_generator, resident=resident)
    for seed in (3, 4):
        generator.manual_seed(seed)
        own_generator.manual_seed(seed)
        assert order(ours) == [number for (batch,) in torchs for number in batch.tolist()]


def test_order_continues_from_the_generators_state(split: LabelledImages) -> None:
    generator = torch.Generator().manual_seed(0)
    loader = Loader(split, 4, CPU, shuffle=generator)
    order(loader)
    state = generator.get_state()
    second = order(loader)
    resumed = torch.Generator()
    resumed.set_state(state)
    assert order(Loader(split, 4, CPU, shuffle=resumed)) == second


@resident
def test_evaluation_keeps_the_order(split: LabelledImages, *, resident: bool) -> None:
    loader = in_order(split, resident=resident)
    for _ in range(2):
        assert order(loader) == list(range(COUNT))


@resident
def test_last_batch_is_smaller(split: LabelledImages, *, resident: bool) -> None:
    for loader in (shuffled(split, resident=resident), in_order(split, resident=resident)):
        assert [len(labels) for _, labels in loader] == [4, 4, 4, 4, 4, 3]
        assert len(loader) == 6


@pytest.mark.parametrize(("batch_size", "sizes"), [(100, [COUNT]), (COUNT, [COUNT]), (COUNT - 1, [COUNT - 1, 1])])
def test_batches_about_as_large_as_the_data_set(split: LabelledImages, batch_size: int, sizes: list[int]) -> None:
    loader = Loader(split, batch_size, CPU)
    assert [len(labels) for _, labels in loader] == sizes
    assert len(loader) == len(sizes)


@resident
def test_images_and_labels_stay_together(split: LabelledImages, *, resident: bool) -> None:
    seen = 0
    for images, labels in shuffled(split, resident=resident):
        numbers = images[:, 0, 0, 0]
        assert images.dtype == torch.uint8
        assert labels.dtype == torch.int64
        torch.testing.assert_close(labels, numbers.long() % 3)
        np.testing.assert_array_equal(images.permute(0, 2, 3, 1).numpy(), split.images[numbers.numpy()])
        seen += len(labels)
    assert seen == COUNT


@resident
def test_batches_are_channels_last_bytes(split: LabelledImages, *, resident: bool) -> None:
    seen = 0
    for images, labels in in_order(split, resident=resident):
        assert images.shape == (len(labels), 3, 5, 6)
        assert images.dtype == torch.uint8
        assert images.is_contiguous(memory_format=torch.channels_last)
        expected = split.images[seen : seen + len(labels)].transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(images.numpy(), expected)
        assert labels.tolist() == [i % 3 for i in range(seen, seen + len(labels))]
        seen += len(labels)
    assert seen == COUNT


@resident
def test_what_is_done_to_a_batch_does_not_change_the_next_epoch(split: LabelledImages, *, resident: bool) -> None:
    before = np.array(split.images)
    loader = in_order(split, resident=resident)
    for images, labels in loader:
        images.zero_()
        labels.zero_()
    np.testing.assert_array_equal(split.images, before)
    again = torch.cat([images for images, _ in loader]).permute(0, 2, 3, 1)
    np.testing.assert_array_equal(again.numpy(), before)
    assert torch.cat([labels for _, labels in loader]).tolist() == split.labels


@pytest.mark.parametrize("count", [255, 256, 257, 600])
def test_resident_images_are_all_copied(count: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, 2, 3, 3), dtype=np.uint8)
    loader = Loader(LabelledImages(images, [0] * count), count, CPU, resident=True)
    ((copied, _),) = loader
    np.testing.assert_array_equal(copied.permute(0, 2, 3, 1).numpy(), images)


def test_resident_images_are_read_once(split: LabelledImages) -> None:
    images = np.array(split.images)
    loader = Loader(LabelledImages(images, split.labels), 4, CPU, resident=True)
    images[:] = 255
    assert order(loader) == list(range(COUNT))


@resident
def test_global_random_numbers_are_left_alone(split: LabelledImages, *, resident: bool) -> None:
    before = torch.get_rng_state()
    order(shuffled(split, resident=resident))
    order(in_order(split, resident=resident))
    assert torch.equal(torch.get_rng_state(), before)


class Recorded:
    """Is indexed like an array, and keeps the positions that were asked for."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images
        self.reads: list[list[int]] = []
        self.read = threading.Condition()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        with self.read:
            self.reads.append(positions.tolist())
            self.read.notify()
        return self.images[positions]

    def wait_for(self, count: int) -> None:
        with self.read:
            assert self.read.wait_for(lambda: len(self.reads) >= count, timeout=60)


@pytest.fixture
def recorded(split: LabelledImages) -> Recorded:
    return Recorded(np.array(split.images))


def test_batches_are_gathered_ahead_but_not_all_of_them(split: LabelledImages, recorded: Recorded) -> None:
    batches = iter(in_order(LabelledImages(cast(StreamedImages, recorded), split.labels)))
    assert recorded.reads == []  # nothing is read before the first batch is asked for
    next(batches)
    recorded.wait_for(1 + AHEAD)
    batches.close()
    assert recorded.reads == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_batch_is_read_from_one_thread_beside_the_main_one(split: LabelledImages, recorded: Recorded) -> None:
    names = []
    read = recorded.images

    class Images(Recorded):
        def __getitem__(self, positions: np.ndarray) -> np.ndarray:
            names.append(threading.current_thread().name)
            return read[positions]

    images = cast(StreamedImages, Images(read))
    assert order(in_order(LabelledImages(images, split.labels))) == list(range(COUNT))
    assert names == ["loader_0"] * 6


def test_no_thread_is_left_after_an_epoch(split: LabelledImages) -> None:
    order(in_order(split))
    assert gathering() == []


def test_no_thread_is_left_after_an_epoch_that_ends_early(split: LabelledImages) -> None:
    batches = iter(in_order(split))
    next(batches)
    assert gathering() == ["loader_0"]
    batches.close()
    assert gathering() == []


def test_the_epoch_after_one_that_ended_early_is_whole(split: LabelledImages) -> None:
    loader = in_order(split)
    for _ in loader:
        break
    assert order(loader) == list(range(COUNT))


def test_two_iterations_at_once_do_not_disturb_each_other(split: LabelledImages) -> None:
    loader = in_order(split)
    for (images, labels), (other_images, other_labels) in zip(loader, loader, strict=True):
        assert torch.equal(images, other_images)
        assert torch.equal(labels, other_labels)


@pytest.fixture
def streamed(tmp_path: Path) -> Iterator[LabelledImages]:
    rng = np.random.default_rng(0)
    paths = [f"{number}.png" for number in range(10)]
    for number, path in enumerate(paths):
        write_image(tmp_path / "set" / path, noisy_image(rng, masked=number % 2 == 0, height=20 + number, width=30))
    images = StreamedImages(ImageFiles(tmp_path / "set", paths, 16), threads=2)
    yield LabelledImages(images, [number % 2 for number in range(10)])
    images.pool.shutdown()


@resident
def test_streamed_images_give_the_batches_of_an_array(streamed: LabelledImages, *, resident: bool) -> None:
    array = LabelledImages(streamed.images[:], streamed.labels)
    for (images, labels), (expected_images, expected_labels) in zip(
        shuffled(streamed, resident=resident), shuffled(array), strict=True
    ):
        assert torch.equal(images, expected_images)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(labels, expected_labels)


def test_an_image_that_cannot_be_read_ends_the_epoch_with_its_name(streamed: LabelledImages, tmp_path: Path) -> None:
    (tmp_path / "set" / "5.png").write_bytes(b"")
    batches = iter(in_order(streamed))
    assert next(batches)[1].tolist() == [0, 1, 0, 1]
    with pytest.raises(UserError, match=f"repair or remove it: {tmp_path}/set/5.png: the file is empty$"):
        next(batches)
    assert gathering() == []


@pytest.mark.gpu
@resident
def test_batches_are_moved_to_the_gpu(split: LabelledImages, *, resident: bool) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on_cpu, on_gpu = (
        Loader(split, 4, torch.device(name), shuffle=torch.Generator().manual_seed(0), resident=resident)
        for name in ("cpu", "cuda")
    )
    for _ in range(2):
        for (expected_images, expected_labels), (images, labels) in zip(on_cpu, on_gpu, strict=True):
            assert images.is_cuda
            assert labels.is_cuda
            assert images.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(images.cpu(), expected_images)
            assert torch.equal(labels.cpu(), expected_labels)


@resident
def test_weighted_draws_follow_their_weights(split: LabelledImages, *, resident: bool) -> None:
    weights = [0.0] * COUNT
    weights[4], weights[9] = 3.0, 1.0
    shuffle = torch.Generator().manual_seed(0)
    loader = Loader(split, 4, CPU, shuffle=shuffle, resident=resident, sampling=Sampling(weights, COUNT))
    drawn = [number for _ in range(40) for number in order(loader)]
    assert len(drawn) == 40 * COUNT
    assert set(drawn) == {4, 9}
    assert drawn.count(4) / len(drawn) == pytest.approx(0.75, abs=0.05)


def test_weighted_draws_are_a_function_of_the_seed(split: LabelledImages) -> None:
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 0, 1)]
    orders = [
        order(Loader(split, 4, CPU, shuffle=each, sampling=Sampling([1.0] * COUNT, COUNT))) for each in generators
    ]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("draws", [5, 9, 30])
def test_an_epoch_may_have_any_number_of_draws(split: LabelledImages, draws: int) -> None:
    sampling = Sampling([1.0] * COUNT, draws)
    loader = Loader(split, 4, CPU, shuffle=torch.Generator().manual_seed(0), sampling=sampling)
    sizes = [len(labels) for _, labels in loader]
    assert (sum(sizes), len(sizes)) == (draws, len(loader))
    assert loader.images_per_epoch == draws


def test_an_epoch_can_start_at_any_batch() -> None:
    split = LabelledImages(np.arange(10 * 3, dtype=np.uint8).reshape(10, 1, 1, 3), [0] * 10)

    def first_values(start: int) -> list[list[int]]:
        loader = Loader(split, 4, CPU, shuffle=torch.Generator().manual_seed(3))
        return [images[:, 0, 0, 0].tolist() for images, _ in loader.batches(start)]

    whole = first_values(0)
    assert [len(batch) for batch in whole] == [4, 4, 2]
    assert [first_values(start) for start in (1, 2, 3)] == [whole[1:], whole[2:], []]
