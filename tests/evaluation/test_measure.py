"""A predictor on the files of a split: the answers of all images, in the order of the files."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from checkpoints import CLASSES, SIZE, inference_checkpoint, ready
from images import write_image

from maskcls.data.decode import prepare_image
from maskcls.data.image_files import ImageFiles
from maskcls.data.index import Split
from maskcls.data.streaming import StreamedImages
from maskcls.errors import MachineError, UserError
from maskcls.evaluation.measure import predict_split
from maskcls.inference.predictor import Predictor
from maskcls.models.torch_network import TorchNetwork

COUNT = 11
FILES = Split(tuple(f"{number:02}.png" for number in range(COUNT)), tuple(number % 2 for number in range(COUNT)))
FACTS = {"side": np.arange(COUNT)}


@pytest.fixture
def predictor() -> Predictor:
    """A network of random weights that computes on four images at a time."""
    return Predictor.of(ready(inference_checkpoint(positive_class=CLASSES[0], threshold=0.45)), batch_size=4)


def pixels() -> np.ndarray:
    """Images of noise, each brighter than the one before: uint8 [images, 16, 16, 3]."""
    noise = np.random.default_rng(0).integers(0, 100, (COUNT, SIZE, SIZE, 3))
    return (noise + 14 * np.arange(COUNT)[:, None, None, None]).astype(np.uint8)


def test_every_file_gets_its_answer(predictor: Predictor) -> None:
    found = predict_split(predictor, FILES, pixels(), FACTS)
    assert (found.paths, found.classes, found.facts) == (FILES.paths, CLASSES, FACTS)
    assert found.labels.tolist() == list(FILES.labels)
    for number, image in enumerate(pixels()):
        alone = predictor.answer_images([image])
        assert found.probabilities[number] == pytest.approx(alone.probabilities[0], abs=1e-6)
        assert found.predicted[number] == alone.predicted[0]
        assert found.losses[number] == pytest.approx(-alone.log_probabilities[0, FILES.labels[number]], abs=1e-6)
    assert len(np.unique(found.probabilities[:, 0])) == COUNT


@pytest.mark.parametrize(
    ("batch_size", "batches"), [(1, [1] * COUNT), (4, [4, 4, 3]), (COUNT, [COUNT]), (100, [COUNT])]
)
def test_the_batch_size_changes_no_answer(
    batch_size: int, batches: list[int], predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = predictor.answer_images(list(pixels()))
    computed = []
    real = TorchNetwork.logits

    def logits(self: TorchNetwork, images: np.ndarray) -> np.ndarray:
        computed.append(len(images))
        return real(self, images)

    monkeypatch.setattr(TorchNetwork, "logits", logits)
    found = predict_split(dataclasses.replace(predictor, batch_size=batch_size), FILES, pixels(), {})
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-6)
    assert computed == batches


def test_streamed_images_give_the_answers_of_cached_ones(predictor: Predictor, tmp_path: Path) -> None:
    for path, image in zip(FILES.paths, pixels(), strict=True):
        write_image(tmp_path / path, image)
    streamed = StreamedImages(ImageFiles(tmp_path, FILES.paths, SIZE), threads=2)
    cached = np.stack([prepare_image(image, SIZE) for image in pixels()])
    results = [predict_split(predictor, FILES, images, FACTS) for images in (streamed, cached)]
    assert np.array_equal(results[0].probabilities, results[1].probabilities)


def test_memory_that_runs_out_is_explained(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> np.ndarray:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(TorchNetwork, "logits", fail)
    predictor = dataclasses.replace(predictor, batch_size_key="data.eval_batch_size")
    with pytest.raises(MachineError, match=r"^out of memory at data\.eval_batch_size=4: it takes some .* should fit$"):
        predict_split(predictor, FILES, pixels(), FACTS)


def test_a_file_that_has_gone_is_an_error(predictor: Predictor, tmp_path: Path) -> None:
    images = StreamedImages(ImageFiles(tmp_path, FILES.paths, SIZE), threads=2)
    with pytest.raises(UserError, match=r"an image file cannot be read, repair or remove it: .*\.png: No such file"):
        predict_split(predictor, FILES, images, FACTS)
