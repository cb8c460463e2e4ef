"""The augmentation that makes photographs of any origin: each ingredient by itself, and all together."""

from typing import Any

import pytest
import torch
from number_formats import Formats
from torch import Tensor

from maskcls.config import RobustAugmentConfig
from maskcls.data.fallback import with_fallback
from maskcls.data.robust import RobustAugment, compressed, reduced

NOTHING: dict[str, Any] = {
    "masks": 0.0, "obstacles": 0.0, "exchanged": 0.0, "detector": None, "distance": 0.0, "smallest": 0.3,
    "flip_probability": 0.0, "rotation_degrees": 0.0, "stretch": 0.0, "zoom": 0.0, "shift": 0.0, "patches": 0.0,
    "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "gamma": 0.0, "white_balance": 0.0, "grey": 0.0, "blur": 0.0,
    "low_resolution": 0.0, "smallest_side": 8, "noise": 0.0, "compression": 0.0,
}  # fmt: skip
# a value for each key that changes images, if all others are as above
CHANGES: dict[str, Any] = {
    "distance": 0.5, "flip_probability": 1.0, "rotation_degrees": 40.0, "stretch": 0.5, "zoom": 0.4, "shift": 0.3,
    "patches": 0.5, "brightness": 0.5, "contrast": 0.5, "saturation": 0.9, "gamma": 0.8, "white_balance": 0.4,
    "grey": 1.0, "blur": 1.0, "low_resolution": 1.0, "noise": 1.0, "compression": 1.0,
}  # fmt: skip
SIDE = 48


def robust(seed: int = 0, **changes: Any) -> RobustAugment:
    """Build the augmentation with these shares and ranges; all others are 0."""
    return RobustAugment(RobustAugmentConfig("robust", **(NOTHING | changes)), torch.Generator().manual_seed(seed))


def pictures(count: int = 8, side: int = SIDE) -> Tensor:
    """Smooth coloured images with some texture, uint8 [count, 3, side, side]."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    fine = torch.rand(count, 3, side, side, generator=generator) * 0.2
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear") * 0.8
    return ((smooth + fine) * 255).to(torch.uint8)


def test_with_all_shares_zero_images_stay_as_they_are() -> None:
    images = pictures()
    assert torch.allclose(robust()(images), images / 255, atol=1e-4)


@pytest.mark.parametrize("key", CHANGES)
def test_each_ingredient_changes_images_and_keeps_their_range(key: str) -> None:
    images = pictures()
    values = robust(**{key: CHANGES[key]})(images)
    assert values.shape == images.shape
    assert values.dtype == torch.float32
    assert values.is_contiguous(memory_format=torch.channels_last)
    assert 0 <= float(values.min()) <= float(values.max()) <= 1
    assert float((values - images / 255).abs().mean()) > 0.005


def test_all_ingredients_together_are_a_function_of_the_seed() -> None:
    one, same, other = (robust(seed, **CHANGES)(pictures()) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert 0 <= float(one.min()) <= float(one.max()) <= 1


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_batches_of_any_size_are_taken(count: int) -> None:
    assert robust(**CHANGES)(pictures(count)).shape == (count, 3, SIDE, SIDE)


def test_a_share_of_the_images_is_pasted_at_a_distance() -> None:
    images = pictures(20)
    values = robust(distance=0.5, smallest=0.4)(images)
    difference = (values - images / 255).abs().mean(dim=(1, 2, 3))
    assert (difference[:10] > 0.01).sum() >= 9
    assert (difference[10:] < 1e-4).all()


def test_rotation_turns_about_the_centre_by_at_most_the_given_angle() -> None:
    images = torch.zeros(200, 3, SIDE, SIDE, dtype=torch.uint8)
    images[:, :, SIDE // 2 - 2 : SIDE // 2 + 2, SIDE - 10 : SIDE - 6] = 255
    values = robust(rotation_degrees=30.0)(images)[:, 0]
    weight = values / values.sum(dim=(1, 2), keepdim=True)
    axis = torch.arange(SIDE) + 0.5 - SIDE / 2
    x, y = (weight.sum(dim=1) * axis).sum(dim=1), (weight.sum(dim=2) * axis).sum(dim=1)
    angles = torch.rad2deg(torch.atan2(y, x))
    assert torch.hypot(x, y) == pytest.approx(SIDE / 2 - 8, abs=0.5)
    assert 20 < float(angles.max()) < 31
    assert -31 < float(angles.min()) < -20


def test_images_that_become_grey_have_equal_channels() -> None:
    values = robust(grey=0.5)(pictures(40))
    spread = (values.amax(dim=1) - values.amin(dim=1)).amax(dim=(1, 2))
    assert 8 <= int((spread < 1e-3).sum()) <= 32


def test_a_patch_hides_a_part_of_some_images() -> None:
    images = pictures(10)
    values = robust(patches=0.3)(images)
    hidden = ((values - images / 255).abs().amax(dim=1) > 0.01).float().mean(dim=(1, 2))
    assert hidden[:7].max() == 0
    assert (hidden[7:] > 0.005).all()
    assert (hidden[7:] < 0.5).all()


@pytest.mark.parametrize("mode", [0.05, 0.2, 0.4, 0.55, 0.7, 0.9])
def test_reduced_images_lose_their_detail(mode: float) -> None:
    board = (torch.arange(SIDE)[:, None] + torch.arange(SIDE)) % 2
    image = board.float().expand(1, 3, SIDE, SIDE)
    rough = reduced(image, 8, mode)
    assert rough.shape == image.shape
    assert float(rough.std()) < 0.01 < float(image.std())


def test_compression_is_stronger_at_a_lower_quality() -> None:
    image = pictures(2).float() / 255
    good, poor = ((compressed(image, quality) - image).abs().mean() for quality in (95, 10))
    assert 0 < good < 0.05 < 1.5 * poor


def test_nothing_is_computed_in_float64_which_apples_gpus_lack() -> None:
    with Formats() as formats:
        robust(**CHANGES)(pictures())
    assert torch.float32 in formats.seen
    assert torch.float64 not in formats.seen


def test_what_a_device_may_lack_is_asked_for_with_a_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = set()

    def noted(operation: Any, *tensors: Tensor, **settings: Any) -> Tensor:
        asked.add((operation.__name__, settings.get("padding_mode") or settings.get("mode")))
        return with_fallback(operation, *tensors, **settings)

    monkeypatch.setattr("maskcls.data.robust.with_fallback", noted)
    robust(distance=0.5)(pictures())
    reduced(pictures() / 255, 7, 0.0)
    assert asked == {("grid_sample", "border"), ("adaptive_avg_pool2d", None), ("interpolate", "area")}
