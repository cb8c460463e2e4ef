from typing import Any

import pytest
import torch
from number_formats import Formats
from torch import Tensor

from maskcls.config import FlipAugmentConfig, LightAugmentConfig, NoAugmentConfig
from maskcls.data.augment import Flip, LightAugment, build_augment

NOTHING: dict[str, Any] = {
    "flip_probability": 0.0,
    "shift": 0.0,
    "rotation_degrees": 0.0,
    "zoom": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "saturation": 0.0,
}
EVERYTHING: dict[str, Any] = {
    "flip_probability": 0.5,
    "shift": 0.08,
    "rotation_degrees": 12.0,
    "zoom": 0.12,
    "brightness": 0.2,
    "contrast": 0.2,
    "saturation": 0.2,
}
SIDE, CENTRE = 65, 32


def light(seed: int = 0, **changes: Any) -> LightAugment:
    """Build the augmentation with these ranges; all others are 0."""
    return LightAugment(LightAugmentConfig("light", **(NOTHING | changes)), torch.Generator().manual_seed(seed))


def noise(count: int = 4, side: int = 20) -> Tensor:
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(7))


def spots(count: int, x: int, y: int) -> Tensor:
    """Draw a white square of 5 x 5 pixels on black images, x pixels to the right of their centre and y below it."""
    images = torch.zeros(count, 3, SIDE, SIDE, dtype=torch.uint8)
    images[..., CENTRE + y - 2 : CENTRE + y + 3, CENTRE + x - 2 : CENTRE + x + 3] = 255
    return images


