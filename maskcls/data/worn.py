"""Draws masks onto photographed bare faces. `maskcls.data.obstacles` draws what else may be in front of a face."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from maskcls.data.drawing import BLACK, OVAL_STEPS, SURGICAL, WHITE, Pen, cloth, dye, oval, shade, tone

# where the eyes, the tip of the nose and the corners of the mouth are in the face coordinates of `Pen`
EYES_X, EYES_Y, MOUTH_Y = 0.34, -0.14, 0.55
# half the width of a head, and how far the eyes, the mouth and the tip of the nose are in front of its axis
HEAD, EYES_Z, MOUTH_Z, NOSE_Z = 0.76, 0.59, 0.68, 1.0
# where the tip of the nose is between the eyes, 0, and the mouth, 1
NOSE_DOWN = 0.55
# kinds of masks and how common they are; colours that are usual for some
KINDS = {"surgical": 0.4, "cloth": 0.22, "ffp2": 0.13, "plain": 0.16, "bandana": 0.05, "skin": 0.04}
USUAL = {
    "surgical": SURGICAL,
    "ffp2": np.array([WHITE, WHITE, WHITE, BLACK, BLACK]),
    "plain": np.array([BLACK, BLACK, WHITE]),
}
# powers of the light with which a mask darkens in a dark photograph, and their mean
POWERS, MEAN_POWER = (0.3, 1.0), 0.65
# largest angle, in radians, to which a head is thought to be turned
MAX_YAW = 0.9


@dataclass(frozen=True)
class Pose:
    """Where a head is in a picture.

    Attributes:
        frame: float [2, 3], the affine map from face coordinates to pixels, see `Pen`.
        yaw: angle in radians by which the head is turned, positive towards the right of the picture.
    """

    frame: np.ndarray
    yaw: float

    @property
    def scale(self) -> float:
        """Pixels that are 1 in face coordinates: half the height of the head."""
        return float(np.hypot(*self.frame[:, 0]))


def pose_of(landmarks: np.ndarray) -> Pose:
    """Estimate the pose of a head.

    Args:
        landmarks: float [5, 2], pixel coordinates of the eye on the left of the picture, the other eye, the tip of the
            nose, the corner of the mouth on the left, and the other one.
    """
    eyes, mouth = landmarks[:2].mean(axis=0), landmarks[3:].mean(axis=0)
    across = landmarks[1] - landmarks[0] + landmarks[4] - landmarks[3]
    right = across / max(float(np.hypot(*across)), 1e-6)
    down = np.array([-right[1], right[0]])
    height = max(float((mouth - eyes) @ down), 1.0) / (MOUTH_Y - EYES_Y)
    behind_nose = eyes + (mouth - eyes) * NOSE_DOWN
    depth = NOSE_Z - (EYES_Z + (MOUTH_Z - EYES_Z) * NOSE_DOWN)
    yaw = float(np.arcsin(np.clip((landmarks[2] - behind_nose) @ right / height / depth, -1, 1)))
    yaw = float(np.clip(yaw, -MAX_YAW, MAX_YAW))
    width = float(np.hypot(*(landmarks[1] - landmarks[0]))) / (2 * EYES_X * np.cos(yaw))
    scale = (height + width) / 2
    centre = eyes - right * EYES_Z * np.sin(yaw) * scale - down * EYES_Y * scale
    return Pose(np.column_stack((right * scale, down * scale, centre)), yaw)


class Layer:
    """A transparent sheet over a picture: what is drawn on it is laid over the picture in one go.

    Args:
        image: the picture, RGB uint8 [height, width, 3].
        pose: the pose of the head in it.
        radius: see `Pen`.
    """

    def __init__(self, image: np.ndarray, pose: Pose, radius: float = HEAD) -> None:
        self.image, self.pose = image, pose
        self.colours = Pen(image.copy(), pose.frame, radius, pose.yaw)
        self.cover = Pen(np.zeros_like(image), pose.frame, radius, pose.yaw)

    def fill(self, points: np.ndarray, colour: np.ndarray) -> None:
        """Fill a polygon, see `Pen.fill`."""
        self.colours.fill(points, colour)
        self.cover.fill(points, np.full(3, 255.0))

    def stroke(self, points: np.ndarray, colour: np.ndarray, width: float) -> None:
        """Draw a line, see `Pen.stroke`."""
        self.colours.stroke(points, colour, width)
        self.cover.stroke(points, np.full(3, 255.0), width)

    def paint(self, points: np.ndarray, texture: np.ndarray) -> None:
        """Fill a polygon with a texture, see `Pen.paint`."""
        self.colours.paint(points, texture)
        self.cover.fill(points, np.full(3, 255.0))

    def laid(self, rng: np.random.Generator) -> np.ndarray:
        """Lay the sheet over the picture, in the light of the picture; ``rng`` draws how soft its edges are.

        Returns:
            A new image, RGB uint8 [height, width, 3].
        """
        light = light_of(rng, self.image, self.pose)
        softness = self.pose.scale * rng.uniform(0, 0.04)
        cover = self.cover.image
        if softness > 0.2:  # pixels; less changes nothing
            cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), softness), np.uint8)
        cover = cover / np.float32(255)
        laid = self.image * (1 - cover) + self.colours.image * light * cover
        return np.clip(laid, 0, 255).astype(np.uint8)


def light_of(rng: np.random.Generator, image: np.ndarray, pose: Pose) -> np.ndarray:
    """Estimate from a face how its light differs from place to place; float [height, width, 1], about 1."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    smooth = cv2.GaussianBlur(grey, (0, 0), max(1.0, pose.scale * rng.uniform(0.2, 0.4)))
    x, y = np.clip(pose.frame @ (0, 0.3, 1), 0, np.array(grey.shape[::-1]) - 1).astype(int)
    relative = np.clip(smooth / max(smooth[y, x], 8.0), 0.4, 1.6)
    light: np.ndarray = relative ** rng.uniform(0.4, 1.1) * level_of(smooth[y, x]) ** rng.uniform(*POWERS)
    return light[:, :, None]


