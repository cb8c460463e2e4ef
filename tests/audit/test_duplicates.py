"""Files of one image are found from their pixels, whatever was done to them and whatever they are called."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from images import scene, write_image
from sklearn.datasets import load_digits

from maskcls.audit.duplicates import (
    EDITED,
    IDENTICAL_FILE,
    IDENTICAL_PIXELS,
    REENCODED,
    RESIZED,
    TRANSFORMED,
    FileGroups,
    Link,
    _most,
    find_links,
    group,
    without_features,
)
from maskcls.audit.features import FeatureStore
from maskcls.audit.files import inspect_files

PHOTOGRAPHS = 12


def turned(image: np.ndarray, degrees: float = 0, zoom: float = 1) -> np.ndarray:
    side = image.shape[0]
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), degrees, zoom)
    return cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photographs, and of the first seven another file each, made in another way."""
    root = tmp_path_factory.mktemp("pictures")
    scenes = [scene(seed) for seed in range(PHOTOGRAPHS)]
    for number, image in enumerate(scenes):
        write_image(root / f"{number}.png", image)
    shutil.copy(root / "0.png", root / "copy.png")
    write_image(root / "pixels.bmp", scenes[1])
    content = cv2.imencode(".jpg", scenes[2][..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    (root / "coarse.jpg").write_bytes(content.tobytes())
    write_image(root / "half.png", cv2.resize(scenes[3], (80, 80), interpolation=cv2.INTER_AREA))
    write_image(root / "turned.png", turned(scenes[4], 30))
    write_image(root / "zoomed.png", turned(scenes[5], 0, 1.3))
    write_image(root / "flipped.png", np.ascontiguousarray(scenes[6][:, ::-1]))
    masked = scenes[7].copy()
    cv2.ellipse(masked, (80, 100), (35, 25), 0, 0, 360, (250, 250, 250), -1)
    write_image(root / "masked.png", masked)
    write_image(root / "black1.png", np.zeros((50, 50, 3), dtype=np.uint8))
    write_image(root / "black2.png", np.zeros((50, 50, 3), dtype=np.uint8))
    (root / "broken.png").write_text("no image")
    return root


def links_of(root: Path, paths: list[str], scratch: Path) -> list[Link]:
    scratch.mkdir()
    store = FeatureStore(scratch)
    inspection = inspect_files(root, paths, store, threads=2)
    store.close()
    return find_links(inspection, store)


EXPECTED = {
    ("0.png", "copy.png"): IDENTICAL_FILE,
    ("1.png", "pixels.bmp"): IDENTICAL_PIXELS,
    ("2.png", "coarse.jpg"): REENCODED,
    ("3.png", "half.png"): RESIZED,
    ("4.png", "turned.png"): TRANSFORMED,
    ("5.png", "zoomed.png"): TRANSFORMED,
    ("6.png", "flipped.png"): TRANSFORMED,
    ("7.png", "masked.png"): EDITED,
    ("black1.png", "black2.png"): IDENTICAL_FILE,
}


def test_each_planted_copy_is_found_and_nothing_else(pictures: Path, tmp_path: Path) -> None:
    paths = sorted(path.name for path in pictures.iterdir())
    found = {
        tuple(sorted((paths[link.first], paths[link.second]))): link.evidence
        for link in links_of(pictures, paths, tmp_path / "scratch")
    }
    assert found == EXPECTED


def test_names_and_encoding_play_no_part(pictures: Path, tmp_path: Path) -> None:
    paths = sorted(path.name for path in pictures.iterdir())
    before = group(len(paths), links_of(pictures, paths, tmp_path / "before")).of_file
    names = np.random.default_rng(0).permutation(len(paths))
    for path, number in zip(paths, names, strict=True):
        content = (pictures / path).read_bytes()
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
        target = tmp_path / "renamed" / f"{number:03d}.png"
        if image is None:
            target.write_bytes(content)
        else:
            write_image(target, image)
    renamed = [f"{number:03d}.png" for number in range(len(paths))]
    after = group(len(paths), links_of(tmp_path / "renamed", renamed, tmp_path / "after")).of_file[names]
    assert (before[:, None] == before).tolist() == (after[:, None] == after).tolist()


def digits() -> list[np.ndarray]:
    """Scikit-learn's handwritten digits, grey uint8 [8, 8]."""
    return [(image * 255 / 16).astype(np.uint8) for image in load_digits().images]


def enlarged(image: np.ndarray, side: int, interpolation: int) -> np.ndarray:
    return cv2.resize(image, (side, side), interpolation=interpolation)


@pytest.mark.parametrize(
    ("side", "interpolation"),
    [(8, cv2.INTER_LINEAR), (8, cv2.INTER_CUBIC), (8, cv2.INTER_AREA), (28, cv2.INTER_LINEAR), (64, cv2.INTER_AREA)],
)
def test_plain_copies_of_images_without_corners_are_found_and_look_alikes_are_not(
    side: int, interpolation: int, tmp_path: Path
) -> None:
    images = digits()
    ones = [number for number, label in enumerate(load_digits().target) if label == 1]
    # digits of one class, which look more alike than others do
    chosen = [*ones[:100], *range(200)]
    originals = {f"{number}.png": images[number] for number in chosen}
    for name, image in originals.items():
        shown = image if side == 8 else enlarged(image, side, cv2.INTER_CUBIC)
        cv2.imwrite(str(tmp_path / name), shown)
        originals[name] = shown
    planted = {}
    for number, (name, image) in enumerate([*originals.items()][:8]):
        copy = f"copy{number}.{'png' if number < 4 else 'jpg'}"
        changed = enlarged(image, 60, interpolation) if number < 4 else image
        cv2.imwrite(str(tmp_path / copy), changed, [cv2.IMWRITE_JPEG_QUALITY, 80] if number >= 4 else [])
        planted[copy, name] = RESIZED if number < 4 else REENCODED
    paths = sorted(path.name for path in tmp_path.iterdir())
    links = links_of(tmp_path, paths, tmp_path / "scratch")
    found = {tuple(sorted((paths[link.first], paths[link.second]), reverse=True)): link.evidence for link in links}
    assert found == planted


def test_of_all_1797_digits_no_two_are_joined(tmp_path: Path) -> None:
    names = [f"{number}.bmp" for number in range(1797)]
    for name, image in zip(names, digits(), strict=True):
        cv2.imwrite(str(tmp_path / name), image)
    assert links_of(tmp_path, names, tmp_path / "scratch") == []


def test_an_image_that_is_inverted_or_of_one_colour_is_no_copy(tmp_path: Path) -> None:
    image = enlarged(digits()[3], 32, cv2.INTER_LINEAR)
    flat = np.full_like(image, 100)
    for name, shown in {"a": image, "inverted": 255 - image, "flat": flat, "flat2": flat}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), shown)
    paths = sorted(path.name for path in tmp_path.iterdir())
    links = links_of(tmp_path, paths, tmp_path / "scratch")
    assert [(paths[link.first], paths[link.second], link.evidence) for link in links] == [
        ("flat.png", "flat2.png", IDENTICAL_FILE)
    ]


