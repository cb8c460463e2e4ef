"""A synthetic data set: cartoon faces with and without a mask, a pure function of their seed.

It exists to prove that the program runs (training, evaluation, reports, tests) on a machine without the
photographs. It proves nothing about masks: no figure measured on it says anything about real faces.

A face is drawn in face coordinates: the head's centre is (0, 0), its half-height 1, x points right, y down.
``Pen`` turns the head, places it in the picture and draws there. Everything but the mask comes from random
streams that never see the class, and the camera gives every picture a mean colour drawn beforehand, so that
neither size, brightness, background nor noise gives the class away.
"""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from maskcls.cores import in_threads

DRAWING_VERSION = 1  # change it when the images of a seed change
CLASSES = ("WithMask", "WithoutMask")
SIDES = (72, 224)  # the smallest and the largest side length in pixels, both included

# RGB, 0..255
SKINS = np.array([(255, 222, 200), (241, 194, 160), (224, 172, 130), (190, 130, 92), (84, 54, 40)])
HAIRS = np.array([(20, 18, 20), (60, 38, 26), (105, 68, 40), (205, 165, 95), (160, 70, 35), (170, 168, 165)])
WHITE, BLACK, BLUE = np.array((245, 243, 238)), np.array((22, 20, 22)), np.array((150, 195, 225))
SURGICAL = np.array([BLUE, BLUE, WHITE, BLACK, (240, 185, 200), (150, 215, 195), (240, 185, 145)])
WARM = np.array((1.25, 0.9, 0.7))  # makes cloth masks as warm as skin: else their mean colour would tell

OVAL_STEPS, ARC_STEPS = np.linspace(-1, 1, 25), np.linspace(-1, 1, 9)
RAMP = np.linspace(0, 1, 256)[:, None, None]
THREADS = 2  # more would only wait for Python's lock


@dataclass(frozen=True)
class Pen:
    """Draws on an image in face coordinates.

    Attributes:
        image: RGB uint8 [size, size, 3], drawn on in place.
        frame: float [2, 3], from face coordinates to pixels.
        radius: radius of the upright cylinder that the shapes lie on.
        yaw: angle in radians by which the cylinder is turned; positive is towards the picture's right.
    """

    image: np.ndarray
    frame: np.ndarray
    radius: float
    yaw: float = 0.0

    def place(self, points: np.ndarray) -> np.ndarray:
        """Returns points [n, 2] as int32 [n, 2] in sixteenths of a pixel."""
        if self.yaw:
            x = points[:, 0]
            near = np.minimum(np.maximum(x, -self.radius), self.radius)
            angle = np.minimum(np.maximum(np.arcsin(near / self.radius) + self.yaw, -np.pi / 2), np.pi / 2)
            points = np.array([self.radius * np.sin(angle) + x - near, points[:, 1]]).T
        return np.rint(cv2.transform(points[None], self.frame * 16)[0]).astype(np.int32)

    def fill(self, points: np.ndarray, colour: np.ndarray) -> None:
        """Fills the polygon points [n, 2] with an RGB colour."""
        cv2.fillPoly(self.image, [self.place(points)], colour.tolist(), cv2.LINE_AA, 4)

    def stroke(self, points: np.ndarray, colour: np.ndarray, width: float) -> None:
        """Draws the line through points [n, 2], ``width`` wide in face coordinates."""
        thickness = max(1, round(width * float(np.hypot(*self.frame[:, 0]))))
        cv2.polylines(self.image, [self.place(points)], False, colour.tolist(), thickness, cv2.LINE_AA, 4)

    def paint(self, points: np.ndarray, texture: np.ndarray) -> None:
        """Fills the polygon points [n, 2] with a texture, RGB uint8 of the image's shape."""
        stencil = np.zeros(self.image.shape[:2], np.uint8)
        cv2.fillPoly(stencil, [self.place(points)], 255, cv2.LINE_8, 4)
        cv2.copyTo(texture, stencil, self.image)