def places(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return x and y of the centre of brightness, relative to the centre of the image."""
    weight = images[:, 0] / images[:, 0].sum(dim=(1, 2), keepdim=True)
    axis = torch.arange(SIDE) - CENTRE
    return (weight.sum(dim=1) * axis).sum(dim=1), (weight.sum(dim=2) * axis).sum(dim=1)


def flat(count: int, *colour: int) -> Tensor:
    return torch.tensor(colour, dtype=torch.uint8).view(1, 3, 1, 1).repeat(count, 1, 8, 8)


def assert_fills(values: Tensor, low: float, high: float) -> None:
    """Check that all values are in a range and that some are near each of its ends."""
    margin = 0.1 * (high - low)
    assert low - 1e-4 <= values.min() < low + margin
    assert high - margin < values.max() <= high + 1e-4


@pytest.mark.parametrize("side", [8, 20, 65])
def test_ranges_of_zero_change_nothing(side: int) -> None:
    # up to the last pixel at the border
    images = noise(side=side)
    torch.testing.assert_close(light()(images), images / 255, atol=1e-5, rtol=0)


def test_certain_flip_mirrors_left_and_right() -> None:
    torch.testing.assert_close(light(flip_probability=1.0)(noise()), noise().flip(3) / 255, atol=1e-5, rtol=0)


def test_flip_hits_its_share_of_the_images() -> None:
    images = noise(1).expand(1000, -1, -1, -1)
    flipped = (light(flip_probability=0.3)(images) - images / 255).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert 0.25 < flipped.float().mean() < 0.35


@pytest.mark.parametrize("flip_probability", [0.0, 1.0])
def test_shift_is_up_to_its_share_of_the_side(flip_probability: float) -> None:
    x, y = places(light(shift=0.2, flip_probability=flip_probability)(spots(300, 0, 0)))
    assert_fills(x / SIDE, -0.2, 0.2)
    assert_fills(y / SIDE, -0.2, 0.2)
    assert torch.corrcoef(torch.stack((x, y)))[0, 1].abs() < 0.2


def test_rotation_is_up_to_its_angle_each_way() -> None:
    x, y = places(light(rotation_degrees=30.0)(spots(300, 20, 0)))
    assert_fills(torch.rad2deg(torch.atan2(y, x)), -30.2, 30.2)
    torch.testing.assert_close(torch.hypot(x, y), torch.full((300,), 20.0), atol=0.2, rtol=0)


def test_rotation_turns_both_axes_alike() -> None:
    right, down = (places(light(rotation_degrees=30.0)(images)) for images in (spots(50, 20, 0), spots(50, 0, 20)))
    # a quarter turn makes (-y, x) of (x, y)
    torch.testing.assert_close(down[0], -right[1], atol=0.1, rtol=0)
    torch.testing.assert_close(down[1], right[0], atol=0.1, rtol=0)


@pytest.mark.parametrize(("x", "y"), [(20, 0), (0, -20)])
def test_zoom_is_up_to_its_share_each_way(x: int, y: int) -> None:
    new_x, new_y = places(light(zoom=0.25)(spots(300, x, y)))
    assert_fills(torch.hypot(new_x, new_y) / 20, 0.745, 1.255)
    torch.testing.assert_close(new_x * y, new_y * x, atol=0.1, rtol=0)


def test_what_comes_in_at_the_border_is_reflected() -> None:
    images = torch.full((50, 3, 20, 20), 200, dtype=torch.uint8)
    changed = light(shift=0.5, rotation_degrees=180.0, zoom=0.9)(images)
    torch.testing.assert_close(changed, torch.full((50, 3, 20, 20), 200 / 255))


def test_brightness_scales_each_image() -> None:
    changed = light(brightness=0.4)(flat(300, 50, 100, 150))
    factors = changed * 255 / flat(1, 50, 100, 150)
    assert_fills(factors, 0.6, 1.4)
    torch.testing.assert_close(factors, factors[:, :1, :1, :1].expand_as(factors), atol=1e-4, rtol=0)


def test_contrast_scales_about_the_mean_luma() -> None:
    images = flat(300, 100, 100, 100)
    images[..., 4:] = 140
    changed = light(contrast=0.5)(images) * 255
    assert_fills((changed[..., 7] - changed[..., 0]) / 40, 0.5, 1.5)
    torch.testing.assert_close(changed.mean(dim=(1, 2, 3)), torch.full((300,), 120.0), atol=1e-3, rtol=0)


def test_contrast_of_a_grey_image_changes_nothing() -> None:
    torch.testing.assert_close(light(contrast=0.5)(flat(20, 90, 90, 90)) * 255, flat(20, 90, 90, 90).float())


def test_saturation_scales_about_the_luma() -> None:
    changed = light(saturation=0.5)(flat(300, 80, 120, 160)) * 255
    luma = 0.299 * 80 + 0.587 * 120 + 0.114 * 160
    factors = (changed - luma) / (flat(1, 80, 120, 160) - luma)
    assert_fills(factors, 0.5, 1.5)
    torch.testing.assert_close(factors, factors[:, :1, :1, :1].expand_as(factors), atol=1e-4, rtol=0)


def test_saturation_of_a_grey_image_changes_nothing() -> None:
    images = noise()[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(light(saturation=0.5)(images), images / 255, atol=1e-5, rtol=0)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_values_stay_between_0_and_1(value: int) -> None:
    images = noise(64)
    images[:, :, ::2] = value
    changed = light(**(EVERYTHING | {"brightness": 0.9, "contrast": 0.9, "saturation": 0.9}))(images)
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_result_is_a_function_of_the_seed() -> None:
    one, same, other = light(1, **EVERYTHING), light(1, **EVERYTHING), light(2, **EVERYTHING)
    for _ in range(2):
        changed = one(noise())
        assert torch.equal(same(noise()), changed)
        assert (other(noise()) - changed).abs().max() > 0.1


def test_batches_differ() -> None:
    augment = light(**EVERYTHING)
    assert (augment(noise()) - augment(noise())).abs().max() > 0.1


@pytest.mark.parametrize("name", [name for name in EVERYTHING if name != "flip_probability"])
def test_images_of_a_batch_differ(name: str) -> None:
    changed = light(**{name: EVERYTHING[name]})(noise(1).expand(8, -1, -1, -1))
    pairs = torch.cdist(changed.flatten(1), changed.flatten(1)) + torch.eye(8)
    assert pairs.min() > 1e-2


def test_range_does_not_change_what_others_draw() -> None:
    plain, coloured = light(shift=0.2), light(shift=0.2, saturation=0.5)
    images = noise()[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(plain(images), coloured(images), atol=1e-5, rtol=0)


def test_input_and_global_random_numbers_are_left_alone() -> None:
    images, before = noise(), torch.get_rng_state()
    light(**EVERYTHING)(images)
    assert torch.equal(images, noise())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_result_is_channels_last_float32(memory_format: torch.memory_format) -> None:
    changed = light(**EVERYTHING)(noise().contiguous(memory_format=memory_format))
    assert changed.shape == (4, 3, 20, 20)
    assert changed.dtype == torch.float32
    assert changed.is_contiguous(memory_format=torch.channels_last)


def test_memory_format_of_the_input_makes_no_difference() -> None:
    one, other = (
        light(**EVERYTHING)(noise()),
        light(**EVERYTHING)(noise().contiguous(memory_format=torch.channels_last)),
    )
    torch.testing.assert_close(one, other)


@pytest.mark.gpu
def test_light_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    augment = LightAugment(LightAugmentConfig("light", **EVERYTHING), torch.Generator("cuda").manual_seed(0))
    changed = augment(noise().cuda())
    assert changed.is_cuda
    assert changed.is_contiguous(memory_format=torch.channels_last)
    unchanged = LightAugment(LightAugmentConfig("light", **NOTHING), torch.Generator("cuda"))(noise().cuda())
    torch.testing.assert_close(unchanged.cpu(), noise() / 255, atol=1e-5, rtol=0)


def test_build_augment() -> None:
    generator = torch.Generator()
    config = LightAugmentConfig("light", **EVERYTHING)
    augment = build_augment(config, generator)
    assert isinstance(augment, LightAugment)
    assert augment.config is config
    assert augment.generator is generator
    assert build_augment(NoAugmentConfig("none"), generator) is None


def test_flip_mirrors_whole_images_and_leaves_the_others() -> None:
    images = noise(1).repeat(1000, 1, 1, 1).contiguous(memory_format=torch.channels_last)
    flipped = Flip(0.3, torch.Generator().manual_seed(0))(images)
    mirrored = (flipped == images.flip(3)).flatten(1).all(dim=1)
    assert torch.equal(flipped[~mirrored], images[~mirrored])
    assert 240 < mirrored.sum() < 360
    assert (flipped.dtype, flipped.is_contiguous(memory_format=torch.channels_last)) == (torch.uint8, True)


@pytest.mark.parametrize(("probability", "expected"), [(0.0, noise()), (1.0, noise().flip(3))])
def test_flip_of_none_and_of_all(probability: float, expected: Tensor) -> None:
    assert torch.equal(Flip(probability, torch.Generator())(noise()), expected)


def test_flips_are_a_function_of_the_seed() -> None:
    one, same, other = (Flip(0.5, torch.Generator().manual_seed(seed))(noise(64)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_flip_is_built_from_its_configuration() -> None:
    augment = build_augment(FlipAugmentConfig("flip", 0.25), torch.Generator())
    assert isinstance(augment, Flip)
    assert augment.probability == 0.25


def test_nothing_is_computed_in_float64_which_apples_gpus_lack() -> None:
    with Formats() as formats:
        light(**EVERYTHING)(noise())
    assert torch.float32 in formats.seen
    assert torch.float64 not in formats.seen


def test_what_a_device_may_lack_is_asked_for_with_a_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def with_fallback(operation: Any, *tensors: Tensor, **settings: Any) -> Tensor:
        asked.append((operation.__name__, settings["padding_mode"]))
        return tensors[0]

    monkeypatch.setattr("maskcls.data.augment.with_fallback", with_fallback)
    light()(noise())
    assert asked == [("grid_sample", "reflection")]
