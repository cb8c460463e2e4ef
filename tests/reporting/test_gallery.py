"""The gallery: what its page holds, that names stay text, and that memory and the file stay small."""

import base64
import json
import os
import re
import tracemalloc
from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np
import pytest
from galleries import HEADLINE, tile

from maskcls.reporting.gallery import THUMBNAIL_SIDE, GalleryWriter, Headline, Tile, _script_safe
from maskcls.reporting.palette import CLASS_COLOURS

# text that would end an element, an attribute or a script, or that is not UTF-8
HOSTILE = (
    "</script><script>alert(1)</script>.png",
    "<!--<script>.png",
    "\"'><img src=x onerror=alert(1)>.png",
    "{{ 7 * 7 }}{% raw %}.png",
    "마스크를 쓴 얼굴.png",
    "\u202eكمامة.png",
    os.fsdecode(b"caf\xe9\xff.png"),
    "line\nbreak\ttab.png",
)


def page_of(path: Path, tiles: list[Tile], headline: Headline = HEADLINE, remarks: tuple[str, ...] = ()) -> str:
    """Write a gallery; return its page."""
    with GalleryWriter(path, headline) as gallery:
        for one in tiles:
            gallery.add(one)
        for text in remarks:
            gallery.remark(text)
    return path.read_text(encoding="utf-8")


def rows(page: str) -> list[tuple[dict[str, Any], list[np.ndarray]]]:
    """The facts and the pictures, RGB, of each tile of a page."""
    found: list[tuple[dict[str, Any], list[Any]]] = []
    for content in re.findall(r'<script type="text/plain" class="data">(.*?)</script>', page):
        facts, *codes = content.split("\t")
        files = [np.frombuffer(base64.b64decode(code), dtype=np.uint8) for code in codes]
        found.append((json.loads(facts), [cv2.imdecode(file, cv2.IMREAD_COLOR_RGB) for file in files]))
    return found


def test_a_tile_keeps_everything_that_is_known(tmp_path: Path) -> None:
    explained = np.zeros((50, 50, 3), dtype=np.uint8)
    one = Tile("clip.mp4", 75, 2.5, 3, (10, -2, 40, 50), "B", (0.25, 0.7499999), tile().picture, explained, "cut off")
    ((facts, pictures),) = rows(page_of(tmp_path / "gallery.html", [one]))
    assert facts == {
        "path": "clip.mp4",
        "link": None,
        "frame": 75,
        "seconds": 2.5,
        "face": 3,
        "box": [10, -2, 40, 50],
        "label": 1,
        "probabilities": [0.25, 0.75],
        "note": "cut off",
        "explained": True,
    }
    assert [picture.shape for picture in pictures] == [(40, 60, 3), (50, 50, 3)]


def test_a_picture_becomes_a_thumbnail_of_its_colours_and_shape(tmp_path: Path) -> None:
    large = np.zeros((900, 600, 3), dtype=np.uint8)
    large[:, :300] = (200, 30, 60)
    thin = np.full((2, 3000, 3), 90, dtype=np.uint8)
    page = page_of(tmp_path / "gallery.html", [tile(picture=large), tile(picture=thin)])
    (_, (shrunk,)), (_, (line,)) = rows(page)
    assert shrunk.shape == (THUMBNAIL_SIDE, round(THUMBNAIL_SIDE * 2 / 3), 3)
    np.testing.assert_allclose(shrunk[:, 10:60].mean((0, 1)), (200, 30, 60), atol=8)
    assert line.shape == (1, THUMBNAIL_SIDE, 3)


def test_the_head_says_what_was_predicted_by_what_and_counts(tmp_path: Path) -> None:
    headline = Headline("runs/a, best", "photos", ("A", "B"), "A", 0.3, "test accuracy 97.5 % of 800")
    nothing = tile(label=None)
    tiles = [tile(label="A", face=1), tile(label="A", face=2), tile(label="B", face=None), nothing]
    page = page_of(tmp_path / "gallery.html", tiles, headline, ("2 files cannot be read",))
    head = page[page.index("<header>") : page.index("</header>")]
    assert "<h1>Predictions for <bdi>photos</bdi></h1>" in head
    assert "2 faces, 1 picture, 1 picture without a face &middot; model <bdi>runs/a, best</bdi>" in head
    assert "test accuracy 97.5 % of 800" in head
    assert "<bdi>A</bdi> is the answer from a probability of 30.0 % on" in head
    assert '<p class="remark">2 files cannot be read</p>' in head
    chips = re.findall(r'class="chip".*?>(?:<bdi>)?([^<>]+)(?:</bdi>)? <span class="count">(.*?)</span>', page)
    assert chips == [("A", "2 &middot; 50.0 %"), ("B", "1 &middot; 25.0 %"), ("no face found", "1 &middot; 25.0 %")]
    assert [facts["label"] for facts, _ in rows(page)] == [0, 0, 1, None]


def test_a_plain_gallery_says_nothing_of_thresholds_and_missing_faces(tmp_path: Path) -> None:
    page = page_of(tmp_path / "gallery.html", [tile()])
    assert "1 picture &middot;" in page
    assert "is the answer from" not in page
    assert "no face found" not in page[: page.index("<script")]
    assert 'class="remark">2' not in page


