"""What is drawn in front of faces without being a mask."""

from itertools import pairwise

import numpy as np
import pytest
from data.test_worn import SCALE, SIDE, changed, face, landmarks

from maskcls.data import obstacles
from maskcls.data.obstacles import BEFORE_MOUTH, grow_beard, hide_mouth, wear_glasses
from maskcls.data.worn import MOUTH_Y


def test_most_obstacles_are_before_the_mouth_or_the_chin() -> None:
    lows = []
    for seed in range(60):
        points = changed(hide_mouth(np.random.default_rng(seed), face(), landmarks()))
        lows.append((points[:, 1] > MOUTH_Y).mean() if len(points) else 0)
        assert not len(points) or points[:, 1].min() > -0.2  # the eyes stay free
    assert np.median(lows) > 0.5


def test_glasses_are_before_the_eyes() -> None:
    for seed in range(20):
        points = changed(wear_glasses(np.random.default_rng(seed), face(), landmarks()))
        assert len(points) > 50
        assert -0.5 < points[:, 1].min() < points[:, 1].max() < 0.35


def test_beards_are_hairs_below_the_nose() -> None:
    for seed in range(20):
        points = changed(grow_beard(np.random.default_rng(seed), face(), landmarks()))
        assert 20 < len(points) < 0.25 * SIDE**2
        assert points[:, 1].min() > 0.0


@pytest.mark.parametrize("number", range(len(BEFORE_MOUTH)))
def test_each_obstacle_covers_a_part_of_the_face(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obstacles, "BEFORE_MOUTH", BEFORE_MOUTH[number : number + 1])
    images = [hide_mouth(np.random.default_rng(seed), face(), landmarks()) for seed in range(8)]
    shares = [len(changed(image)) / SIDE**2 for image in images]
    assert np.median(shares) > 0.01
    assert max(shares) < 0.6
    assert all(not np.array_equal(one, other) for one, other in pairwise(images))


def test_hands_are_about_as_bright_as_the_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obstacles, "BEFORE_MOUTH", BEFORE_MOUTH[:1])
    for scale in (0.4, 1.0):
        image = (face() * scale).astype(np.uint8)
        drawn = [hide_mouth(np.random.default_rng(seed), image, landmarks()) for seed in range(10)]
        at_chin = [each[round(SIDE / 2 + 0.8 * SCALE), 50:70].mean() for each in drawn]
        assert np.median(at_chin) == pytest.approx(image[SIDE // 2, SIDE // 2].mean(), rel=0.35)
