"""Predicting what people have: any kind of image, one or thousands, with the answers of maskcls-predict."""

import dataclasses
import gc
import io
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from checkpoints import CLASSES, MODEL, SIZE, inference_checkpoint, ready, training_checkpoint
from configuration import config_of
from images import write_image
from scipy.special import softmax

from maskcls.config import as_dictionary
from maskcls.config.types import PrecisionName
from maskcls.data.decode import Box, decode_image, prepare_image
from maskcls.data.detection import Detection
from maskcls.data.faces import Detections, Face
from maskcls.errors import MachineError, UserError
from maskcls.inference import predictor as module
from maskcls.inference.inputs import read_image
from maskcls.inference.predictor import Prediction, Predictor
from maskcls.models.calibration import UNCALIBRATED, Calibration
from maskcls.models.checkpoint import Checkpoint
from maskcls.models.document import MAX_BATCH_SIZE


@dataclass
class RedNetwork:
    """A back end that is not torch's: its first logit is how much redder than blue an image is, from -5 to 5."""

    batches: list[int] = field(default_factory=list)
    device: str = "cpu"
    precision: PrecisionName = "float32"

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Map uint8 [batch, size, size, 3] to float32 [batch, 2]."""
        assert images.dtype == np.uint8
        assert images.shape[1:] == (SIZE, SIZE, 3)
        self.batches.append(len(images))
        means = images.astype(np.float32).mean(axis=(1, 2)) / 255
        return np.stack((5 * (means[:, 0] - means[:, 2]), np.zeros(len(images), np.float32)), axis=1)

    def out_of_memory(self, key: str, size: int) -> MachineError:
        """Say what did not fit."""
        return MachineError(f"{key}={size} does not fit")


def red_predictor(batch_size: int = 4, calibration: Calibration = UNCALIBRATED, **changes: Any) -> Predictor:
    """A predictor whose answers can be worked out by hand."""
    predictor = Predictor(RedNetwork(), MODEL, CLASSES, 0, calibration, SIZE, batch_size)
    return dataclasses.replace(predictor, **changes)


def batches_of(predictor: Predictor) -> list[int]:
    """The sizes of the batches that a predictor of `red_predictor` has computed."""
    assert isinstance(predictor.network, RedNetwork)
    return predictor.network.batches


def redness(prediction: Prediction) -> float:
    """How much redder than blue the image was that a predictor of `red_predictor` predicted, from -1 to 1."""
    p = prediction.probabilities[CLASSES[0]]
    return float(np.log(p / (1 - p)) / 5)


def uniform(red: int, blue: int = 0, height: int = 20, width: int = 30) -> np.ndarray:
    """An image of one colour, RGB uint8 [height, width, 3]."""
    return np.full((height, width, 3), (red, 100, blue), dtype=np.uint8)


def trained(seed: int = 0, **changes: Any) -> Checkpoint:
    """A checkpoint with the whole configuration of a training, which may be changed."""
    data = as_dictionary(config_of("train", "data=synthetic", "data.eval_batch_size=5").data) | changes
    checkpoint = inference_checkpoint(seed, positive_class=CLASSES[0], threshold=0.4)
    return dataclasses.replace(checkpoint, document=dataclasses.replace(checkpoint.document, config={"data": data}))


@pytest.fixture(scope="module")
def network() -> Predictor:
    """A predictor with a network of random weights."""
    return Predictor.of(ready(trained()))


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A file of noise with gradients, of which every part differs."""
    noise = np.random.default_rng(1).integers(0, 100, (47, 61, 3))
    ramp = np.linspace(0, 155, 61)[None, :, None] * (1, 0.5, 0.1)
    write_image(tmp_path / "photo.png", (noise + ramp).astype(np.uint8))
    return tmp_path / "photo.png"


def test_a_predictor_has_what_its_checkpoint_says() -> None:
    predictor = Predictor.of(ready(trained()))
    assert (predictor.classes, predictor.positive, predictor.model) == (CLASSES, 0, MODEL)
    assert (predictor.calibration, predictor.input_size, predictor.batch_size) == (Calibration(1.5, 0.4), SIZE, 5)
    assert predictor.network.device == "cpu"


@pytest.mark.parametrize(("batch_size", "expected"), [(None, 5), (1, 1), (10_000, 10_000)])
def test_the_batch_size_is_the_trainings_or_the_callers(batch_size: int | None, expected: int) -> None:
    assert Predictor.of(ready(trained()), batch_size).batch_size == expected


