"""What an audit says of each file, from its bytes and its pixels."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from images import noisy_image, scene, write_image

from maskcls.audit.features import FeatureStore
from maskcls.audit.files import BANDS, FileFacts, Inspection, border, inspect_files, spectrum
from maskcls.audit.quality import look
from maskcls.audit.thumbnails import small_thumbnail


def inspect(root: Path, *paths: str) -> Inspection:
    (root / "scratch").mkdir()
    store = FeatureStore(root / "scratch")
    inspection = inspect_files(root, paths, store, threads=2)
    store.close()
    assert len(store.starts) == len(paths) + 1
    return inspection


def test_facts_are_those_of_the_file(tmp_path: Path) -> None:
    image = noisy_image(np.random.default_rng(0), masked=True, height=30, width=20)
    write_image(tmp_path / "a.png", image)
    (facts,) = inspect(tmp_path, "a.png").facts
    content = (tmp_path / "a.png").read_bytes()
    assert (facts.path, facts.size, facts.fault) == ("a.png", len(content), None)
    assert facts.digest == hashlib.sha256(content).hexdigest()
    assert (facts.format, facts.mode, facts.width, facts.height) == ("PNG", "RGB", 20, 30)
    assert facts.mean == pytest.approx((image / 255).mean(axis=(0, 1)), abs=1e-6)
    assert facts.deviation == pytest.approx((image / 255).std(axis=(0, 1)), abs=1e-5)
    assert not any((facts.is_constant, facts.damage, facts.suffix_lies, facts.name_is_unreadable))


def test_each_file_has_a_row_of_measurements(tmp_path: Path) -> None:
    image = scene(3, 200)
    write_image(tmp_path / "a.png", image)
    (tmp_path / "b.png").touch()
    write_image(tmp_path / "c.png", cv2.resize(image, (8, 8)))
    found = inspect(tmp_path, "a.png", "b.png", "c.png")
    grey = cv2.cvtColor(cv2.resize(image, (160, 160), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    assert found.looks[0] == pytest.approx(look(image, grey), abs=1e-6)
    assert found.thumbnails[0].tolist() == small_thumbnail(grey).tolist()
    for values in (found.looks, found.thumbnails, found.spectra, found.borders):
        assert len(values) == 3
        assert not values[1].any()
        assert values[2].any()
    assert [fact.has_face for fact in found.facts] == [None] * 3


def test_a_suffix_that_says_nothing_does_not_lie(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", scene(0, 32))
    for name in ("noending", "a.dat", "a.jfif"):
        (tmp_path / name).write_bytes((tmp_path / "a.png").read_bytes())
    facts = inspect(tmp_path, "a.png", "noending", "a.dat", "a.jfif").facts
    assert [fact.suffix_lies for fact in facts] == [False, False, False, True]


def test_the_same_pixels_have_one_digest_whatever_the_file(tmp_path: Path) -> None:
    image = scene(0, 40)
    write_image(tmp_path / "a.png", image)
    write_image(tmp_path / "b.bmp", image)
    write_image(tmp_path / "c.png", np.ascontiguousarray(image.reshape(20, 80, 3)))
    png, bmp, other = inspect(tmp_path, "a.png", "b.bmp", "c.png").facts
    assert png.pixel_digest == bmp.pixel_digest != other.pixel_digest
    assert png.digest != bmp.digest


def test_faults_are_told_apart(tmp_path: Path) -> None:
    image = scene(1, 48)
    write_image(tmp_path / "good.jpg", image)
    whole = (tmp_path / "good.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not an image")
    write_image(tmp_path / "black.png", np.zeros((10, 10, 3), dtype=np.uint8))
    write_image(tmp_path / "grey.png", np.full((10, 10, 3), 128, dtype=np.uint8))
    (tmp_path / "lies.png").write_bytes(whole)
    names = ("good.jpg", "cut.jpg", "empty.png", "text.png", "black.png", "grey.png", "lies.png", "missing.png")
    facts = dict(zip(names, inspect(tmp_path, *names).facts, strict=True))
    assert facts["empty.png"].fault == "the file is empty"
    assert facts["text.png"].fault == "a text file, not an image"
    assert facts["missing.png"].fault == "No such file or directory"
    assert {name for name, fact in facts.items() if fact.damage} == {"cut.jpg"}
    assert {name for name, fact in facts.items() if fact.fault} == {"empty.png", "text.png", "missing.png"}
    assert {name for name, fact in facts.items() if fact.is_constant} == {"black.png", "grey.png"}
    assert {name for name, fact in facts.items() if fact.suffix_lies} == {"lies.png"}


@pytest.mark.parametrize(
    ("image", "mode"),
    [
        (np.zeros((4, 4), np.uint8), "L"),
        (np.zeros((4, 4, 3), np.uint8), "RGB"),
        (np.zeros((4, 4, 4), np.uint8), "RGBA"),
        (np.zeros((4, 4), np.uint16), "I;16"),
    ],
)
def test_the_mode_is_the_files(image: np.ndarray, mode: str, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), image)
    assert inspect(tmp_path, "a.png").facts[0].mode == mode


def test_a_name_that_is_no_text_is_seen() -> None:
    assert FileFacts("a/\udcff.png", 1).name_is_unreadable
    assert not FileFacts("a/사진 é.png", 1).name_is_unreadable


def test_a_blurred_picture_has_less_energy_in_high_frequencies() -> None:
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    sharp, blurred = spectrum(image), spectrum(cv2.GaussianBlur(image, (0, 0), 2))
    assert sharp.shape == (BANDS,)
    assert np.exp(sharp).sum() == pytest.approx(1, abs=1e-4)
    assert blurred[0] > sharp[0]
    assert blurred[-1] < sharp[-1] - 2
    # white noise has energy in proportion to a band's area
    assert np.exp(sharp)[1] / np.exp(sharp)[0] == pytest.approx(3, rel=0.2)


def test_the_border_does_not_see_the_middle() -> None:
    image = np.full((160, 160, 3), 10, dtype=np.uint8)
    image[20:-20, 20:-20] = 200
    assert (border(image) == 10).all()
    image[:5] = 90
    assert border(image).max() > 10
