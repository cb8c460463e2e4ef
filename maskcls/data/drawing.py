"""Draws a person: a head and shoulders with hair, perhaps glasses, a hat or a scarf, and perhaps a mask."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

# RGB, 0..255
SKINS = np.array([(255, 222, 200), (241, 194, 160), (224, 172, 130), (190, 130, 92), (84, 54, 40)])
HAIRS = np.array([(20, 18, 20), (60, 38, 26), (105, 68, 40), (205, 165, 95), (160, 70, 35), (170, 168, 165)])
WHITE, BLACK, BLUE = np.array((245, 243, 238)), np.array((22, 20, 22)), np.array((150, 195, 225))
SURGICAL = np.array([BLUE, BLUE, WHITE, BLACK, (240, 185, 200), (150, 215, 195), (240, 185, 145)])
# makes cloth masks as warm as skin, so that the mean colour of a picture does not tell the class
WARM = np.array((1.25, 0.9, 0.7))

OVAL_STEPS, ARC_STEPS = np.linspace(-1, 1, 25), np.linspace(-1, 1, 9)
RAMP = np.linspace(0, 1, 256)[:, None, None]


@dataclass(frozen=True)
class Pen:
    """Draws on an image in face coordinates.

    The centre of the head is (0, 0), half its height is 1, x points right and y down.

    Attributes:
        image: RGB, uint8 [size, size, 3]; drawn on in place.
        frame: float [2, 3], the affine map from face coordinates to pixels.
        radius: radius of the upright cylinder that the shapes lie on.
        yaw: angle in radians by which the cylinder is turned, positive towards the right of the picture.
    """

    image: np.ndarray
    frame: np.ndarray
    radius: float
    yaw: float = 0.0

    def place(self, points: np.ndarray) -> np.ndarray:
        """Return the pixel coordinates of points [n, 2] as int32 [n, 2], in sixteenths of a pixel."""
        if self.yaw:
            x = points[:, 0]
            near = np.minimum(np.maximum(x, -self.radius), self.radius)
            angle = np.minimum(np.maximum(np.arcsin(near / self.radius) + self.yaw, -np.pi / 2), np.pi / 2)
            points = np.array([self.radius * np.sin(angle) + x - near, points[:, 1]]).T
        return np.rint(cv2.transform(points[None], self.frame * 16)[0]).astype(np.int32)

    def fill(self, points: np.ndarray, colour: np.ndarray) -> None:
        """Fill the polygon through points [n, 2] with an RGB colour."""
        cv2.fillPoly(self.image, [self.place(points)], colour.tolist(), cv2.LINE_AA, 4)

    def stroke(self, points: np.ndarray, colour: np.ndarray, width: float) -> None:
        """Draw a line through points [n, 2] in an RGB colour, ``width`` wide in face coordinates."""
        thickness = max(1, round(width * float(np.hypot(*self.frame[:, 0]))))
        path = [self.place(points)]
        cv2.polylines(
            self.image, path, isClosed=False, color=colour.tolist(), thickness=thickness, lineType=cv2.LINE_AA, shift=4
        )

    def paint(self, points: np.ndarray, texture: np.ndarray) -> None:
        """Fill the polygon through points [n, 2] with a texture, RGB uint8 of the image's shape."""
        stencil = np.zeros(self.image.shape[:2], np.uint8)
        cv2.fillPoly(stencil, [self.place(points)], 255, cv2.LINE_8, 4)
        cv2.copyTo(texture, stencil, self.image)


def oval(x: float, y: float, width: float, height: float, start: float = 0, end: float = 360) -> np.ndarray:
    """Return an arc, in degrees, of the ellipse about (x, y) with half-axes width and height; float [25, 2]."""
    angle = np.radians(start + (end - start) * (OVAL_STEPS + 1) / 2)
    return np.array([x + width * np.cos(angle), y + height * np.sin(angle)]).T


def arc(left: float, right: float, y: float, sag: float) -> np.ndarray:
    """Return a parabola from (left, y) to (right, y) whose middle lies ``sag`` lower, float [9, 2]."""
    return np.array([left + (right - left) * (ARC_STEPS + 1) / 2, y + sag * (1 - ARC_STEPS**2)]).T