def oval(x: float, y: float, width: float, height: float, start: float = 0, end: float = 360) -> np.ndarray:
    """Returns float [25, 2]: an ellipse's arc, in degrees, about (x, y) with half-axes width and height."""
    angle = np.radians(start + (end - start) * (OVAL_STEPS + 1) / 2)
    return np.array([x + width * np.cos(angle), y + height * np.sin(angle)]).T


def arc(left: float, right: float, y: float, sag: float) -> np.ndarray:
    """Returns float [9, 2]: a parabola from (left, y) to (right, y) whose middle hangs ``sag`` lower."""
    return np.array([left + (right - left) * (ARC_STEPS + 1) / 2, y + sag * (1 - ARC_STEPS**2)]).T


def shade(colour: np.ndarray, factor: float | np.ndarray) -> np.ndarray:
    """Returns the RGB colour times ``factor``, within 0..255."""
    return np.clip(colour * factor, 0, 255)


def tone(rng: np.random.Generator, palette: np.ndarray) -> np.ndarray:
    """Returns a colour near one of, or between two of, the palette [n, 3]; float [3], 0..255."""
    one, other = palette[rng.integers(len(palette), size=2)]
    return np.clip(one + (other - one) * rng.uniform(0, 0.5) + rng.normal(0, 8, 3), 0, 255)


def dye(rng: np.random.Generator) -> np.ndarray:
    """Returns any colour, mostly a dull one; float [3], 0..255."""
    return np.clip(rng.uniform(15, 245) + rng.normal(0, rng.uniform(20, 110), 3), 0, 255)


def cloth(rng: np.random.Generator, size: int, ground: np.ndarray, contrast: float) -> np.ndarray:
    """Returns a blotchy, striped, checked or dotted texture on a ground colour, RGB uint8 [size, size, 3]."""
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


def backdrop(rng: np.random.Generator, size: int) -> np.ndarray:
    """Returns what stands behind the person: a gradient, blotches or a pattern, with or without objects."""
    if rng.random() < 0.25:
        image = cloth(rng, size, dye(rng), rng.uniform(0.2, 1))
    else:
        cells = rng.integers(2, 9)
        spots = dye(rng) + rng.normal(0, 30, (cells, cells, 1)) + rng.normal(0, 35, (cells, cells, 3))
        image = cv2.resize(np.clip(spots, 0, 255).astype(np.uint8), (size, size))
    for _ in range(rng.integers(0, 7)):
        corners = rng.uniform(-0.2, 1.2, 2) + rng.normal(0, 0.25, (rng.integers(3, 6), 2))
        cv2.fillPoly(image, [np.rint(corners * size).astype(np.int32)], dye(rng).tolist(), cv2.LINE_AA)
    return image


def pose(rng: np.random.Generator, size: int) -> np.ndarray:
    """Returns the frame of a pen, float [2, 3]: where the head is, its tilt and its scale in pixels."""
    scale, tilt = size * rng.uniform(0.39, 0.49), np.radians(rng.normal(0, 7))
    x, y = size * (0.5 + rng.normal(0, 0.03, 2))
    across, down = scale * np.cos(tilt), scale * np.sin(tilt)
    return np.array([[across, -down, x], [down, across, y]])


def head_outline(width: float, jaw: float, grow: float = 1.0) -> np.ndarray:
    """Returns float [25, 2]: an oval that narrows by ``jaw`` (0..0.4) towards the chin."""
    outline = oval(0, 0, grow, grow)
    outline[:, 0] *= width * (1 - jaw * np.clip(outline[:, 1], 0, 1) ** 2)
    return outline


def draw_body(rng: np.random.Generator, pen: Pen, skin: np.ndarray) -> None:
    """Draws the shoulders in a shirt, and the neck."""
    width, neck = rng.uniform(1.2, 1.8), rng.uniform(0.32, 0.48)
    shoulders = oval(0, 2.4, width, rng.uniform(0.9, 1.2), 180, 360)
    shirt = cloth(rng, len(pen.image), dye(rng), rng.uniform(0, 1))
    pen.paint(np.concatenate([shoulders, [(width, 6), (-width, 6)]]), shirt)
    collar = arc(neck * 1.1, -neck * 1.1, 1.4, 0.35)
    pen.fill(np.concatenate([[(-neck, 0.5), (neck, 0.5)], collar]), shade(skin, 0.82))


