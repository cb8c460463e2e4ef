"""A synthetic data set: cartoon faces with and without a mask, a pure function of their seed.

It shows that the program runs (training, evaluation, reports, tests) on a machine without photographs. It shows nothing
about masks: no figure measured on it says anything about real faces.

Everything except the mask comes from random streams that do not depend on the class, and the camera gives every picture
a mean colour that is drawn beforehand. So size, brightness, background and noise do not give the class away.
"""

import zlib
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from maskcls.cores import in_threads
from maskcls.data.drawing import RAMP, cloth, draw_person, dye
from maskcls.progress import progress

DRAWING_VERSION = 1  # change it when a seed gives other images than before
CLASSES = ("WithMask", "WithoutMask")
SIDES = (72, 224)  # smallest and largest side in pixels, both included
THREADS = 2  # more threads would only wait for the interpreter's lock


def backdrop(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw the background: a gradient, blotches or a pattern, with or without objects; RGB uint8 [size, size, 3]."""
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


def blurred(rng: np.random.Generator, image: np.ndarray, *, hopeless: bool) -> np.ndarray:
    """Return the image as it is, out of focus, shaken or enlarged from fewer pixels; ``hopeless`` blurs it strongly."""
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


def exposed(rng: np.random.Generator, image: np.ndarray, *, hopeless: bool) -> np.ndarray:
    """Return the image with a random contrast and a random mean colour; ``hopeless`` takes most of the contrast."""
    target = rng.uniform(75, 175) * rng.normal((1.1, 1.0, 0.92), 0.05)
    contrast = rng.uniform(0.85, 1.35) * (0.2 if hopeless else 1)
    # a gamma curve brings the mean near the target without clipping; a shift does the rest
    gamma = np.log(target / 255) / np.log((np.array(cv2.mean(image)[:3]) + 1) / 257)
    image = cv2.LUT(image, (255 * RAMP**gamma).astype(np.uint8))
    table = target + contrast * (255 * RAMP - cv2.mean(image)[:3])
    return cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8))


def photograph(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Return the image as a camera sees it: lit, blurred, exposed, noisy and perhaps compressed as JPEG."""
    hopeless = rng.random() < 0.012  # too bad for anyone to tell the class
    lamps = np.repeat(rng.integers(110, 256, (2, 2, 1), np.uint8), 3, axis=2)
    image = cv2.multiply(image, cv2.resize(lamps, image.shape[:2]), scale=1 / 255)
    image = exposed(rng, blurred(rng, image, hopeless=hopeless), hopeless=hopeless)
    noise, grain = rng.integers(0, 256, image.shape, np.uint8), rng.gamma(1.5, 0.035)
    image = cv2.addWeighted(image, 1, noise, grain, -127.5 * grain)
    if rng.random() < 0.6:
        code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 95))])[1]
        image = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
    return image


def draw_face(rng: np.random.Generator, *, masked: bool, size: int) -> np.ndarray:
    """Draw one face. Everything is random except whether it wears a mask.

    Args:
        rng: advanced by four draws; from the same state the same person is drawn, with or without the mask.
        masked: whether the face wears a mask.
        size: pixels a side.

    Returns:
        RGB, uint8 [size, size, 3].
    """
    scene, person, mask, camera = (np.random.default_rng(key) for key in rng.integers(2**63, size=4))
    image = backdrop(scene, size)
    draw_person(person, image, mask_rng=mask if masked else None)
    return photograph(camera, image)


def write_image(root: Path, *, seed: int, split: str, label: int, number: int) -> None:
    """Draw and write ``root/split/CLASSES[label]/number.png``, which depends on these arguments only."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(split.encode()), label, number]))
    side = int(rng.integers(SIDES[0], SIDES[1], endpoint=True))
    image = draw_face(rng, masked=CLASSES[label] == "WithMask", size=side)
    path = root / split / CLASSES[label] / f"{number}.png"
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())


def write_dataset(root: Path, seed: int, counts: dict[str, int]) -> None:
    """Draw and write the images ``root/SPLIT/CLASS/N.png``, N counting from 0 in each folder.

    Args:
        root: folder of the data set; made if it is missing.
        seed: 0 or more; an image depends on the seed, its split, its class and its number only.
        counts: number of images in each split ("Train", "Validation", "Test"). Each class gets half of them, the first
            class one more if the number is odd.
    """
    jobs = []
    for split, count in counts.items():
        for label, name in enumerate(CLASSES):
            (root / split / name).mkdir(parents=True, exist_ok=True)
            write = partial(write_image, root, seed=seed, split=split, label=label)
            jobs += [partial(write, number=number) for number in range((count + 1 - label) // 2)]
    with in_threads(lambda job: job(), jobs, THREADS) as written:
        for _ in progress(written, total=len(jobs), phase="draw"):
            pass