@pytest.mark.hostile
def test_a_checkpoint_cannot_ask_for_all_files_at_once() -> None:
    assert Predictor.of(ready(trained(eval_batch_size=2**40))).batch_size == MAX_BATCH_SIZE


def test_a_checkpoint_of_another_version_is_refused_unless_the_batch_size_is_given() -> None:
    with pytest.raises(
        UserError,
        match=r"^ckpt=best\.safetensors: the checkpoint was written by another version of maskcls: data\.more is not",
    ):
        Predictor.of(ready(trained(more=1)))
    assert Predictor.of(ready(trained(more=1)), 3).batch_size == 3


def test_probabilities_are_those_of_the_networks_logits(photograph: Path, network: Predictor) -> None:
    batch = prepare_image(decode_image(photograph), SIZE)[None]
    logits = network.network.logits(batch).astype(np.float64)
    assert network.answer([batch]).probabilities == pytest.approx(softmax(logits / 1.5, axis=1))


def test_a_training_predicts_with_its_average() -> None:
    checkpoint = dataclasses.replace(training_checkpoint(), document=training_checkpoint().document)
    predictors = [Predictor.of(ready(one), 4) for one in (checkpoint, checkpoint.for_inference())]
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    assert predictors[0].predict(image) == predictors[1].predict(image)
    assert predictors[0].predict(image) != Predictor.of(ready(trained())).predict(image)


def test_an_image_gets_a_label_and_the_probability_of_each_class() -> None:
    predictor = red_predictor()
    found = predictor.predict(uniform(red=255))
    p = 1 / (1 + np.exp(-5))
    assert isinstance(found, Prediction)
    assert found.label == CLASSES[0]
    assert found.probability == found.probabilities[CLASSES[0]]
    assert found.probabilities == pytest.approx({CLASSES[0]: p, CLASSES[1]: 1 - p})
    assert [type(value) for value in (found.probability, *found.probabilities.values())] == [float] * 3
    assert predictor.predict(uniform(red=0, blue=255)).label == CLASSES[1]


@pytest.mark.parametrize(("threshold", "label"), [(0.5, 0), (0.73, 0), (0.74, 1), (0.99, 1), (0.01, 0)])
def test_the_threshold_decides(threshold: float, label: int) -> None:
    image = uniform(red=51)  # a logit of 1, a probability of 0.731
    found = red_predictor(calibration=Calibration(threshold=threshold)).predict(image)
    assert found.label == CLASSES[label]
    assert found.probability == pytest.approx((1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)))[label])


def test_without_a_positive_class_the_threshold_decides_nothing() -> None:
    predictor = red_predictor(calibration=Calibration(threshold=0.99), positive=None)
    assert predictor.predict(uniform(red=51)).label == CLASSES[0]


def test_the_temperature_divides_the_logits() -> None:
    found = red_predictor(calibration=Calibration(temperature=2.0)).predict(uniform(red=204))
    assert found.probability == pytest.approx(1 / (1 + np.exp(-2)))


def images_of(path: Path) -> dict[str, Any]:
    """One photograph in every form that people have."""
    rgb = decode_image(path)
    chw = torch.from_numpy(rgb).permute(2, 0, 1)
    opacity = np.full((*rgb.shape[:2], 1), 77, dtype=np.uint8)
    return {
        "text": str(path),
        "path": path,
        "numpy": rgb,
        "fortran": np.asfortranarray(rgb),
        "negative strides": rgb[::-1, ::-1][::-1, ::-1],
        "rgba": np.concatenate((rgb, opacity), axis=2),
        "float": (rgb / 255).astype(np.float32),
        "uint16": rgb.astype(np.uint16) * 257,
        "pil": PIL.Image.fromarray(rgb),
        "pil rgba": PIL.Image.fromarray(np.concatenate((rgb, opacity), axis=2)),
        "tensor": chw,
        "float tensor": chw / 255,
        "rgba tensor": torch.cat((chw, torch.from_numpy(opacity).permute(2, 0, 1))),
    }