def test_a_gallery_of_nothing_says_so(tmp_path: Path) -> None:
    page = page_of(tmp_path / "gallery.html", [])
    assert "no pictures &middot;" in page
    assert "No picture was predicted." in page


@pytest.mark.hostile
@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text(name: str, tmp_path: Path) -> None:
    headline = Headline(name, name, ("A", name), name, 0.4, name)
    usual = page_of(tmp_path / "usual.html", [tile(label="A")], Headline("c", "s", ("A", "B"), "B", 0.4, "x"), ("r",))
    page = page_of(tmp_path / "gallery.html", [tile(path=name, label="A", note=name)], headline, (name,))
    # as many elements as with harmless names
    for start in ("<script", "</script", "<img", "<!--"):
        assert page.count(start) == usual.count(start)
    ((facts, _),) = rows(page)
    shown = name.encode(errors="backslashreplace").decode()
    assert (facts["path"], facts["note"]) == (shown, shown)
    classes = re.search(r'id="classes">(.*?)</script>', page)
    assert classes is not None
    assert [one["name"] for one in json.loads(classes[1])] == ["A", shown]


@pytest.mark.hostile
@pytest.mark.parametrize("name", ["a b#1?.png", "a:b.png", "100%.png", *HOSTILE[2:]])
def test_a_link_leads_to_the_file(name: str, tmp_path: Path) -> None:
    from urllib.parse import unquote_to_bytes, urlsplit

    (tmp_path / "photos").mkdir()
    (tmp_path / "run").mkdir()
    os.chdir(tmp_path)
    relative = f"photos/{name}"
    Path(relative).write_bytes(b"")
    page = page_of(Path("run/gallery.html"), [tile(path=relative), tile(path=os.path.abspath(relative))])
    (near, _), (far, _) = rows(page)
    assert unquote_to_bytes(near["link"]) == b"../photos/" + os.fsencode(name)
    assert set(near["link"]).isdisjoint(' #?:<>"\n')
    assert far["link"].startswith("file:///")
    assert unquote_to_bytes(urlsplit(far["link"]).path) == os.fsencode(tmp_path / "photos" / name)


def test_a_link_to_another_drive_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.png").write_bytes(b"")
    monkeypatch.setattr(PurePath, "drive", property(lambda path: "C:" if path.name == "a.png" else "D:"))
    page = page_of(tmp_path / "gallery.html", [tile(path="a.png")])
    assert [facts["link"] for facts, _ in rows(page)] == [Path("a.png").absolute().as_uri()]


def test_the_link_to_a_video_leads_to_the_time_of_the_frame(tmp_path: Path) -> None:
    Path("clip.mp4").write_bytes(b"")
    page = page_of(tmp_path / "gallery.html", [tile(path="clip.mp4", seconds=12.3456), tile(path="rtsp://camera/1")])
    assert [facts["link"] for facts, _ in rows(page)] == ["working/clip.mp4#t=12.35", None]


def test_nothing_is_left_of_a_gallery_that_fails(tmp_path: Path) -> None:
    page_of(tmp_path / "gallery.html", [tile()])
    before = (tmp_path / "gallery.html").read_bytes()

    def interrupted() -> None:
        with GalleryWriter(tmp_path / "gallery.html", HEADLINE) as gallery:
            gallery.add(tile())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "gallery.html").read_bytes() == before
    assert [path.name for path in tmp_path.glob("*.*")] == ["gallery.html"]


def test_a_label_that_is_no_class_is_refused(tmp_path: Path) -> None:
    with GalleryWriter(tmp_path / "gallery.html", HEADLINE) as gallery, pytest.raises(ValueError, match="in tuple"):
        gallery.add(tile(label="C"))


def test_memory_does_not_grow_with_the_number_of_tiles(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    page_of(tmp_path / "first.html", [tile()])  # imports, and templates that are kept
    tracemalloc.start()
    with GalleryWriter(tmp_path / "gallery.html", HEADLINE) as gallery:
        for _ in range(300):
            gallery.add(tile(picture=picture))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = (tmp_path / "gallery.html").stat().st_size
    assert size > 1_500_000
    assert peak < size / 2


def test_every_class_has_a_colour_and_a_shape(tmp_path: Path) -> None:
    names = tuple(f"class {i}" for i in range(8))
    page = page_of(tmp_path / "gallery.html", [], Headline("c", "s", names))
    classes = json.loads(re.findall(r'id="classes">(.*?)</script>', page)[0])
    assert [one["name"] for one in classes] == list(names)
    assert [one["colour"] for one in classes[:6]] == list(CLASS_COLOURS)
    assert len({(one["shape"], one["colour"]) for one in classes[:6]}) == 6


def test_the_page_asks_for_nothing_else(tmp_path: Path) -> None:
    page = page_of(tmp_path / "gallery.html", [tile()])
    assert "default-src 'none'" in page
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]+"|@import|url\(|https?://', page)


def test_json_in_a_script_is_ascii_and_ends_nothing() -> None:
    value = ["</script>", "é\u2028", "\udcff"]
    text = _script_safe(value)
    assert text.isascii()
    assert "<" not in text
    assert json.loads(text) == value
