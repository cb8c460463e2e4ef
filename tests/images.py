"""Images and data sets that tests make."""

import struct
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


def packed(values: np.ndarray, bits: int) -> bytes:
    """Pack samples of so many bits, without gaps."""
    text = "".join(f"{value:0{bits}b}" for value in values.ravel().tolist())
    return int(text, 2).to_bytes(len(text) // 8, "big")


def tiff(pixels: bytes, bits: int, *tags: tuple[int, int, int], order: str = "<", is_big: bool = False) -> bytes:
    """Write a grey TIFF of 64 by 64 pixels, with more tags: number, type (3 for 16 bits, 4 for 32), value."""
    basic = [(256, 3, 64), (257, 3, 64), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 16), (277, 3, 1)]
    entries = sorted((*basic, (278, 3, 64), (279, 4, len(pixels)), *tags))
    number, count = ("Q", "Q") if is_big else ("I", "H")
    start = b"II" if order == "<" else b"MM"
    start += (
        struct.pack(f"{order}HHHQ", 43, 8, 0, 16 + len(pixels))
        if is_big
        else struct.pack(f"{order}HI8x", 42, 16 + len(pixels))
    )
    directory = struct.pack(order + count, len(entries))
    for tag, kind, value in entries:
        content = struct.pack(order + {3: "H", 4: "I"}[kind], value).ljust(8 if is_big else 4, b"\0")
        directory += struct.pack(f"{order}HH{number}", tag, kind, 1) + content
    return start + pixels + directory + struct.pack(order + number, 0)


def write_unequal_dataset(root: Path) -> Path:
    """Write 18, 9 and 9 images of WithMask, and 2, 1 and 1 of WithoutMask. They are noise: nothing tells them apart."""
    rng = np.random.default_rng(0)
    for split, counts in {"Train": (18, 2), "Validation": (9, 1), "Test": (9, 1)}.items():
        for name, count in zip(CLASSES, counts, strict=True):
            for number in range(count):
                path = root / split / name / f"{number}.png"
                write_image(path, noisy_image(rng, masked=False, height=24, width=24))
    return root