def test_an_image_gets_the_same_answer_by_every_route(network: Predictor, photograph: Path) -> None:
    # as maskcls-predict answers
    (expected,) = network.answer_images([prepare_image(decode_image(photograph), SIZE)]).probabilities.tolist()
    for kind, image in images_of(photograph).items():
        found = network.predict(image)
        assert list(found.probabilities.values()) == expected, kind
        assert tuple(found.probabilities) == CLASSES


def test_bgr_images_are_turned_round(network: Predictor, photograph: Path) -> None:
    rgb = decode_image(photograph)
    expected = network.predict(rgb)
    chw = torch.from_numpy(rgb).permute(2, 0, 1)
    assert network.predict(rgb[..., ::-1], channels="bgr") == expected
    assert network.predict(chw.flip(0), channels="bgr") == expected
    assert network.predict(photograph, channels="bgr") == expected
    assert network.predict(PIL.Image.fromarray(rgb), channels="bgr") == expected
    assert network.predict([rgb[..., ::-1]], channels="bgr") == [expected]
    assert network.predict(rgb[..., ::-1]) != expected


@pytest.mark.parametrize("channels", ["BGR", "grb", ""])
def test_an_order_of_channels_that_there_is_not_is_refused(channels: Any) -> None:
    with pytest.raises(UserError, match=rf"^channels={channels}: expected rgb or bgr$"):
        red_predictor().predict(uniform(1), channels=channels)


def test_images_of_all_kinds_and_sizes_are_answered_in_their_order(photograph: Path) -> None:
    predictor = red_predictor(batch_size=3)
    write_image(photograph.with_name("blue.png"), uniform(red=0, blue=255))
    images: list[Any] = [
        uniform(red=255, height=5, width=90),
        str(photograph.with_name("blue.png")),
        torch.from_numpy(uniform(red=51)).permute(2, 0, 1),
        PIL.Image.fromarray(uniform(red=102, height=400, width=3)),
        photograph.with_name("blue.png"),
        np.full((7, 7), 0.5),
        uniform(red=0, blue=51) / 255,
    ]
    expected = [1.0, -1.0, 0.2, 0.4, -1.0, 0.0, -0.2]
    assert [redness(answer) for answer in predictor.predict(images)] == pytest.approx(expected, abs=1e-5)
    assert batches_of(predictor) == [3, 3, 1]
    # one at a time, they get the same
    assert [redness(predictor.predict(image)) for image in images] == pytest.approx(expected, abs=1e-5)


REDS = [0, 51, 102, 153, 204, 255]
BATCH = np.stack([uniform(red) for red in REDS])


@pytest.mark.parametrize(
    "images",
    [
        list(BATCH),
        tuple(BATCH),
        BATCH,
        BATCH / 255,
        torch.from_numpy(BATCH).permute(0, 3, 1, 2),
        (image for image in BATCH),
        map(PIL.Image.fromarray, BATCH),
        [PIL.Image.fromarray(image) for image in BATCH],
        dict(enumerate(BATCH)).values(),
        torch.from_numpy(BATCH).permute(0, 3, 1, 2).unbind(),
    ],
    ids=["list", "tuple", "array", "float array", "tensor", "generator", "map", "pil", "values", "unbind"],
)  # fmt: skip
def test_several_images_are_a_list_of_answers(images: Any) -> None:
    predictor = red_predictor()
    found = predictor.predict(images)
    assert isinstance(found, list)
    assert [redness(answer) for answer in found] == pytest.approx([red / 255 for red in REDS], abs=1e-5)
    assert batches_of(predictor) == [4, 2]


@pytest.mark.parametrize("kind", [list, tuple, np.array, iter, lambda names: np.array(names, dtype=object)])
def test_several_paths_are_a_list_of_answers(kind: Callable[[list[str]], Any]) -> None:
    for red in REDS:
        write_image(Path(f"{red}.png"), uniform(red))
    found = red_predictor().predict(kind([f"{red}.png" for red in REDS]))
    assert [redness(answer) for answer in found] == pytest.approx([red / 255 for red in REDS], abs=1e-5)


@pytest.mark.parametrize("one", [[uniform(51)], uniform(51)[None], iter([uniform(51)])])
def test_a_list_of_one_image_is_a_list_of_one_answer(one: Any) -> None:
    found = red_predictor().predict(one)
    assert [redness(answer) for answer in found] == pytest.approx([0.2], abs=1e-5)


