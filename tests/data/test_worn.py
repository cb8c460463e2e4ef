"""Masks that are drawn onto bare faces: where they are, and that they vary."""

import numpy as np
import pytest

from maskcls.data.drawing import Pen, oval
from maskcls.data.worn import (
    EYES_X,
    EYES_Y,
    EYES_Z,
    HEAD,
    KINDS,
    MOUTH_Y,
    MOUTH_Z,
    NOSE_DOWN,
    NOSE_Z,
    pose_of,
    skin_of,
    wear_mask,
)

# a head whose centre is in the middle of the picture
SIDE, SCALE = 120, 45
SKIN = (224, 172, 130)


def landmarks(angle: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    """Landmarks of the head, tilted by ``angle`` and turned by ``yaw``, both in radians."""
    x = np.array([-EYES_X, EYES_X, 0.0, -0.22, 0.22])
    y = np.array([EYES_Y, EYES_Y, EYES_Y + (MOUTH_Y - EYES_Y) * NOSE_DOWN, MOUTH_Y, MOUTH_Y])
    z = np.array([EYES_Z, EYES_Z, NOSE_Z, MOUTH_Z, MOUTH_Z])
    x = x * np.cos(yaw) + z * np.sin(yaw)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.column_stack((x, y)) @ rotation * SCALE + SIDE / 2


def face() -> np.ndarray:
    """A head of one colour on a blue ground."""
    image = np.full((SIDE, SIDE, 3), (30, 60, 200), dtype=np.uint8)
    frame = np.array([[SCALE, 0, SIDE / 2], [0, SCALE, SIDE / 2]], dtype=float)
    Pen(image, frame, HEAD).fill(oval(0, 0, HEAD, 1.0), np.array(SKIN, dtype=float))
    return image


def changed(image: np.ndarray) -> np.ndarray:
    """Which pixels differ from those of the bare face, in face coordinates, [n, 2]."""
    rows, columns = np.nonzero(np.abs(image.astype(int) - face()).max(axis=2) > 12)
    return (np.column_stack((columns, rows)) - SIDE / 2) / SCALE


@pytest.mark.parametrize("angle", [-0.6, 0.0, 0.4])
@pytest.mark.parametrize("yaw", [-0.5, 0.0, 0.3])
def test_the_pose_of_a_head_follows_from_its_landmarks(angle: float, yaw: float) -> None:
    pose = pose_of(landmarks(angle, yaw))
    assert pose.yaw == pytest.approx(yaw, abs=0.02)
    assert pose.scale == pytest.approx(SCALE, rel=0.03)
    assert pose.frame[:, 2] == pytest.approx([SIDE / 2, SIDE / 2], abs=1)
    assert np.arctan2(pose.frame[1, 0], pose.frame[0, 0]) == pytest.approx(angle, abs=0.01)


def test_landmarks_in_one_point_give_a_pose_as_well() -> None:
    pose = pose_of(np.full((5, 2), 7.0))
    assert np.isfinite(pose.frame).all()


def test_the_colour_of_the_skin_is_read() -> None:
    light = (np.mean(SKIN) / 140) ** 0.65  # a bright face is thought to be in bright light
    assert skin_of(face(), pose_of(landmarks())) == pytest.approx(
        np.clip(np.array(SKIN) / min(light, 1.15**0.65), 0, 255), rel=0.02
    )


def test_a_mask_hides_the_mouth_and_not_the_eyes() -> None:
    mouths, eyes = [], []
    for seed in range(60):
        image = wear_mask(np.random.default_rng(seed), face(), landmarks())
        assert image.shape == face().shape
        assert image.dtype == np.uint8
        difference = np.abs(image.astype(int) - face()).max(axis=2)
        x, mouth, eye = SIDE // 2, round(SIDE / 2 + MOUTH_Y * SCALE), round(SIDE / 2 + EYES_Y * SCALE)
        mouths.append(difference[mouth - 3 : mouth + 4, x - 6 : x + 7].mean())
        eyes.append(difference[eye - 2 : eye + 1, x - 20 : x + 21].max())
    assert np.quantile(mouths, 0.1) > 10  # a mask of the colour of the skin differs little
    assert max(eyes) <= 3


def test_a_mask_is_as_wide_as_the_face_and_ends_near_the_chin() -> None:
    ends = []
    for seed in range(30):
        points = changed(wear_mask(np.random.default_rng(seed), face(), landmarks()))
        ends.append([points[:, 0].max() - points[:, 0].min(), points[:, 1].max()])
    width, low = np.median(ends, axis=0)
    assert 1.2 < width < 2.2
    assert 0.85 < low < 1.3


def test_a_draw_gives_the_same_mask_again_and_another_draw_another() -> None:
    one, same, other = (wear_mask(np.random.default_rng(seed), face(), landmarks()) for seed in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_mask_is_dark_in_a_dark_photograph() -> None:
    bright, dark = face(), (face() * 0.3).astype(np.uint8)
    levels = [
        np.mean([wear_mask(np.random.default_rng(seed), image, landmarks())[80:90, 55:65].mean() for seed in range(20)])
        for image in (bright, dark)
    ]
    assert levels[1] < 0.75 * levels[0]


def test_a_head_beyond_the_border_is_no_error() -> None:
    for shift in (-80, 80):
        image = wear_mask(np.random.default_rng(0), face(), landmarks() + shift)
        assert image.shape == face().shape


def test_the_kinds_of_masks_are_shares() -> None:
    assert sum(KINDS.values()) == pytest.approx(1)
