"""Resizing without PyTorch gives PyTorch's pixels, to the last bit."""

import subprocess
import sys

import numpy as np
import pytest

from maskcls.data.resize import resized, resized_by_numpy, resized_by_torch

# height and width before, and after
SIZES = [
    ((20, 30), (8, 8)), ((8, 8), (20, 31)), ((97, 61), (224, 224)), ((301, 299), (128, 128)), ((40, 9), (9, 40)),
    ((1, 1), (16, 16)), ((1, 50), (16, 16)), ((50, 1), (1, 16)), ((16, 16), (1, 1)), ((33, 64), (33, 16)),
    ((64, 33), (16, 33)), ((32, 32), (32, 32)), ((1000, 777), (32, 32)), ((500, 3), (2, 2)), ((225, 223), (224, 224)),
]  # fmt: skip


@pytest.mark.parametrize("contrast", ["noise", "black and white"])
@pytest.mark.parametrize(("before", "after"), SIZES)
def test_numpy_gives_the_pixels_of_torch(before: tuple[int, int], after: tuple[int, int], contrast: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*before, 3), dtype=np.uint8)
    if contrast == "black and white":
        image = image // 128 * 255
    found = resized_by_numpy(image, *after)
    assert found.shape == (*after, 3)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, resized_by_torch(image, *after))


def test_numpy_gives_the_pixels_of_torch_at_any_size() -> None:
    generator = np.random.default_rng(1)
    for _ in range(100):
        rows, columns, height, width = generator.integers(1, 260, 4).tolist()
        image = generator.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
        np.testing.assert_array_equal(
            resized_by_numpy(image, height, width),
            resized_by_torch(image, height, width),
            f"{rows} x {columns} to {height} x {width}",
        )


def test_a_part_of_an_image_is_resized_like_a_copy_of_it() -> None:
    image = np.random.default_rng(2).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    part = image[5:35, 10:50]
    np.testing.assert_array_equal(resized_by_numpy(part, 16, 16), resized_by_torch(part.copy(), 16, 16))


def test_a_uniform_image_stays_uniform() -> None:
    assert (resized(np.full((37, 53, 3), 201, dtype=np.uint8), 16, 24) == 201).all()


def test_torch_is_not_imported_for_it() -> None:
    code = (
        "import sys, numpy as np; from maskcls.data.resize import resized; "
        "print(resized(np.arange(48, dtype=np.uint8).reshape(4, 4, 3), 2, 2).tolist(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = resized_by_torch(np.arange(48, dtype=np.uint8).reshape(4, 4, 3), 2, 2).tolist()
    assert done.stdout == f"{expected} False\n"