@pytest.mark.parametrize("none", [[], (), iter([]), np.zeros((0, 20, 30, 3), np.uint8), torch.zeros(0, 3, 4, 4), set()])
def test_no_images_are_no_answers(none: Any) -> None:
    predictor = red_predictor()
    assert predictor.predict(none) == []
    assert batches_of(predictor) == []


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, "None (NoneType) is not an image: expected a path, a PIL image, an array [height, width, 3], "
               "a tensor [3, height, width], or a list of these"),
        (5, "5 (int) is not an image: "),
        ({"a.png": 1}, "{'a.png': 1} (dict) is not an image: "),
        (b"\x89PNG", r"b'\x89PNG' (bytes) is not an image: "),
        ([1, 2, 3], "1 (int) is not an image: "),
        ([None], "None (NoneType) is not an image: "),
        ([[uniform(1)]], "[array([["),
        (["none.png", "b.png"], "none.png: No such file or directory"),
        (Path("none.png"), "none.png: No such file or directory"),
        ("", ".: not a regular file"),
        (np.zeros((0, 0, 3), np.uint8), "ndarray [0, 0, 3] of uint8 is not an image: "),
        (np.zeros((2, 3, 4, 5, 3), np.uint8), "ndarray [3, 4, 5, 3] of uint8 is not an image: "),
        (torch.zeros(20, 30, 3), "Tensor [20, 30, 3] of torch.float32 is not an image: "),
        (torch.zeros(2, 20, 30, 3), "Tensor [20, 30, 3] of torch.float32 is not an image: "),
        (uniform(1).astype(int), "ndarray [20, 30, 3] of int64: expected uint8, uint16, or floats from 0 to 1"),
        (uniform(1) * 1.0, "ndarray [20, 30, 3] of float64: its values go from 0 to 100; floats must be from 0 to 1"),
        (BATCH * np.nan, "ndarray [20, 30, 3] of float64: its values go from nan to nan; floats must be from 0 to 1"),
    ],
    ids=range(17),
)  # fmt: skip
def test_what_is_no_image_is_refused(images: Any, message: str) -> None:
    predictor = red_predictor()
    with pytest.raises(UserError) as caught:
        predictor.predict(images)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert batches_of(predictor) == []


def test_a_file_among_many_that_cannot_be_read_is_named() -> None:
    for red in REDS:
        write_image(Path(f"{red}.png"), uniform(red))
    Path("153.png").write_text("text")
    with pytest.raises(UserError, match=r"^153\.png: a text file, not an image$"):
        red_predictor(batch_size=2).predict(sorted(Path().glob("*.png")))


