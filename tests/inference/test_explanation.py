"""Heat maps: that they lie on what decides, that all networks give one, and that the predictor stays as it is."""

import copy
import dataclasses
import sys
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from checkpoints import CLASSES, MODEL, inference_checkpoint
from configuration import config_of
from torch import nn

from maskcls.config.types import PrecisionName
from maskcls.data.statistics import Normalization
from maskcls.errors import MachineError, UserError
from maskcls.inference.explanation import STRONGEST, Explainer, last_feature_map, overlay
from maskcls.inference.predictor import Predictor
from maskcls.models.architecture import build_model, build_on_meta
from maskcls.models.calibration import UNCALIBRATED
from maskcls.models.network import Network
from maskcls.models.normalize import Normalize
from maskcls.models.precision import Precision
from maskcls.models.torch_network import Forward, TorchNetwork

pytest.importorskip("captum")

SIZE, SQUARE = 32, 10
RED, BLUE = (220, 40, 40), (40, 40, 220)


def predictor_of(model: nn.Module, size: int = SIZE, precision: PrecisionName = "float32", batch: int = 8) -> Predictor:
    """A predictor that runs any network on the CPU."""
    forward = Forward(model.eval(), Normalize(Normalization((0.5,) * 3, (0.25,) * 3)), Precision(precision, "cpu"))
    network = TorchNetwork(forward, torch.device("cpu"), inference_checkpoint().document, free=1e9)
    return Predictor(network, MODEL, CLASSES, None, UNCALIBRATED, size, batch)


def model_of(predictor: Predictor) -> nn.Module:
    assert isinstance(predictor.network, TorchNetwork)
    return predictor.network.forward.model


def pictures(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray, list[tuple[slice, slice]]]:
    """Noise with a red or a blue square at a random place; which of them it is, 0 or 1; and the places."""
    rng = np.random.default_rng(seed)
    images = list(rng.integers(60, 180, (count, SIZE, SIZE, 3), dtype=np.uint8))
    labels = rng.integers(0, 2, count)
    places = [(slice(y, y + SQUARE), slice(x, x + SQUARE)) for y, x in rng.integers(0, SIZE - SQUARE, (count, 2))]
    for image, label, place in zip(images, labels, places, strict=True):
        image[place] = (RED, BLUE)[label]
    return images, labels, places