def level_of(grey: float) -> float:
    """How bright the light is, as a share of ordinary light, if a face has this grey level, 0..255."""
    return float(np.clip(grey / 140, 0.35, 1.15))


def skin_of(image: np.ndarray, pose: Pose) -> np.ndarray:
    """Return the colour that the skin between the eyes and the mouth has in ordinary light, RGB float [3], 0..255."""
    points = np.array([(-0.28, 0.18, 1), (0.28, 0.18, 1), (0, 0.1, 1), (0, -0.42, 1)]) @ pose.frame.T
    height, width = image.shape[:2]
    pixels = np.clip(np.rint(points), 0, (width - 1, height - 1)).astype(int)
    seen: np.ndarray = np.median(image[pixels[:, 1], pixels[:, 0]].astype(float), axis=0)
    return np.clip(seen / level_of(float(seen.mean())) ** MEAN_POWER, 0, 255)


def texture(rng: np.random.Generator, image: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Draw a cloth of a ground colour with a random contrast, of the shape of an image."""
    height, width = image.shape[:2]
    return np.ascontiguousarray(cloth(rng, max(height, width), colour, rng.uniform(0.1, 1))[:height, :width])


class Mask(NamedTuple):
    """A mask in face coordinates.

    Attributes:
        kind: surgical, cloth, ffp2, plain, bandana or skin.
        colour: RGB, float [3], 0..255.
        top: its upper edge from left to right, float [25, 2].
        bottom: its lower edge, float [25, 2].
    """

    kind: str
    colour: np.ndarray
    top: np.ndarray
    bottom: np.ndarray

    def row(self, down: float) -> np.ndarray:
        """Return the line from left to right that lies ``down``, 0..1, between the edges; float [25, 2]."""
        return self.top + (self.bottom - self.top) * down


def draw_cut(rng: np.random.Generator, skin: np.ndarray) -> Mask:
    """Draw the kind, the colour and the shape of a mask for a face of a colour."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    reach, side = HEAD * rng.uniform(0.8, 1.0), rng.uniform(0.25, 0.5)
    nose, cheek, chin = rng.uniform(-0.06, 0.18), rng.uniform(0.08, 0.34), rng.uniform(0.9, 1.2)
    squareness = {"surgical": rng.uniform(2, 3.5), "ffp2": rng.uniform(1.2, 2)}.get(kind, rng.uniform(1.6, 2.6))
    peak = rng.uniform(1.2, 2.4)  # from pointed to round over the nose
    jaw = cheek + side + max(chin - cheek - side, 0.1) * np.sqrt(1 - np.abs(OVAL_STEPS) ** squareness)
    narrow = rng.uniform(0.85, 0.97)
    if kind == "bandana":
        jaw, narrow = jaw + rng.uniform(0.2, 0.7), rng.uniform(0.8, 1.1)
    top = np.array([OVAL_STEPS * reach, nose + (cheek - nose) * np.abs(OVAL_STEPS) ** peak]).T
    return Mask(kind, _colour(rng, kind, skin), top, np.array([OVAL_STEPS * reach * narrow, jaw]).T)


def _colour(rng: np.random.Generator, kind: str, skin: np.ndarray) -> np.ndarray:
    if kind == "skin":
        return shade(skin, rng.uniform(0.8, 1.25))
    if kind in USUAL and rng.random() < 0.75:
        return tone(rng, USUAL[kind])
    return dye(rng)


def wear_mask(rng: np.random.Generator, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Draw a mask onto a bare face.

    Args:
        rng: draws the shape, the material and the light.
        image: RGB uint8 [height, width, 3].
        landmarks: see `pose_of`.

    Returns:
        A new image of the same shape.
    """
    pose = pose_of(landmarks)
    mask = draw_cut(rng, skin_of(image, pose))
    sheet = Layer(image, pose, HEAD * rng.uniform(1.02, 1.2))  # the mask stands off the face
    if rng.random() < 0.75:  # else hidden by hair
        _draw_straps(rng, sheet, mask)
    outline = np.concatenate([mask.top, mask.bottom[::-1], mask.top[:1]])
    if mask.kind in ("cloth", "bandana"):
        sheet.paint(outline, texture(rng, image, mask.colour))
    else:
        sheet.fill(outline, mask.colour)
    _draw_folds(rng, sheet, mask)
    _draw_details(rng, sheet, mask)
    return sheet.laid(rng)


def _draw_straps(rng: np.random.Generator, sheet: Layer, mask: Mask) -> None:
    strap = WHITE if rng.random() < 0.5 else shade(mask.colour, rng.uniform(0.7, 1.1))
    lift, bow = rng.uniform(-0.45, 0.05), HEAD * rng.uniform(1.0, 1.35)
    for end, sign in ((0, -1), (-1, 1)):
        ear = np.array([(sign * bow, lift), (sign * bow, lift + 0.35)])
        sheet.stroke(np.array([mask.top[end], *ear, mask.bottom[end]]), strap, rng.uniform(0.015, 0.05))


def _draw_folds(rng: np.random.Generator, sheet: Layer, mask: Mask) -> None:
    """Draw the pleats of a surgical mask, or the seam of others."""
    if mask.kind == "surgical":
        for down in np.linspace(0.25, 0.75, rng.integers(2, 5)) + rng.normal(0, 0.03):
            sheet.stroke(mask.row(down), shade(mask.colour, rng.uniform(0.75, 0.95)), rng.uniform(0.01, 0.04))
            sheet.stroke(mask.row(down + 0.04), shade(mask.colour, rng.uniform(1.0, 1.1)), 0.02)
    elif mask.kind == "ffp2" or rng.random() < 0.35:
        shift = rng.integers(-1, 2)
        seam = np.array([mask.top[12 + shift], mask.row(0.5)[12], mask.bottom[12 - shift]])
        sheet.stroke(seam, shade(mask.colour, rng.uniform(0.7, 0.95)), rng.uniform(0.01, 0.05))


def _draw_details(rng: np.random.Generator, sheet: Layer, mask: Mask) -> None:
    """Draw hems, creases, and on some masks a valve or a print."""
    for edge, share in ((mask.top, 0.7), (mask.bottom, 0.5)):
        if rng.random() < share:
            sheet.stroke(edge, shade(mask.colour, rng.uniform(0.65, 1.1)), rng.uniform(0.01, 0.05))
    for _ in range(rng.integers(0, 4)):
        start, end = rng.integers(0, 25, 2)
        crease = np.array([mask.row(rng.uniform(0.1, 0.9))[start], mask.row(0.7)[end]])
        sheet.stroke(crease, shade(mask.colour, rng.uniform(0.8, 1.15)), rng.uniform(0.01, 0.04))
    if mask.kind == "ffp2" and rng.random() < 0.3:
        x, y = mask.row(0.5)[rng.choice([8, 12, 16])]
        sheet.fill(oval(x, y, 0.13, 0.13), tone(rng, np.array([WHITE, BLACK, mask.colour])))
    if rng.random() < 0.08:
        x, y = mask.row(rng.uniform(0.3, 0.6))[rng.integers(8, 17)]
        sheet.fill(oval(x, y, rng.uniform(0.05, 0.25), rng.uniform(0.03, 0.15)), dye(rng))