def draw_eyes(rng: np.random.Generator, pen: Pen, skin: np.ndarray, hair: np.ndarray) -> None:
    """Draws two eyes, open or shut, and the brows above."""
    apart, y, shut = rng.uniform(0.3, 0.38), rng.uniform(-0.2, -0.08), rng.random() < 0.07
    width, height, gaze = rng.uniform(0.11, 0.16), rng.uniform(0.03, 0.08), rng.normal(0, 0.025)
    lift, brow, iris = rng.uniform(-0.09, 0.02), rng.uniform(0.03, 0.08), shade(dye(rng), 0.6)
    for x in (-apart, apart):
        if not shut:
            pen.fill(oval(x, y, width, height), WHITE)
            pen.fill(oval(x + gaze, y, 0.06, min(0.06, height)), iris)
            pen.fill(oval(x + gaze, y, 0.028, 0.028), BLACK)
        pen.stroke(arc(x - width, x + width, y, height if shut else -height * 1.2), shade(skin, 0.35), 0.035)
        pen.stroke(arc(x - width * 1.3, x + width * 1.3, y - 0.16, lift), shade(hair, 0.8), brow)


def draw_nose_and_mouth(rng: np.random.Generator, pen: Pen, skin: np.ndarray) -> None:
    """Draws the nose, then lips that are closed, smiling or open with teeth."""
    length, wing = rng.uniform(0.18, 0.34), rng.uniform(0.1, 0.17)
    pen.stroke(np.array([(0.04, -0.1), (wing * 0.7, length - 0.05), (wing, length)]), shade(skin, 0.78), 0.03)
    pen.stroke(arc(-wing, wing, length, 0.06), shade(skin, 0.62), 0.035)
    y, width, smile = rng.uniform(0.48, 0.6), rng.uniform(0.16, 0.32), rng.uniform(-0.05, 0.14)
    lips = np.clip(skin * (0.85, 0.6, 0.62) + rng.normal(0, 14, 3), 0, 255)
    if rng.random() < 0.35:
        gap = np.concatenate([arc(-width, width, y, 0), arc(width, -width, y, rng.uniform(0.1, 0.3))])
        pen.fill(gap, shade(lips, 0.35))
        pen.fill(arc(-width * 0.8, width * 0.8, y, 0.08), WHITE)
        pen.stroke(gap, lips, 0.045)
    else:
        upper, lower = arc(-width, width, y, smile - 0.05), arc(width, -width, y, smile + 0.07)
        pen.fill(np.concatenate([upper, lower]), lips)
        pen.stroke(arc(-width, width, y, smile), shade(lips, 0.5), 0.025)


def draw_beard(rng: np.random.Generator, pen: Pen, width: float, skin: np.ndarray, hair: np.ndarray) -> None:
    """Draws nothing, a moustache, a goatee, or a beard from stubble to full."""
    kind, low = rng.integers(9), rng.uniform(1.0, 1.25)
    colour = skin + (hair - skin) * rng.uniform(0.3, 1)
    if kind in (0, 1):
        left, right = arc(-width * 0.8, -0.25, 0.25, 0.12), arc(0.25, width * 0.8, 0.25, 0.12)
        pen.fill(np.concatenate([[(-width, -0.05)], left, right, oval(0, 0, width, low, 0, 180)]), colour)
    if kind in (0, 2, 3):
        pen.fill(np.concatenate([arc(-0.33, 0.33, 0.46, -0.1), arc(0.33, -0.33, 0.5, -0.05)]), colour)
    if kind in (3, 4):
        pen.fill(oval(0, 0.85, rng.uniform(0.15, 0.35), low - 0.78), colour)


