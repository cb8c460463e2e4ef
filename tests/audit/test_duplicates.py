"""Files of one photograph are found from their pixels, whatever was done to them and whatever they are called."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from images import scene, write_image

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
    facts = inspect_files(root, paths, store, threads=2).facts
    store.close()
    return find_links(facts, store)


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
