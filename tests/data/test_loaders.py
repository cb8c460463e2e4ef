from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from maskcls.data.loaders import (
    Batch,
    CachedImages,
    DeviceLoader,
    Normalize,
    evaluation_loader,
    training_loader,
)
from maskcls.data.statistics import IMAGENET, STUDY, Normalization

COUNT = 23


@pytest.fixture
def dataset(tmp_path: Path) -> CachedImages:
    """Image i has noise, but pixel (0, 0) is i in red and 2 i in green; its label is i % 3."""
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 5, 6, 3), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(COUNT)
    images[:, 0, 0, 1] = 2 * np.arange(COUNT)
    np.save(tmp_path / "images.npy", images)
    return CachedImages(np.load(tmp_path / "images.npy", mmap_mode="r"), [i % 3 for i in range(COUNT)])


def shuffled(dataset: CachedImages, seed: int = 0, workers: int = 0) -> DataLoader[Batch]:
    return training_loader(dataset, 4, torch.Generator().manual_seed(seed), workers)


def order(loader: DataLoader[Batch]) -> list[int]:
    return [number for images, _ in loader for number in images[:, 0, 0, 0].tolist()]


def test_every_image_comes_once_an_epoch(dataset: CachedImages) -> None:
    loader = shuffled(dataset)
    for _ in range(2):
        assert sorted(order(loader)) == list(range(COUNT))


def test_epochs_differ_in_order(dataset: CachedImages) -> None:
    loader = shuffled(dataset)
    first = order(loader)
    assert first != list(range(COUNT))
    assert order(loader) != first


def test_order_is_a_function_of_the_generators_seed(dataset: CachedImages) -> None:
    one, same, other = shuffled(dataset, 1), shuffled(dataset, 1), shuffled(dataset, 2)
    for _ in range(2):
        first = order(one)
        assert order(same) == first
        assert order(other) != first


def test_order_continues_from_the_generators_state(dataset: CachedImages) -> None:
    generator = torch.Generator().manual_seed(0)
    loader = training_loader(dataset, 4, generator, 0)
    order(loader)
    state = generator.get_state()
    second = order(loader)
    resumed = torch.Generator()
    resumed.set_state(state)
    assert order(training_loader(dataset, 4, resumed, 0)) == second


def test_evaluation_keeps_the_order(dataset: CachedImages) -> None:
    loader = evaluation_loader(dataset, 4, 0)
    for _ in range(2):
        assert order(loader) == list(range(COUNT))


def test_last_batch_is_smaller(dataset: CachedImages) -> None:
    for loader in (shuffled(dataset), evaluation_loader(dataset, 4, 0)):
        assert [len(labels) for _, labels in loader] == [4, 4, 4, 4, 4, 3]
        assert len(loader) == 6


def test_batch_larger_than_the_data_set(dataset: CachedImages) -> None:
    assert [len(labels) for _, labels in evaluation_loader(dataset, 100, 0)] == [COUNT]


def test_images_and_labels_stay_together(dataset: CachedImages) -> None:
    for images, labels in shuffled(dataset):
        numbers = images[:, 0, 0, 0]
        assert images.dtype == torch.uint8
        assert labels.dtype == torch.int64
        torch.testing.assert_close(labels, numbers.long() % 3)
        np.testing.assert_array_equal(images.numpy(), dataset.images[numbers.numpy()])


def test_batches_do_not_share_memory_with_the_cache(dataset: CachedImages) -> None:
    before = np.array(dataset.images)
    for images, _ in evaluation_loader(dataset, 4, 0):
        images.zero_()
    np.testing.assert_array_equal(dataset.images, before)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_workers_make_no_difference(dataset: CachedImages) -> None:
    alone, with_workers = shuffled(dataset), shuffled(dataset, workers=2)
    for _ in range(2):
        for (images, labels), (other_images, other_labels) in zip(alone, with_workers, strict=True):
            assert torch.equal(images, other_images)
            assert torch.equal(labels, other_labels)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_global_random_numbers_are_left_alone(dataset: CachedImages, workers: int) -> None:
    before = torch.get_rng_state()
    order(shuffled(dataset, workers=workers))
    order(evaluation_loader(dataset, 4, workers))
    assert torch.equal(torch.get_rng_state(), before)


def test_device_loader_yields_channels_last_bytes(dataset: CachedImages) -> None:
    batches = DeviceLoader(evaluation_loader(dataset, 4, 0), torch.device("cpu"))
    assert len(batches) == 6
    seen = 0
    for images, labels in batches:
        assert images.shape == (len(labels), 3, 5, 6)
        assert images.dtype == torch.uint8
        assert images.is_contiguous(memory_format=torch.channels_last)
        expected = dataset.images[seen : seen + len(labels)].transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(images.numpy(), expected)
        assert labels.tolist() == [i % 3 for i in range(seen, seen + len(labels))]
        seen += len(labels)
    assert seen == COUNT


@pytest.mark.gpu
def test_device_loader_moves_batches_to_the_gpu(dataset: CachedImages) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on_cpu, on_gpu = (DeviceLoader(evaluation_loader(dataset, 4, 0), torch.device(name)) for name in ("cpu", "cuda"))
    for (expected_images, expected_labels), (images, labels) in zip(on_cpu, on_gpu, strict=True):
        assert images.is_cuda
        assert labels.is_cuda
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(images.cpu(), expected_images)
        assert torch.equal(labels.cpu(), expected_labels)


@pytest.mark.parametrize("normalization", [STUDY, IMAGENET])
@pytest.mark.parametrize("floating", [False, True])
def test_normalize(normalization: Normalization, floating: bool) -> None:
    values = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    expected = ((values / 255 - normalization.mean) / normalization.std).transpose(0, 3, 1, 2)
    images = torch.from_numpy(values).permute(0, 3, 1, 2)
    normalized = Normalize(normalization)(images.float() / 255 if floating else images)
    assert normalized.dtype == torch.float32
    np.testing.assert_allclose(normalized.numpy(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalize_keeps_the_memory_format(memory_format: torch.memory_format, dtype: torch.dtype) -> None:
    images = torch.zeros((4, 3, 5, 6), dtype=dtype).contiguous(memory_format=memory_format)
    assert Normalize(STUDY)(images).is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalize_leaves_its_input_as_it_is(dtype: torch.dtype) -> None:
    images = torch.ones((1, 3, 2, 2), dtype=dtype)
    Normalize(STUDY)(images)
    assert (images == 1).all()