def draw_mask(rng: np.random.Generator, pen: Pen, width: float, skin: np.ndarray) -> None:
    """Draws a surgical, cloth, FFP2 or skin-coloured mask and its straps; few are worn below the nose."""
    kind = rng.choice(["surgical", "cloth", "ffp2", "skin"], p=[0.6, 0.22, 0.15, 0.03])
    palette = {"surgical": SURGICAL, "ffp2": np.array([WHITE, WHITE, BLACK]), "skin": skin[None]}
    colour = tone(rng, palette[kind]) if kind in palette else shade(dye(rng), WARM)
    reach, cheek, side = width * rng.uniform(0.75, 0.95), rng.uniform(0.1, 0.25), rng.uniform(0.2, 0.45)
    nose, chin = rng.uniform(-0.06, 0.12) if rng.random() < 0.95 else 0.36, rng.uniform(0.95, 1.1)
    squareness = {"surgical": 3.0, "ffp2": 1.5}.get(kind, 2.2)
    jaw = cheek + side + (chin - cheek - side) * np.sqrt(1 - np.abs(OVAL_STEPS) ** squareness)
    top = np.array([OVAL_STEPS * reach, nose + (cheek - nose) * OVAL_STEPS**2]).T
    bottom = np.array([OVAL_STEPS * reach * 0.93, jaw]).T
    for end, ear in ((0, (-width, -0.1)), (-1, (width, -0.1))):
        pen.stroke(np.array([top[end], ear, bottom[end]]), shade(colour, 0.95), 0.025)
    pen = replace(pen, radius=width * rng.uniform(1.05, 1.2))  # the mask stands off the face
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


def draw_glasses(rng: np.random.Generator, pen: Pen, width: float) -> None:
    """Draws no glasses, glasses or sunglasses."""
    kind, colour = rng.random(), dye(rng) * 0.5
    if kind > 0.3:
        return
    lens, height, y = rng.uniform(0.2, 0.28), rng.uniform(0.14, 0.24), rng.uniform(-0.16, -0.08)
    for side in (-1, 1):
        rim = oval(side * 0.35, y, lens, height)
        if kind < 0.12:
            pen.fill(rim, shade(colour, 0.4))
        pen.stroke(rim, colour, 0.04)
        pen.stroke(np.array([(side * (0.35 + lens), y), (side * width, y - 0.03)]), colour, 0.04)
    pen.stroke(arc(lens - 0.35, 0.35 - lens, y, -0.05), colour, 0.04)


def draw_hair_behind(rng: np.random.Generator, pen: Pen, width: float, hair: np.ndarray) -> None:
    """Draws what of the hair lies behind the head: nothing, long hair or a round mass."""
    kind = rng.random()
    if kind < 0.35:
        wide, low = width * rng.uniform(1.1, 1.4), rng.uniform(0.4, 1.7)
        fall = np.concatenate([oval(0, -0.15, wide, 1.0, 180, 360), [(wide, low), (-wide, low)]])
        pen.fill(fall, shade(hair, 0.8))
    elif kind < 0.45:
        pen.fill(oval(0, -0.35, width * rng.uniform(1.2, 1.6), rng.uniform(0.9, 1.1)), shade(hair, 0.85))


def draw_hair_and_hat(rng: np.random.Generator, pen: Pen, width: float, hair: np.ndarray) -> None:
    """Draws the hair on the head, if any, and over it perhaps a hat, a cap or a hood."""
    kind, over, part = rng.random(), width * rng.uniform(1.0, 1.1), rng.uniform(-0.5, 0.5)
    line, sag, colour = rng.uniform(-0.7, -0.45), rng.uniform(-0.2, 0.1), dye(rng)
    if kind < 0.85:
        crown = oval(0, 0, over, rng.uniform(1.03, 1.2), 170, 370)
        pen.fill(np.concatenate([crown, arc(over, part, line, sag), arc(part, -over, line, sag)]), hair)
        for x in rng.uniform(-0.6, 0.6, 4):
            strand = np.array([(x, -0.95), (x * 1.2, line - 0.1)])
            pen.stroke(strand, shade(hair, rng.uniform(0.75, 1.4)), 0.03)
    if kind < 0.12:
        dome = oval(0, -0.4, over * 1.04, rng.uniform(0.7, 1.0), 180, 360)
        felt = cloth(rng, len(pen.image), colour, rng.uniform(0, 0.8))
        pen.paint(np.concatenate([dome, arc(over, -over, -0.4, -0.15)]), felt)
        if kind < 0.07:
            pen.stroke(arc(-over * 1.1, over * 1.1, -0.42, -0.1), shade(colour, 0.7), 0.12)
    elif kind > 0.95:
        pen.stroke(head_outline(width, 0.1, 1.1), colour, 0.24)