def shade(colour: np.ndarray, factor: float | np.ndarray) -> np.ndarray:
    """Return the RGB colour times ``factor``, clipped to 0..255."""
    return np.clip(colour * factor, 0, 255)


def tone(rng: np.random.Generator, palette: np.ndarray) -> np.ndarray:
    """Draw a colour near a colour of the palette [n, 3], or between two of them; float [3], 0..255."""
    one, other = palette[rng.integers(len(palette), size=2)]
    return np.clip(one + (other - one) * rng.uniform(0, 0.5) + rng.normal(0, 8, 3), 0, 255)


def dye(rng: np.random.Generator) -> np.ndarray:
    """Draw any colour, more often a dull one; float [3], 0..255."""
    return np.clip(rng.uniform(15, 245) + rng.normal(0, rng.uniform(20, 110), 3), 0, 255)


def cloth(rng: np.random.Generator, size: int, ground: np.ndarray, contrast: float) -> np.ndarray:
    """Draw a blotchy, striped, checked or dotted texture on a ground colour, RGB uint8 [size, size, 3]."""
    kind, angle, waves = rng.integers(4), rng.uniform(0, np.pi), rng.uniform(3, 14)
    if kind == 0:
        weight = cv2.resize(rng.random((12, 12), np.float32), (64, 64), interpolation=cv2.INTER_CUBIC)
    else:
        steps = np.linspace(0, 2 * np.pi * waves, 64, dtype=np.float32)
        weight = np.sin(steps * np.cos(angle) + steps[:, None] * np.sin(angle))
        if kind > 1:
            weight = weight * np.sin(steps * np.sin(angle) - steps[:, None] * np.cos(angle))
        weight = weight * 4 - (kind == 3)
    ink = ground + (dye(rng) - ground) * contrast
    ramp = (ground + (ink - ground) * RAMP).astype(np.uint8)
    tile = cv2.applyColorMap(cv2.convertScaleAbs(np.maximum(weight, 0), alpha=255), ramp)
    return cv2.resize(tile, (size, size))


class Head(NamedTuple):
    """Half the width of a head in face coordinates, and the RGB colours of skin and hair, float [3], 0..255."""

    width: float
    skin: np.ndarray
    hair: np.ndarray


def head_outline(width: float, *, jaw: float, grow: float = 1.0) -> np.ndarray:
    """Return an oval that narrows by ``jaw``, 0..0.4, towards the chin; float [25, 2]."""
    outline = oval(0, 0, grow, grow)
    outline[:, 0] *= width * (1 - jaw * np.clip(outline[:, 1], 0, 1) ** 2)
    return outline


