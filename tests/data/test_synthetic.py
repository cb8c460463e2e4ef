"""The synthetic faces: a pure function of their seed, and nothing but the mask tells the class."""

import errno
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskcls.data import synthetic
from maskcls.data.synthetic import CLASSES, SIDES, draw_face, write_dataset

PAIRS = 60


def draw(seed: int, *, masked: bool, size: int = 72) -> np.ndarray:
    return draw_face(np.random.default_rng(seed), masked=masked, size=size)


def read(path: Path) -> np.ndarray:
    """Return the image in a file, BGR uint8 [height, width, 3]."""
    image = cv2.imread(str(path))
    assert image is not None
    return image


def border(image: np.ndarray) -> np.ndarray:
    """Return the outermost pixels of an image [size, size, 3] as [n, 3]."""
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])


def side_lengths(folder: Path) -> list[int]:
    """Return the side lengths of a folder's images, in the order of their names."""
    return [len(read(path)) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def masked() -> np.ndarray:
    return np.stack([draw(seed, masked=True) for seed in range(PAIRS)])


@pytest.fixture(scope="module")
def bare() -> np.ndarray:
    """The same people as in ``masked``, without the mask."""
    return np.stack([draw(seed, masked=False) for seed in range(PAIRS)])


@pytest.fixture
def red(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws red squares instead of faces, for tests of everything else."""

    def red_square(rng: np.random.Generator, *, masked: bool, size: int) -> np.ndarray:
        return np.full((size, size, 3), (255, 0, 0), np.uint8)

    monkeypatch.setattr(synthetic, "draw_face", red_square)


@pytest.mark.parametrize("size", [24, SIDES[0], 101, SIDES[1]])
@pytest.mark.parametrize("masked", [True, False])
def test_a_face_is_an_rgb_image_of_the_size_asked_for(*, masked: bool, size: int) -> None:
    image = draw(seed=0, masked=masked, size=size)

    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8


def test_a_face_depends_on_the_state_of_its_generator_only() -> None:
    rng = np.random.default_rng(5)
    first, second = (draw_face(rng, masked=True, size=72) for _ in range(2))

    assert np.array_equal(first, draw(5, masked=True))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, draw(6, masked=True))


def test_the_mask_changes_the_lower_face_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "photograph", lambda rng, image: image)

    pairs = [(draw(seed, masked=True), draw(seed, masked=False)) for seed in range(30)]
    changed = np.stack([(masked != bare).any(axis=2) for masked, bare in pairs])

    assert not changed[:, :18].any()
    assert changed[:, 36:].sum() > 5 * changed[:, :36].sum()
    assert changed[:, 36:].any(axis=(1, 2)).mean() > 0.9


def test_the_mean_colour_does_not_give_the_class_away(masked: np.ndarray, bare: np.ndarray) -> None:
    difference = masked.mean(axis=(1, 2)) - bare.mean(axis=(1, 2))

    assert np.abs(difference).mean() < 3
    assert np.abs(difference.mean(axis=0)).max() < 1


def test_the_border_does_not_give_the_class_away(masked: np.ndarray, bare: np.ndarray) -> None:
    colours = [np.stack([border(image).mean(axis=0) for image in images]) for images in (masked, bare)]

    assert np.abs(colours[0].mean(axis=0) - colours[1].mean(axis=0)).max() < 0.3 * colours[1].std()


def test_noise_and_blur_do_not_give_the_class_away(masked: np.ndarray, bare: np.ndarray) -> None:
    detail = [np.abs(np.diff(images[:, :24].astype(int), axis=2)).mean() for images in (masked, bare)]

    assert detail[0] == pytest.approx(detail[1], rel=0.1)


@pytest.mark.usefixtures("red")
def test_both_classes_have_the_same_side_lengths(tmp_path: Path) -> None:
    write_dataset(tmp_path, 0, {"Train": 300})

    sides = [side_lengths(tmp_path / "Train" / name) for name in CLASSES]

    assert {len(of_class) for of_class in sides} == {150}
    assert min(map(min, sides)) >= SIDES[0]
    assert max(map(max, sides)) <= SIDES[1]
    for statistic, tolerance in ((np.mean, 15), (np.std, 8)):
        assert abs(statistic(sides[0]) - statistic(sides[1])) < tolerance


@pytest.mark.usefixtures("red")
def test_files_keep_the_order_of_the_channels(tmp_path: Path) -> None:
    write_dataset(tmp_path, 0, {"Test": 1})

    blue, green, red = read(tmp_path / "Test" / CLASSES[0] / "0.png")[0, 0]

    assert (red, green, blue) == (255, 0, 0)


@pytest.mark.usefixtures("red")
def test_counts_are_halved_and_the_first_class_gets_the_odd_image(tmp_path: Path) -> None:
    write_dataset(tmp_path / "new", 0, {"Train": 6, "Validation": 3, "Test": 0})

    files = {
        split: [sorted(path.name for path in (tmp_path / "new" / split / name).iterdir()) for name in CLASSES]
        for split in ("Train", "Validation", "Test")
    }

    assert files == {
        "Train": [["0.png", "1.png", "2.png"]] * 2,
        "Validation": [["0.png", "1.png"], ["0.png"]],
        "Test": [[], []],
    }


def test_an_image_depends_on_seed_split_class_and_number_only(tmp_path: Path) -> None:
    write_dataset(tmp_path / "few", 0, {"Train": 2})
    write_dataset(tmp_path / "many", 0, {"Test": 4, "Train": 6})
    write_dataset(tmp_path / "other", 1, {"Train": 2})

    few = {path.relative_to(tmp_path / "few"): path.read_bytes() for path in tmp_path.glob("few/*/*/*.png")}
    many = [path.read_bytes() for path in (tmp_path / "many").rglob("*.png")]

    assert len(few) == 2
    for name, content in few.items():
        assert (tmp_path / "many" / name).read_bytes() == content
        assert (tmp_path / "other" / name).read_bytes() != content
    assert len(set(many)) == 10


@pytest.mark.usefixtures("red")
def test_the_two_classes_show_different_people(tmp_path: Path) -> None:
    write_dataset(tmp_path, 0, {"Train": 20})

    assert side_lengths(tmp_path / "Train" / CLASSES[0]) != side_lengths(tmp_path / "Train" / CLASSES[1])


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_dataset(tmp_path, 0, {"Train": 1})
    assert caught.value.errno == errno.ENOSPC
