"""Draws what may be in front of a face without being a mask: hands, cups, scarves, beards and glasses."""

from collections.abc import Callable, Sequence

import numpy as np

from maskcls.data.drawing import arc, dye, oval, shade, tone
from maskcls.data.worn import EYES_Y, HEAD, MOUTH_Y, Layer, pose_of, skin_of, texture

# how common a beard, a goatee and a moustache are; moustaches are most easily taken for masks
BEARD_CHANCES = (0.3, 0.2, 0.5)


def _hand(rng: np.random.Generator, sheet: Layer, skin: np.ndarray) -> None:
    """A hand from below or from the side, before the mouth or the chin."""
    side, x, y = rng.choice([-1, 1]), rng.normal(0, 0.2), rng.uniform(0.4, 0.95)
    hue = np.clip(skin * rng.uniform(0.8, 1.1) + rng.normal(0, 8, 3), 0, 255)
    lean = rng.uniform(-0.5, 0.5)
    sheet.fill(oval(x + side * 0.4, y + 0.3, rng.uniform(0.3, 0.5), rng.uniform(0.35, 0.5)), shade(hue, 0.95))
    wrist = np.array([(0.1, 0.5), (0.7, 0.4), (1.2 + lean, 3), (0.4 + lean, 3)])
    sheet.fill(wrist * (side, 1) + (x, y), shade(hue, 0.92))
    length, width = rng.uniform(0.4, 0.85), rng.uniform(0.13, 0.2)
    slope = rng.uniform(-0.5, 0.25)
    for finger in range(rng.integers(2, 5)):
        knuckle = np.array((x + side * (0.2 + 0.05 * finger), y + 0.02 + 0.16 * finger))
        bone = knuckle + np.array([(0, 0), (-side * length, slope * length)])
        sheet.stroke(bone, shade(hue, rng.uniform(0.55, 0.75)), width * 1.2)
        sheet.stroke(bone, shade(hue, rng.uniform(0.95, 1.08)), width)


def _fist(rng: np.random.Generator, sheet: Layer, skin: np.ndarray) -> None:
    """Upright fingers before the mouth, as of somebody who thinks, coughs or is silent."""
    hue = np.clip(skin * rng.uniform(0.8, 1.1) + rng.normal(0, 8, 3), 0, 255)
    x, top = rng.normal(0, 0.15), rng.uniform(0.1, 0.6)
    count, width = rng.integers(1, 5), rng.uniform(0.14, 0.2)
    for finger in range(count):
        left = x + (finger - (count - 1) / 2) * width * 1.05
        bone = np.array([(left, top + rng.uniform(0, 0.1)), (left + rng.normal(0, 0.04), 1.2)])
        sheet.stroke(bone, shade(hue, rng.uniform(0.55, 0.75)), width * 1.15)
        sheet.stroke(bone, shade(hue, rng.uniform(0.95, 1.08)), width)
    sheet.fill(oval(x, 1.3, 0.5, rng.uniform(0.35, 0.6)), hue)
    sheet.fill(np.array([(x - 0.4, 1.3), (x + 0.4, 1.3), (x + 0.5, 3), (x - 0.5, 3)]), shade(hue, 0.9))


def _cup(rng: np.random.Generator, sheet: Layer, skin: np.ndarray) -> None:
    """A cup, a glass, a bottle, a phone or a microphone before the mouth."""
    colour, x, y = dye(rng), rng.normal(0, 0.15), rng.uniform(0.25, 0.6)
    wide, high, lean = rng.uniform(0.15, 0.5), rng.uniform(0.4, 1.2), rng.uniform(-0.3, 0.3)
    taper = rng.uniform(0.7, 1.0)
    body = np.array([(-wide, 0), (wide, 0), (wide * taper + lean, high), (-wide * taper + lean, high)])
    body += (x, y)
    sheet.fill(body, colour)
    sheet.fill(oval(x, y, wide, rng.uniform(0.03, 0.12)), shade(colour, rng.uniform(0.6, 1.3)))
    for share in rng.uniform(0.1, 0.9, rng.integers(0, 3)):
        line = body[0] + (body[3] - body[0]) * share, body[1] + (body[2] - body[1]) * share
        sheet.stroke(np.array(line), dye(rng), rng.uniform(0.02, 0.15))
    if rng.random() < 0.6:
        for finger in range(4):
            middle = np.array((x + lean * 0.6, y + high * (0.35 + 0.15 * finger)))
            bone = middle + np.array([(-wide * 1.2, 0.05), (wide * rng.uniform(0.2, 1.1), 0)])
            sheet.stroke(bone, shade(skin, 0.65), 0.17)
            sheet.stroke(bone, shade(skin, 1.0), 0.14)


