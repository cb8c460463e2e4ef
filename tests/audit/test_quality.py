"""Images that stand out: dark, bright, blurred, flat, or of another size or shape than the others."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from images import scene

from maskcls.audit.quality import Look, blur, judge, look

SIDE = 96


def measured(images: list[np.ndarray]) -> np.ndarray:
    return np.array([look(image, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) for image in images], dtype=np.float32)


def faults(images: list[np.ndarray], sizes: list[tuple[int, int]] | None = None) -> dict[str, list[int]]:
    """The positions of the images with each fault, the worst first."""
    shapes = np.array(sizes or [image.shape[1::-1] for image in images])
    found: dict[str, list[int]] = {}
    for judgement in judge(measured(images), shapes, range(len(images))):
        assert 0 < judgement.score <= 1
        found.setdefault(judgement.fault, []).append(judgement.image)
    return found


SPOILED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "dark": lambda image: cv2.convertScaleAbs(image, alpha=0.2),
    "bright": lambda image: cv2.convertScaleAbs(image, alpha=1.8, beta=120),
    "blurred": lambda image: cv2.GaussianBlur(image, (0, 0), SIDE / 40),
    "low_contrast": lambda image: cv2.convertScaleAbs(image, alpha=0.1, beta=110),
}


def test_planted_faults_are_found_among_200_images_without_a_false_alarm() -> None:
    images = [scene(seed, SIDE) for seed in range(200)]
    planted = {fault: [40 * kind + 3 * i for i in range(5)] for kind, fault in enumerate(SPOILED)}
    for fault, positions in planted.items():
        for position in positions:
            images[position] = SPOILED[fault](images[position])
    assert {fault: sorted(found) for fault, found in faults(images).items()} == planted


@pytest.mark.parametrize("fault", SPOILED)
def test_where_all_images_are_alike_none_stands_out(fault: str) -> None:
    assert faults([SPOILED[fault](scene(seed, SIDE)) for seed in range(30)]) == {}


def test_the_worst_comes_first_with_the_highest_score() -> None:
    images = [scene(seed, SIDE) for seed in range(40)]
    for position, brightness in ((3, 0.3), (7, 0.1), (9, 0.2)):
        images[position] = cv2.convertScaleAbs(images[position], alpha=brightness)
    looks = measured(images)
    found = judge(looks, np.full((40, 2), SIDE), range(40))
    assert [(one.image, one.fault) for one in found] == [(7, "dark"), (9, "dark"), (3, "dark")]
    assert found[0].score > found[1].score > found[2].score
    assert found[0].value == pytest.approx(looks[7, 0])
    assert found[0].usual == pytest.approx(np.median(looks[:, 0]))


def test_other_sizes_and_shapes_are_named() -> None:
    images = [scene(0, SIDE)] * 23
    sizes = [(100, 80)] * 20 + [(20, 18), (500, 400), (400, 20)]
    assert faults(images, sizes) == {"odd_size": [21, 20], "odd_aspect": [22]}
    found = judge(measured(images), np.array(sizes), range(23))
    assert [round(one.value, 1) for one in found] == [447.2, 19.0, 20.0]
    assert {round(one.usual, 2) for one in found} == {89.44, 1.25}


def test_sizes_that_vary_a_lot_are_not_odd() -> None:
    sizes = [(side, side) for side in np.geomspace(30, 900, 40).astype(int).tolist()]
    assert faults([scene(0, SIDE)] * 40, sizes) == {}


def test_only_the_images_that_are_asked_for_are_judged() -> None:
    images = [*(scene(seed, SIDE) for seed in range(20)), np.zeros((SIDE, SIDE, 3), np.uint8)]
    sizes = np.full((21, 2), SIDE)
    assert judge(measured(images), sizes, range(20)) == []
    assert [one.image for one in judge(measured(images), sizes, range(21))] == [20]
    assert judge(measured(images), sizes, []) == []


def test_a_white_background_is_not_bright_and_an_overexposed_image_is() -> None:
    images = [scene(seed, SIDE) for seed in range(40)]
    for position in (3, 7):
        white = np.full_like(images[position], 255)
        middle = slice(SIDE // 4, -SIDE // 4)
        white[middle, middle] = images[position][middle, middle]
        images[position] = white
    images[9] = cv2.convertScaleAbs(images[9], alpha=3.5)
    assert faults(images).get("bright") == [9]


@pytest.mark.parametrize(("width", "named"), [(300, []), (450, [30])])
def test_an_extreme_shape_is_named_however_much_the_others_differ(width: int, named: list[int]) -> None:
    sizes = [((100, 150), (100, 100), (150, 100))[i % 3] for i in range(30)]
    images = [scene(seed, SIDE) for seed in range(31)]
    assert faults(images, [*sizes, (width, 100)]).get("odd_aspect", []) == named


def test_what_is_measured_is_right() -> None:
    image = np.full((100, 100, 3), 51, np.uint8)
    image[:30] = 204
    image[0, 0] = (0, 0, 255)
    image[25:75, 25:75] = 102  # the middle
    found = look(image, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    assert found == pytest.approx(Look(0.8, 0.4, 0.6, found.blur, 1.0))


def test_blur_grows_with_the_width_of_a_blur_whatever_the_contrast() -> None:
    grey = cv2.cvtColor(scene(1, 160), cv2.COLOR_RGB2GRAY)
    values = [blur(grey), *(blur(cv2.GaussianBlur(grey, (0, 0), sigma)) for sigma in (1, 2, 4))]
    assert values == sorted(values)
    assert values[0] < 0.5 < 0.8 < values[-1] < 1
    assert blur(cv2.convertScaleAbs(grey, alpha=0.5)) == pytest.approx(values[0], abs=0.03)
    # along one direction alone, as a moving camera does
    assert blur(cv2.blur(grey, (15, 1))) > 0.7