def draw_scarf(rng: np.random.Generator, pen: Pen, width: float) -> None:
    """Draws a scarf up to the chin, rarely up to the nose: then nobody knows what is underneath."""
    top, colour = rng.uniform(0.52, 0.9) if rng.random() < 0.93 else 0.0, dye(rng)
    wrap = [arc(-width * 1.05, width * 1.05, top, 0.12), oval(0, 1.2, width * 1.15, 0.6, 0, 180)]
    pen.paint(np.concatenate(wrap), cloth(rng, len(pen.image), colour, rng.uniform(0, 1)))
    for down in (0.15, 0.35):
        pen.stroke(arc(-width, width, top + down, 0.15), shade(colour, 0.75), 0.03)


def draw_hand(rng: np.random.Generator, pen: Pen, skin: np.ndarray) -> None:
    """Draws a hand that comes from below, in front of the mouth or the chin."""
    side, x, y = rng.choice([-1, 1]), rng.normal(0, 0.17), rng.normal(0.75, 0.17)
    pen.fill(oval(x + side * 0.35, y + 0.3, 0.36, 0.42), shade(skin, 0.93))
    wrist = np.array([(0.1, 0.5), (0.6, 0.5), (1.1, 3), (0.5, 3)])
    pen.fill(wrist * (side, 1) + (x, y), shade(skin, 0.93))
    for finger in range(4):
        knuckle = np.array((x + side * (0.15 + 0.06 * finger), y + 0.05 + 0.14 * finger))
        bone = np.array([knuckle, knuckle - (side * rng.uniform(0.35, 0.55), rng.uniform(0, 0.15))])
        pen.stroke(bone, shade(skin, 0.62), 0.17)
        pen.stroke(bone, shade(skin, 0.97), 0.13)


def draw_person(rng: np.random.Generator, image: np.ndarray, mask_rng: np.random.Generator | None) -> None:
    """Draws a person in place on the image, RGB uint8 [size, size, 3]; with a mask if it has a generator."""
    width, jaw = rng.uniform(0.68, 0.84), rng.uniform(0.1, 0.4)
    skin, hair = tone(rng, SKINS), tone(rng, HAIRS)
    flat = Pen(image, pose(rng, len(image)), width)
    turned = replace(flat, yaw=float(np.clip(rng.normal(0, 0.17), -0.6, 0.6)))
    draw_body(rng, flat, skin)
    draw_hair_behind(rng, flat, width, hair)
    for side in (-1, 1):
        turned.fill(oval(side * width, 0, 0.12, 0.2), shade(skin, 0.88))
    flat.fill(head_outline(width, jaw), skin)
    draw_eyes(rng, turned, skin, hair)
    draw_beard(rng, turned, width, skin, hair)
    draw_nose_and_mouth(rng, turned, skin)
    if mask_rng is not None:
        draw_mask(mask_rng, turned, width, skin)
    draw_glasses(rng, turned, width)
    draw_hair_and_hat(rng, flat, width, hair)
    in_front = rng.random()
    if in_front < 0.12:
        draw_scarf(rng, flat, width)
    elif in_front < 0.21:
        draw_hand(rng, flat, skin)