class Living:
    """Counts the arrays that exist at a time."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def count(self, image: np.ndarray) -> np.ndarray:
        """Count an array until it is gone."""
        self.now += 1
        self.most = max(self.most, self.now)
        weakref.finalize(image, self._forget)
        return image

    def _forget(self) -> None:
        self.now -= 1


def test_thousands_of_images_need_the_memory_of_a_few() -> None:
    predictor, living = red_predictor(batch_size=8), Living()
    ahead = []

    def generate() -> Iterator[np.ndarray]:
        for number in range(2000):
            ahead.append(number + 1 - sum(batches_of(predictor)))
            yield living.count(uniform(number % 256, height=50, width=50))

    found = predictor.predict(generate())
    assert [redness(answer) for answer in found] == pytest.approx([n % 256 / 255 for n in range(2000)], abs=1e-5)
    assert batches_of(predictor) == [8] * 250
    assert max(ahead) == 8  # no more are drawn than the next batch takes
    assert living.most <= 3


def test_thousands_of_files_need_the_memory_of_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    living, threads = Living(), 3
    monkeypatch.setattr(module, "usable_cores", lambda: threads)
    monkeypatch.setattr(module, "read_image", lambda image, channels: living.count(read_image(image, channels).copy()))
    write_image(Path("a.png"), uniform(51, height=300, width=300))
    assert len(red_predictor(batch_size=100).predict(["a.png"] * 1000)) == 1000
    assert living.most <= 2 * threads
    gc.collect()
    assert living.now == 0


def test_files_are_read_in_parallel_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3, timeout=30)
    monkeypatch.setattr(module, "usable_cores", lambda: 3)

    def read(image: str, _: str) -> np.ndarray:
        together.wait()
        return uniform(int(image))

    monkeypatch.setattr(module, "read_image", read)
    found = red_predictor(batch_size=6).predict(list(map(str, REDS)))
    assert [redness(answer) for answer in found] == pytest.approx([red / 255 for red in REDS], abs=1e-5)


def test_an_image_may_occur_again_and_again(photograph: Path, network: Predictor) -> None:
    expected = network.predict(photograph)
    with PIL.Image.open(photograph) as image:  # PIL reads the file at first use
        for found in network.predict([image] * 4):
            assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-6)


def test_a_generator_may_reuse_its_array() -> None:
    def frames() -> Iterator[np.ndarray]:
        frame = uniform(0)
        for red in REDS:
            frame[..., 0] = red
            yield frame

    found = red_predictor(batch_size=6).predict(frames())
    assert [redness(answer) for answer in found] == pytest.approx([red / 255 for red in REDS], abs=1e-5)


def test_an_error_of_a_generator_passes() -> None:
    def broken() -> Iterator[np.ndarray]:
        yield uniform(1)
        raise ConnectionError("the camera is gone")

    with pytest.raises(ConnectionError, match="the camera is gone"):
        red_predictor().predict(broken())


def test_a_batch_that_does_not_fit_is_explained() -> None:
    class Full(RedNetwork):
        def logits(self, images: np.ndarray) -> np.ndarray:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(MachineError, match=r"^batch_size=64 does not fit$"):
        red_predictor(batch_size=64, network=Full()).predict(BATCH)


def test_an_answer_to_prepared_batches_is_that_of_all_of_them(network: Predictor) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)
    found = network.answer(iter((images[:3], images[3:6], images[6:])))
    assert found.probabilities.shape == (7, 2)
    assert found.predicted.tolist() == [0 if p >= 0.4 else 1 for p in found.probabilities[:, 0]]
    np.testing.assert_allclose(found.probabilities, network.answer([images]).probabilities, atol=1e-6)


def test_images_are_resized_to_the_networks_size(network: Predictor, photograph: Path) -> None:
    whole, small = decode_image(photograph), prepare_image(decode_image(photograph), SIZE)
    found = network.answer_images([whole, small]).probabilities
    np.testing.assert_allclose(found[0], found[1], atol=1e-7)
    assert network.answer_images([small[::-1].copy()]).probabilities[0] != pytest.approx(found[0], abs=1e-7)


def test_a_predictor_is_shown_in_a_line(network: Predictor) -> None:
    assert repr(network) == f"Predictor(mycnn, classes={list(CLASSES)}, input_size={SIZE}, device='cpu')"


def test_a_file_object_is_refused_with_what_reads_it() -> None:
    with pytest.raises(UserError, match=r"is a file object: give PIL\.Image\.open\(it\), or its path"):
        red_predictor().predict(io.BytesIO(b"x"))  # type: ignore[arg-type]


class Halves:
    """Finds a face in each half of an image; the right one has the higher score."""

    always_crop = False

    def detect_all(self, image: np.ndarray, *, min_size: int) -> Detections:
        half, height = image.shape[1] // 2, image.shape[0]
        points = np.zeros((5, 2))
        faces = [Detection(half, 0, half, height, points, 0.9), Detection(0, 0, half, height, points, 0.8)]
        return Detections([face for face in faces if face.size >= min_size], 0)

    def crop_of(self, found: Detection, *, width: int, height: int) -> Face:
        return Face("found", Box(int(found.left), int(found.top), int(found.width)))


def test_every_face_is_predicted_from_left_to_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_finder", lambda detector: Halves())
    predictor = red_predictor(batch_size=1)
    image = np.hstack([uniform(255, 0, 30, 30), uniform(0, 255, 30, 30)])
    left, right = predictor.faces(image)
    assert (left.label, right.label) == (CLASSES[0], CLASSES[1])
    assert (left.box, left.score) == ((0, 0, 30, 30), 0.8)
    assert right.box == (30, 0, 30, 30)
    assert left.probability == predictor.predict(image[:, :30]).probability
    assert batches_of(predictor)[:2] == [1, 1]
    assert [face.label for face in predictor.faces(image, channels="bgr")] == [CLASSES[1], CLASSES[0]]
    assert predictor.faces(image, min_size=31) == []


def test_a_detector_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^detector=.*yunet\.onnx: no such file"):
        red_predictor().faces(uniform(0), detector=tmp_path / "yunet.onnx")