def _scarf(rng: np.random.Generator, sheet: Layer, skin: np.ndarray) -> None:
    """A scarf or a collar that reaches beyond the face on both sides."""
    del skin
    top, colour, wide = rng.uniform(0.4, 0.95), dye(rng), HEAD * rng.uniform(1.15, 1.6)
    wrap = np.concatenate([arc(-wide, wide, top, rng.uniform(0, 0.25)), oval(0, 1.3, wide * 1.1, 0.9, 0, 180)])
    sheet.paint(wrap, texture(rng, sheet.image, colour))
    for down in rng.uniform(0.1, 0.8, rng.integers(1, 5)):
        sheet.stroke(arc(-wide, wide, top + down, rng.uniform(0, 0.3)), shade(colour, rng.uniform(0.6, 1.2)), 0.04)


def _beard(rng: np.random.Generator, sheet: Layer, skin: np.ndarray) -> None:
    """A beard, a goatee or a moustache of many hairs."""
    colour = tone(rng, np.array([(25, 20, 20), (25, 20, 20), (70, 45, 30), (120, 90, 60), (170, 165, 160), skin * 0.5]))
    kind, sides, low = (
        rng.choice(["beard", "goatee", "moustache"], p=BEARD_CHANCES),
        HEAD * rng.uniform(0.7, 0.98),
        rng.uniform(0.95, 1.35),
    )
    for _ in range(rng.integers(60, 220)):
        if kind == "beard" and rng.random() < 0.7:  # along the jaw, from ear to ear
            angle, depth = rng.uniform(0, np.pi), rng.uniform(0.75, 1.05)
            root = np.array((sides * depth * np.cos(angle), 0.1 + (low - 0.1) * depth * np.sin(angle)))
        elif kind == "moustache" or rng.random() < 0.5:  # above the lips
            x = rng.normal(0, 0.16)
            root = np.array((x, MOUTH_Y - 0.13 + 0.25 * x**2 + rng.normal(0, 0.02)))
        else:  # at the chin
            root = np.array((rng.normal(0, 0.14), rng.uniform(MOUTH_Y + 0.14, low)))
        tip = root + np.array((root[0] * rng.uniform(0, 0.3), rng.uniform(0.05, 0.16)))
        sheet.stroke(np.array([root, tip]), shade(colour, rng.uniform(0.6, 1.4)), rng.uniform(0.01, 0.05))


def _glasses(rng: np.random.Generator, sheet: Layer, skin: np.ndarray) -> None:
    """Glasses or sunglasses."""
    del skin
    colour, lens = dye(rng) * 0.5, rng.uniform(0.2, 0.32)
    high, y, dark = rng.uniform(0.14, 0.28), EYES_Y + rng.uniform(-0.02, 0.08), rng.random() < 0.6
    for side in (-1, 1):
        rim = oval(side * 0.36, y, lens, high)
        if dark:
            sheet.fill(rim, shade(colour, rng.uniform(0.2, 0.9)))
        sheet.stroke(rim, colour, rng.uniform(0.02, 0.06))
        sheet.stroke(np.array([(side * (0.36 + lens), y), (side * HEAD, y - 0.03)]), colour, 0.05)
    sheet.stroke(arc(-0.16, 0.16, y, -0.04), colour, 0.04)


Obstacle = Callable[[np.random.Generator, Layer, np.ndarray], None]
BEFORE_MOUTH: tuple[Obstacle, ...] = (_hand, _fist, _cup, _scarf)
# how often training draws each of these; a cup looks most like a mask
OBSTACLE_CHANCES = (0.2, 0.2, 0.4, 0.2)


def hide_mouth(
    rng: np.random.Generator, image: np.ndarray, landmarks: np.ndarray, chances: Sequence[float] | None = None
) -> np.ndarray:
    """Draw a hand, a cup or a scarf before the mouth of a face; see `wear_mask`.

    Args:
        rng: draws what it is, its shape and its colour.
        image: RGB uint8 [height, width, 3].
        landmarks: see `pose_of`.
        chances: how likely each of `BEFORE_MOUTH` is; all are equally likely if it is not given.
    """
    draw = BEFORE_MOUTH[int(rng.choice(len(BEFORE_MOUTH), p=chances))]
    return _with(rng, image, landmarks, draw)


def grow_beard(rng: np.random.Generator, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Draw a beard, a goatee or a moustache onto a face; see `wear_mask`."""
    return _with(rng, image, landmarks, _beard)


def wear_glasses(rng: np.random.Generator, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Draw glasses onto a face; see `wear_mask`."""
    return _with(rng, image, landmarks, _glasses)


def _with(rng: np.random.Generator, image: np.ndarray, landmarks: np.ndarray, draw: Obstacle) -> np.ndarray:
    pose = pose_of(landmarks)
    sheet = Layer(image, pose)
    draw(rng, sheet, skin_of(image, pose))
    return sheet.laid(rng)