def test_images_with_too_few_features_are_counted(tmp_path: Path) -> None:
    write_image(tmp_path / "corners.png", scene(0))
    write_image(tmp_path / "icon.png", cv2.resize(scene(0), (15, 12)))
    write_image(tmp_path / "shade.png", np.arange(200, dtype=np.uint8)[:, None, None].repeat(200, 1).repeat(3, 2))
    (tmp_path / "broken.png").write_text("no image")
    (tmp_path / "scratch").mkdir()
    store = FeatureStore(tmp_path / "scratch")
    facts = inspect_files(tmp_path, ["broken.png", "corners.png", "icon.png", "shade.png"], store, threads=1).facts
    store.close()
    assert without_features(facts, store) == [2, 3]


def test_groups_hang_together_by_links_in_the_order_of_their_files() -> None:
    links = [Link(0, 4, TRANSFORMED), Link(4, 5, EDITED), Link(2, 3, IDENTICAL_FILE)]
    found = group(6, links)
    assert isinstance(found, FileGroups)
    assert found.of_file.tolist() == [0, 1, 2, 2, 0, 0]
    assert found.unedited.tolist() == [0, 1, 2, 2, 0, 3]
    assert found.evidence == (TRANSFORMED, "", IDENTICAL_FILE, IDENTICAL_FILE, TRANSFORMED, EDITED)


def test_files_without_links_are_groups_of_their_own() -> None:
    assert group(3, []).of_file.tolist() == [0, 1, 2]
    assert group(3, []).evidence == ("", "", "")


def test_nothing_to_compare_gives_no_links(tmp_path: Path) -> None:
    write_image(tmp_path / "black.png", np.zeros((9, 9, 3), dtype=np.uint8))
    assert links_of(tmp_path, ["black.png"], tmp_path / "scratch") == []


def test_each_image_keeps_the_candidates_with_most_in_common() -> None:
    askers = np.array([3, 1, 1, 3, 1, 2, 1])
    counted = np.array([5, 9, 4, 7, 9, 4, 8])
    assert _most(askers, counted, 2).tolist() == [True, True, False, True, True, True, False]
    assert _most(askers, counted, 9).all()
    assert _most(askers[:0], counted[:0], 2).tolist() == []


def test_two_persons_in_one_setting_are_not_joined_and_a_copy_is(tmp_path: Path) -> None:
    portraits = []
    for seed in range(4):
        image = scene(0, 160).astype(np.float32)
        inside = cv2.circle(np.zeros((160, 160, 3)), (80, 80), 60, (1, 1, 1), -1) > 0
        texture = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (160, 160, 1)), (0, 0), 3)[..., None]
        portraits.append(np.where(inside, 130 + 9 * texture / texture.std(), image).clip(0, 255).astype(np.uint8))
    for number, portrait in enumerate(portraits):
        write_image(tmp_path / "data" / f"{number}.png", portrait)
    (tmp_path / "data" / "copy.jpg").write_bytes(
        cv2.imencode(".jpg", portraits[2][..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 30])[1].tobytes()
    )
    names = [*(f"{number}.png" for number in range(4)), "copy.jpg"]
    links = links_of(tmp_path / "data", names, tmp_path / "s")
    assert [(link.first, link.second, link.evidence) for link in links] == [(2, 4, REENCODED)]


def test_images_of_a_few_pixels_are_linked_to_identical_ones_only(tmp_path: Path) -> None:
    values = ([0, 255], [40, 90], [40, 90], [100, 130, 200], [10, 45, 130])
    for number, row in enumerate(values):
        pixels = np.repeat(np.array([row], dtype=np.uint8)[..., None], 3, axis=2)
        write_image(tmp_path / "data" / f"{number}.{'bmp' if number == 2 else 'png'}", pixels)
    names = ["0.png", "1.png", "2.bmp", "3.png", "4.png"]
    assert links_of(tmp_path / "data", names, tmp_path / "s") == [Link(1, 2, IDENTICAL_PIXELS)]