def pose(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw place, tilt and scale of the head as the frame of a `Pen`, float [2, 3]."""
    scale, tilt = size * rng.uniform(0.39, 0.49), np.radians(rng.normal(0, 7))
    x, y = size * (0.5 + rng.normal(0, 0.03, 2))
    across, down = scale * np.cos(tilt), scale * np.sin(tilt)
    return np.array([[across, -down, x], [down, across, y]])


def draw_body(rng: np.random.Generator, pen: Pen, head: Head) -> None:
    """Draw the shoulders in a shirt, and the neck."""
    width, neck = rng.uniform(1.2, 1.8), rng.uniform(0.32, 0.48)
    shoulders = oval(0, 2.4, width, rng.uniform(0.9, 1.2), 180, 360)
    shirt = cloth(rng, len(pen.image), dye(rng), rng.uniform(0, 1))
    pen.paint(np.concatenate([shoulders, [(width, 6), (-width, 6)]]), shirt)
    collar = arc(neck * 1.1, -neck * 1.1, 1.4, 0.35)
    pen.fill(np.concatenate([[(-neck, 0.5), (neck, 0.5)], collar]), shade(head.skin, 0.82))


def draw_eyes(rng: np.random.Generator, pen: Pen, head: Head) -> None:
    """Draw two eyes, open or shut, and the brows above."""
    apart, y, shut = rng.uniform(0.3, 0.38), rng.uniform(-0.2, -0.08), rng.random() < 0.07
    width, height, gaze = rng.uniform(0.11, 0.16), rng.uniform(0.03, 0.08), rng.normal(0, 0.025)
    lift, brow, iris = rng.uniform(-0.09, 0.02), rng.uniform(0.03, 0.08), shade(dye(rng), 0.6)
    for x in (-apart, apart):
        if not shut:
            pen.fill(oval(x, y, width, height), WHITE)
            pen.fill(oval(x + gaze, y, 0.06, min(0.06, height)), iris)
            pen.fill(oval(x + gaze, y, 0.028, 0.028), BLACK)
        pen.stroke(arc(x - width, x + width, y, height if shut else -height * 1.2), shade(head.skin, 0.35), 0.035)
        pen.stroke(arc(x - width * 1.3, x + width * 1.3, y - 0.16, lift), shade(head.hair, 0.8), brow)


def draw_nose_and_mouth(rng: np.random.Generator, pen: Pen, head: Head) -> None:
    """Draw the nose, then lips that are closed, smiling or open with teeth."""
    length, wing = rng.uniform(0.18, 0.34), rng.uniform(0.1, 0.17)
    pen.stroke(np.array([(0.04, -0.1), (wing * 0.7, length - 0.05), (wing, length)]), shade(head.skin, 0.78), 0.03)
    pen.stroke(arc(-wing, wing, length, 0.06), shade(head.skin, 0.62), 0.035)
    y, width, smile = rng.uniform(0.48, 0.6), rng.uniform(0.16, 0.32), rng.uniform(-0.05, 0.14)
    lips = np.clip(head.skin * (0.85, 0.6, 0.62) + rng.normal(0, 14, 3), 0, 255)
    if rng.random() < 0.35:
        gap = np.concatenate([arc(-width, width, y, 0), arc(width, -width, y, rng.uniform(0.1, 0.3))])
        pen.fill(gap, shade(lips, 0.35))
        pen.fill(arc(-width * 0.8, width * 0.8, y, 0.08), WHITE)
        pen.stroke(gap, lips, 0.045)
    else:
        upper, lower = arc(-width, width, y, smile - 0.05), arc(width, -width, y, smile + 0.07)
        pen.fill(np.concatenate([upper, lower]), lips)
        pen.stroke(arc(-width, width, y, smile), shade(lips, 0.5), 0.025)


def draw_beard(rng: np.random.Generator, pen: Pen, head: Head) -> None:
    """Draw no beard, a moustache, a goatee or a beard, from stubble to full."""
    kind, low = rng.integers(9), rng.uniform(1.0, 1.25)
    colour = head.skin + (head.hair - head.skin) * rng.uniform(0.3, 1)
    if kind in (0, 1):
        left, right = arc(-head.width * 0.8, -0.25, 0.25, 0.12), arc(0.25, head.width * 0.8, 0.25, 0.12)
        pen.fill(np.concatenate([[(-head.width, -0.05)], left, right, oval(0, 0, head.width, low, 0, 180)]), colour)
    if kind in (0, 2, 3):
        pen.fill(np.concatenate([arc(-0.33, 0.33, 0.46, -0.1), arc(0.33, -0.33, 0.5, -0.05)]), colour)
    if kind in (3, 4):
        pen.fill(oval(0, 0.85, rng.uniform(0.15, 0.35), low - 0.78), colour)


def draw_mask(rng: np.random.Generator, pen: Pen, head: Head) -> None:
    """Draw a surgical, cloth, FFP2 or skin-coloured mask and its straps; few are worn below the nose."""
    kind = rng.choice(["surgical", "cloth", "ffp2", "skin"], p=[0.6, 0.22, 0.15, 0.03])
    palette = {"surgical": SURGICAL, "ffp2": np.array([WHITE, WHITE, BLACK]), "skin": head.skin[None]}
    colour = tone(rng, palette[kind]) if kind in palette else shade(dye(rng), WARM)
    reach, cheek, side = head.width * rng.uniform(0.75, 0.95), rng.uniform(0.1, 0.25), rng.uniform(0.2, 0.45)
    nose, chin = rng.uniform(-0.06, 0.12) if rng.random() < 0.95 else 0.36, rng.uniform(0.95, 1.1)
    squareness = {"surgical": 3.0, "ffp2": 1.5}.get(kind, 2.2)
    jaw = cheek + side + (chin - cheek - side) * np.sqrt(1 - np.abs(OVAL_STEPS) ** squareness)
    top = np.array([OVAL_STEPS * reach, nose + (cheek - nose) * OVAL_STEPS**2]).T
    bottom = np.array([OVAL_STEPS * reach * 0.93, jaw]).T
    for end, ear in ((0, (-head.width, -0.1)), (-1, (head.width, -0.1))):
        pen.stroke(np.array([top[end], ear, bottom[end]]), shade(colour, 0.95), 0.025)
    pen = replace(pen, radius=head.width * rng.uniform(1.05, 1.2))  # the mask stands off the face
    outline, fold = np.concatenate([top, bottom[::-1], top[:1]]), shade(colour, 0.9)
    pen.fill(outline, colour)
    if kind == "cloth":
        pen.paint(outline, cloth(rng, len(pen.image), colour, rng.uniform(0, 1)))
    else:
        for down in {"surgical": (0.3, 0.5, 0.7), "ffp2": (0.4,), "skin": ()}[kind]:
            pen.stroke(top + (bottom - top) * down, fold, 0.03)
    if kind == "ffp2":
        pen.stroke(np.array([top[12], bottom[12]]), fold, 0.035)
    pen.stroke(outline, shade(colour, 0.84), 0.03)


def draw_glasses(rng: np.random.Generator, pen: Pen, head: Head) -> None:
    """Draw no glasses, glasses or sunglasses."""
    kind, colour = rng.random(), dye(rng) * 0.5
    if kind > 0.3:
        return
    lens, height, y = rng.uniform(0.2, 0.28), rng.uniform(0.14, 0.24), rng.uniform(-0.16, -0.08)
    for side in (-1, 1):
        rim = oval(side * 0.35, y, lens, height)
        if kind < 0.12:
            pen.fill(rim, shade(colour, 0.4))
        pen.stroke(rim, colour, 0.04)
        pen.stroke(np.array([(side * (0.35 + lens), y), (side * head.width, y - 0.03)]), colour, 0.04)
    pen.stroke(arc(lens - 0.35, 0.35 - lens, y, -0.05), colour, 0.04)


def draw_hair_behind(rng: np.random.Generator, pen: Pen, head: Head) -> None:
    """Draw the hair behind the head: none, long hair or a round mass."""
    kind = rng.random()
    if kind < 0.35:
        wide, low = head.width * rng.uniform(1.1, 1.4), rng.uniform(0.4, 1.7)
        fall = np.concatenate([oval(0, -0.15, wide, 1.0, 180, 360), [(wide, low), (-wide, low)]])
        pen.fill(fall, shade(head.hair, 0.8))
    elif kind < 0.45:
        pen.fill(oval(0, -0.35, head.width * rng.uniform(1.2, 1.6), rng.uniform(0.9, 1.1)), shade(head.hair, 0.85))


def draw_hair_and_hat(rng: np.random.Generator, pen: Pen, head: Head) -> None:
    """Draw the hair on the head, if there is any, and perhaps a hat, a cap or a hood over it."""
    kind, over, part = rng.random(), head.width * rng.uniform(1.0, 1.1), rng.uniform(-0.5, 0.5)
    line, sag, colour = rng.uniform(-0.7, -0.45), rng.uniform(-0.2, 0.1), dye(rng)
    if kind < 0.85:
        crown = oval(0, 0, over, rng.uniform(1.03, 1.2), 170, 370)
        pen.fill(np.concatenate([crown, arc(over, part, line, sag), arc(part, -over, line, sag)]), head.hair)
        for x in rng.uniform(-0.6, 0.6, 4):
            strand = np.array([(x, -0.95), (x * 1.2, line - 0.1)])
            pen.stroke(strand, shade(head.hair, rng.uniform(0.75, 1.4)), 0.03)
    if kind < 0.12:
        dome = oval(0, -0.4, over * 1.04, rng.uniform(0.7, 1.0), 180, 360)
        felt = cloth(rng, len(pen.image), colour, rng.uniform(0, 0.8))
        pen.paint(np.concatenate([dome, arc(over, -over, -0.4, -0.15)]), felt)
        if kind < 0.07:
            pen.stroke(arc(-over * 1.1, over * 1.1, -0.42, -0.1), shade(colour, 0.7), 0.12)
    elif kind > 0.95:
        pen.stroke(head_outline(head.width, jaw=0.1, grow=1.1), colour, 0.24)


def draw_scarf(rng: np.random.Generator, pen: Pen, head: Head) -> None:
    """Draw a scarf up to the chin, rarely up to the nose: then nobody can see whether there is a mask."""
    top, colour = rng.uniform(0.52, 0.9) if rng.random() < 0.93 else 0.0, dye(rng)
    wrap = [arc(-head.width * 1.05, head.width * 1.05, top, 0.12), oval(0, 1.2, head.width * 1.15, 0.6, 0, 180)]
    pen.paint(np.concatenate(wrap), cloth(rng, len(pen.image), colour, rng.uniform(0, 1)))
    for down in (0.15, 0.35):
        pen.stroke(arc(-head.width, head.width, top + down, 0.15), shade(colour, 0.75), 0.03)


def draw_hand(rng: np.random.Generator, pen: Pen, head: Head) -> None:
    """Draw a hand that comes from below, in front of the mouth or the chin."""
    side, x, y = rng.choice([-1, 1]), rng.normal(0, 0.17), rng.normal(0.75, 0.17)
    pen.fill(oval(x + side * 0.35, y + 0.3, 0.36, 0.42), shade(head.skin, 0.93))
    wrist = np.array([(0.1, 0.5), (0.6, 0.5), (1.1, 3), (0.5, 3)])
    pen.fill(wrist * (side, 1) + (x, y), shade(head.skin, 0.93))
    for finger in range(4):
        knuckle = np.array((x + side * (0.15 + 0.06 * finger), y + 0.05 + 0.14 * finger))
        bone = np.array([knuckle, knuckle - (side * rng.uniform(0.35, 0.55), rng.uniform(0, 0.15))])
        pen.stroke(bone, shade(head.skin, 0.62), 0.17)
        pen.stroke(bone, shade(head.skin, 0.97), 0.13)


def draw_person(rng: np.random.Generator, image: np.ndarray, *, mask_rng: np.random.Generator | None) -> None:
    """Draw a person on an image, RGB uint8 [size, size, 3], in place; ``mask_rng`` draws the mask, None draws none."""
    width, jaw = rng.uniform(0.68, 0.84), rng.uniform(0.1, 0.4)
    head = Head(width, skin=tone(rng, SKINS), hair=tone(rng, HAIRS))
    flat = Pen(image, pose(rng, len(image)), width)
    turned = replace(flat, yaw=float(np.clip(rng.normal(0, 0.17), -0.6, 0.6)))
    draw_body(rng, flat, head)
    draw_hair_behind(rng, flat, head)
    for side in (-1, 1):
        turned.fill(oval(side * width, 0, 0.12, 0.2), shade(head.skin, 0.88))
    flat.fill(head_outline(width, jaw=jaw), head.skin)
    draw_eyes(rng, turned, head)
    draw_beard(rng, turned, head)
    draw_nose_and_mouth(rng, turned, head)
    if mask_rng is not None:
        draw_mask(mask_rng, turned, head)
    draw_glasses(rng, turned, head)
    draw_hair_and_hat(rng, flat, head)
    in_front = rng.random()
    if in_front < 0.12:
        draw_scarf(rng, flat, head)
    elif in_front < 0.21:
        draw_hand(rng, flat, head)
