"""Images and data sets that tests make."""

from pathlib import Path

import cv2
import numpy as np

CLASSES = ("WithMask", "WithoutMask")


def noisy_image(rng: np.random.Generator, *, masked: bool, height: int, width: int) -> np.ndarray:
    """Return noise, RGB uint8 [height, width, 3], with a bright blue lower half if ``masked``."""
    image = rng.integers(60, 180, (height, width, 3), dtype=np.uint8)
    if masked:
        image[height // 2 :] = (40, 80, 220)
    return image


def write_image(path: Path, image: np.ndarray) -> None:
    """Write RGB uint8 [height, width, 3] in the format of the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded, content = cv2.imencode(path.suffix, np.ascontiguousarray(image[..., ::-1]))
    assert encoded
    path.write_bytes(content.tobytes())


def write_dataset(root: Path, counts: dict[str, int], seed: int = 0) -> Path:
    """Write ``counts[SPLIT]`` images ``root/SPLIT/CLASS/N.png`` of each class; '' stands for no split folder."""
    rng = np.random.default_rng(seed)
    for split, count in counts.items():
        for name in CLASSES:
            for number in range(count):
                height, width = rng.integers(24, 60, 2)
                write_image(
                    root / split / name / f"{number}.png",
                    noisy_image(rng, masked=name == "WithMask", height=height, width=width),
                )
    return root


def scene(seed: int, side: int = 160) -> np.ndarray:
    """Draw coloured shapes whose corners can be found again, RGB uint8 [side, side, 3]."""
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.integers(0, 256, (side, side, 3), dtype=np.uint8), (0, 0), side / 12)
    for _ in range(40):
        corners = (rng.uniform(0, side, 2) + rng.uniform(-side / 6, side / 6, (5, 2))).astype(np.int32)
        cv2.fillPoly(image, [corners], rng.integers(0, 256, 3).tolist(), lineType=cv2.LINE_AA)
    return cv2.GaussianBlur(image, (0, 0), 0.8)