@pytest.fixture(scope="module")
def tiny() -> Predictor:
    """A tiny network that has learned to tell red squares from blue ones."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    more = (nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(inplace=True))
    model = nn.Sequential(nn.Sequential(*layers, *more), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2))
    predictor = predictor_of(model)
    assert isinstance(predictor.network, TorchNetwork)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(60):
        images, labels, _ = pictures(32, seed=step)
        inputs = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        loss = nn.functional.cross_entropy(predictor.network.forward(inputs), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
    return predictor


def mass(heatmap: np.ndarray, place: tuple[slice, slice]) -> float:
    """The share of a map that lies on a place."""
    return float(heatmap[place].sum() / heatmap.sum())


def test_a_map_lies_on_what_decides(tiny: Predictor) -> None:
    images, labels, places = pictures(24, seed=1000)
    assert tiny.answer_images(images).predicted.tolist() == labels.tolist()
    maps = Explainer(tiny).heatmaps(images)
    assert maps.shape == (24, SIZE, SIZE)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    np.testing.assert_allclose(maps.max((1, 2)), 1)
    on_square = [mass(heatmap, place) for heatmap, place in zip(maps, places, strict=True)]
    assert min(on_square) > 0.3  # the square is a tenth of the image
    assert all(heatmap[place].max() == heatmap.max() for heatmap, place in zip(maps, places, strict=True))


def test_a_map_explains_the_class_that_is_asked_for(tiny: Predictor) -> None:
    images, labels, places = pictures(12, seed=1001)
    explainer = Explainer(tiny)
    answered = explainer.heatmaps(images)
    np.testing.assert_array_equal(explainer.heatmaps(images, labels.tolist()), answered)
    other = explainer.heatmaps(images, (1 - labels).tolist())
    assert all(heatmap[place].mean() < 0.5 for heatmap, place in zip(other, places, strict=True))


def test_a_map_does_not_depend_on_the_batch(tiny: Predictor) -> None:
    images, _, _ = pictures(7, seed=1002)
    images[3] = np.ascontiguousarray(images[3].repeat(2, axis=0))  # any size
    alone = [Explainer(tiny).heatmaps([image])[0] for image in images]
    few = Explainer(dataclasses.replace(tiny, batch_size=3)).heatmaps(images)
    np.testing.assert_allclose(few, alone, atol=1e-4)
    assert Explainer(tiny).heatmaps([]).shape == (0, SIZE, SIZE)


def test_the_predictor_stays_as_it_is(tiny: Predictor) -> None:
    images, _, _ = pictures(4, seed=1003)
    model = model_of(tiny)
    before, expected = copy.deepcopy(model.state_dict()), tiny.answer_images(images).probabilities
    explainer = Explainer(tiny)
    explainer.heatmaps(images)
    np.testing.assert_array_equal(tiny.answer_images(images).probabilities, expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(one.grad is None and one.requires_grad for one in model.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks or part._backward_hooks for part in model.modules())
    assert [part.inplace for part in model.modules() if isinstance(part, nn.ReLU)] == [True, True]
    frozen = list(explainer._cam.forward_func.model.parameters())
    shared = [one.data_ptr() for one in model.parameters()]
    assert [one.data_ptr() for one in frozen] == shared
    assert not any(part._forward_hooks for part in explainer._cam.forward_func.model.modules())


def test_other_number_formats_give_nearly_the_same_map(tiny: Predictor) -> None:
    images, labels, _ = pictures(6, seed=1004)
    exact = Explainer(tiny).heatmaps(images, labels.tolist())
    rough = Explainer(predictor_of(model_of(tiny), precision="bfloat16")).heatmaps(images, labels.tolist())
    assert np.abs(rough - exact).max() < 0.1
    assert not np.array_equal(rough, exact)


def test_a_map_is_zero_where_nothing_speaks_for_the_class() -> None:
    last = nn.Linear(4, 2)
    nn.init.zeros_(last.weight)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)
    images, labels, _ = pictures(2, seed=0)
    assert not Explainer(predictor_of(model)).heatmaps(images, labels.tolist()).any()


@pytest.mark.parametrize(
    ("overrides", "size", "part", "places"),
    [
        (["model=resnet18"], 224, "layer4", (7, 7)),
        (["model=vgg16"], 224, "features", (7, 7)),
        (["model=vgg16", "model.batch_norm=true"], 224, "features", (7, 7)),
        (["model=mycnn"], 32, "features", (4, 4)),
        (["model=mobilenet_v3_small"], 224, "features", (7, 7)),
        (["model=efficientnet_b0"], 224, "features", (7, 7)),
        (["model=resnet18"], 32, "layer3", (2, 2)),
        (["model=vgg16"], 32, "features.28", (2, 2)),
    ],
)
def test_the_last_map_is_found_in_every_network(
    overrides: Sequence[str], size: int, part: str, places: tuple[int, int]
) -> None:
    model = build_on_meta(config_of("train", *overrides, "data=synthetic").model, 2, size).eval()
    inputs = torch.zeros(1, 3, size, size, device="meta")
    found = last_feature_map(model, inputs)
    assert [name for name, module in model.named_modules() if module is found] == [part]
    shapes: list[torch.Size] = []
    found.register_forward_hook(lambda _module, _inputs, output: shapes.append(output.shape[2:]))
    model(inputs)
    assert shapes == [torch.Size(places)]


@pytest.mark.parametrize("name", ["resnet18", "mycnn", "mobilenet_v3_small", "efficientnet_b0"])
def test_every_network_gives_maps(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(config_of("train", f"model={name}", "data=synthetic").model, 2, 64, pretrained=False)
    maps = Explainer(predictor_of(model, 64)).heatmaps(pictures(2, seed=0)[0], [0, 1])
    assert maps.shape == (2, 64, 64)
    assert np.isfinite(maps).all()
    assert maps.max() == pytest.approx(1)
    assert maps.std() > 0.05


def test_an_in_place_layer_after_the_map_does_no_harm() -> None:
    model = build_model(config_of("train", "model=mycnn", "data=synthetic").model, 2, 8, pretrained=False)
    assert isinstance(last_feature_map(model, torch.zeros(1, 3, 8, 8)), nn.Conv2d)
    small = [np.ascontiguousarray(image[:8, :8]) for image in pictures(3, seed=0)[0]]
    assert Explainer(predictor_of(model, 8)).heatmaps(small).shape == (3, 8, 8)


def test_another_back_end_is_refused_in_a_line(tiny: Predictor) -> None:
    class Other:
        device, precision = "cpu", "float32"

    other: Network = Other()  # type: ignore[assignment]
    with pytest.raises(UserError, match=r"^explain=true: Grad-CAM needs gradients.*ckpt=RUN, or set explain=false$"):
        Explainer(dataclasses.replace(tiny, network=other))


def test_a_missing_captum_is_explained_in_a_line(tiny: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(UserError, match=r"^explain=true: captum cannot be imported .*pip install 'maskcls\[explain"):
        Explainer(tiny)


def test_a_batch_that_does_not_fit_is_explained(tiny: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise MemoryError

    explainer = Explainer(tiny)
    monkeypatch.setattr(explainer._cam, "attribute", fail)
    with pytest.raises(MachineError, match="out of memory at batch_size=8"):
        explainer.heatmaps(pictures(1, seed=0)[0])


def test_an_overlay_colours_strong_places_and_leaves_weak_ones() -> None:
    image = np.full((20, 30, 3), 100, dtype=np.uint8)
    heatmap = np.zeros((8, 8), dtype=np.float32)
    np.testing.assert_array_equal(overlay(image, heatmap), image)
    heatmap[:, 4:] = 1
    drawn = overlay(image, heatmap)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn[:, :10], image[:, :10])
    yellow = (253, 231, 36)  # the end of viridis
    expected = np.multiply(100, 1 - STRONGEST) + np.multiply(yellow, STRONGEST)
    np.testing.assert_allclose(drawn[10, -1], expected, atol=2)