def blurred(rng: np.random.Generator, image: np.ndarray, hopeless: bool) -> np.ndarray:
    """Returns the image out of focus, shaken, or enlarged from fewer pixels, often none of it."""
    size, kind = len(image), rng.random()
    if kind < 0.4 or hopeless:
        image = cv2.GaussianBlur(image, (0, 0), 0.2 + size / 224 * (rng.gamma(1.2, 0.9) + 5 * hopeless))
    elif kind < 0.6:
        shake = np.zeros((9, 9), np.float32)
        cv2.line(shake, rng.integers(0, 9, 2).tolist(), (4, 4), 1.0)
        image = cv2.filter2D(image, -1, shake / shake.sum())
    if rng.random() < 0.4:
        few = round(size * rng.uniform(0.25, 0.9))
        image = cv2.resize(cv2.resize(image, (few, few), interpolation=cv2.INTER_AREA), (size, size))
    return image


def exposed(rng: np.random.Generator, image: np.ndarray, hopeless: bool) -> np.ndarray:
    """Returns the image with a random contrast, and a random mean colour whatever it shows."""
    target = rng.uniform(75, 175) * rng.normal((1.1, 1.0, 0.92), 0.05)
    contrast = rng.uniform(0.85, 1.35) * (0.2 if hopeless else 1)
    # a curve gets near the target without clipping, a shift takes out the rest
    gamma = np.log(target / 255) / np.log((np.array(cv2.mean(image)[:3]) + 1) / 257)
    image = cv2.LUT(image, (255 * RAMP**gamma).astype(np.uint8))
    table = target + contrast * (255 * RAMP - cv2.mean(image)[:3])
    return cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8))


def photograph(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Returns the image, RGB uint8 [size, size, 3], lit, blurred, exposed, noisy and perhaps JPEG-coded."""
    hopeless = rng.random() < 0.012  # nobody could tell the class
    lamps = np.repeat(rng.integers(110, 256, (2, 2, 1), np.uint8), 3, axis=2)
    image = cv2.multiply(image, cv2.resize(lamps, image.shape[:2]), scale=1 / 255)
    image = exposed(rng, blurred(rng, image, hopeless), hopeless)
    noise, grain = rng.integers(0, 256, image.shape, np.uint8), rng.gamma(1.5, 0.035)
    image = cv2.addWeighted(image, 1, noise, grain, -127.5 * grain)
    if rng.random() < 0.6:
        code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 95))])[1]
        image = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
    return image


def draw_face(rng: np.random.Generator, masked: bool, size: int) -> np.ndarray:
    """Draws one face, all of it random but whether it wears a mask.

    Args:
        rng: advanced by four draws; from the same state a masked and a bare face differ by the mask only.
        masked: whether the face wears a mask.
        size: side length in pixels.

    Returns:
        The picture, RGB uint8 [size, size, 3].
    """
    scene, person, mask, camera = (np.random.default_rng(key) for key in rng.integers(2**63, size=4))
    image = backdrop(scene, size)
    draw_person(person, image, mask if masked else None)
    return photograph(camera, image)


def write_image(root: Path, seed: int, split: str, label: int, number: int) -> None:
    """Draws and writes ``root/split/CLASSES[label]/number.png``, which depends on these arguments only."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(split.encode()), label, number]))
    side = int(rng.integers(SIDES[0], SIDES[1], endpoint=True))
    image = draw_face(rng, masked=CLASSES[label] == "WithMask", size=side)
    path = root / split / CLASSES[label] / f"{number}.png"
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())


def write_dataset(root: Path, seed: int, counts: dict[str, int], progress: bool = False) -> None:
    """Writes ``root/SPLIT/CLASS/N.png``, N counting from 0 in each folder.

    Args:
        root: the data set's folder, made here if need be.
        seed: not negative; picture N of a folder depends on it, the split's and the class's name, and N only.
        counts: number of pictures of each split ("Train", "Validation", "Test"), halved between the classes;
            the first class gets the odd one.
        progress: whether to show a progress bar.
    """
    jobs = []
    for split, count in counts.items():
        for label, name in enumerate(CLASSES):
            (root / split / name).mkdir(parents=True, exist_ok=True)
            jobs += [(split, label, number) for number in range((count + 1 - label) // 2)]
    with in_threads(lambda job: write_image(root, seed, *job), jobs, THREADS) as written:
        for _ in tqdm(written, "drawing faces", len(jobs), disable=None if progress else True, unit="image"):
            pass
