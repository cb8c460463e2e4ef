"""Faces: the detector's file, the square that is cut out, and what is done without a face."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from images import scene, write_image

from maskcls.data import faces as module
from maskcls.data.cache import cached_images
from maskcls.data.decode import Box, decode_image, prepare_image, read_image, resize_image
from maskcls.data.faces import FaceFinder, find_detector, find_faces, square_around
from maskcls.data.streaming import StreamedImages
from maskcls.errors import UserError

CONTENT = b"a detector" * 100


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_SIZE", len(CONTENT))
    monkeypatch.setattr(module, "FILE_DIGEST", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, published: None) -> Iterator[dict[str, bytes]]:
    """Serves what is put into the dictionary, by path; the detector's addresses are /first and /second of it."""
    served: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = served.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{running.server_port}"
        monkeypatch.setattr(module, "URLS", (f"{address}/first", f"{address}/second"))
        yield served
        running.shutdown()
        thread.join()


def test_the_detector_is_fetched_once(server: dict[str, bytes], tmp_path: Path) -> None:
    server["/first"] = CONTENT
    path = find_detector(None, tmp_path / "cache")
    assert path.read_bytes() == CONTENT
    server.clear()
    assert find_detector(None, tmp_path / "cache") == path


@pytest.mark.parametrize("first", [None, CONTENT[:-1], CONTENT + b"x", b"x" * len(CONTENT)])
def test_another_file_than_the_published_one_is_not_taken(
    first: bytes | None, server: dict[str, bytes], tmp_path: Path
) -> None:
    server["/second"] = CONTENT
    if first is not None:
        server["/first"] = first
    assert find_detector(None, tmp_path).read_bytes() == CONTENT


def test_a_damaged_file_in_the_cache_is_fetched_anew(server: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / module.FILE_NAME).write_bytes(CONTENT[:50])
    server["/first"] = CONTENT
    assert find_detector(None, tmp_path).read_bytes() == CONTENT


def test_without_a_network_the_way_out_is_named(server: dict[str, bytes], tmp_path: Path) -> None:
    server["/second"] = b"<html>"
    with pytest.raises(UserError) as caught:
        find_detector(None, tmp_path / "cache")
    message = str(caught.value)
    assert "\n" not in message
    assert "name it by faces.model=PATH" in message
    assert "/first: HTTP Error 404" in message
    assert "/second: not the file that was published" in message
    assert not (tmp_path / "cache").exists()


def test_a_file_that_is_named_is_taken_or_refused(tmp_path: Path) -> None:
    (tmp_path / "own.onnx").write_bytes(b"own")
    assert find_detector(tmp_path / "own.onnx", tmp_path) == tmp_path / "own.onnx"
    with pytest.raises(UserError, match="no such file; expected face_detection_yunet"):
        find_detector(tmp_path / "none.onnx", tmp_path)
    with pytest.raises(UserError, match="not a detector that OpenCV can read"):
        FaceFinder(tmp_path / "own.onnx", cuts_crops=False)


@pytest.mark.parametrize(
    ("centre", "side", "box"),
    [
        ((50, 40), 20, (40, 30, 20)),
        ((5, 40), 20, (0, 30, 20)),  # moved inside
        ((99, 59), 20, (80, 40, 20)),
        ((50, 30), 90, (20, 0, 60)),  # no larger than the picture
        ((50, 40), 0.2, (50, 40, 1)),
    ],
)
def test_the_square_lies_in_the_picture(centre: tuple[float, float], side: float, box: tuple[int, int, int]) -> None:
    assert square_around(centre, side, width=100, height=60) == Box(*box)


def test_what_is_cut_out_is_all_that_is_read(tmp_path: Path) -> None:
    image = scene(0, 60)
    write_image(tmp_path / "a.png", image)
    box = Box(10, 20, 30)
    expected = resize_image(np.ascontiguousarray(image[20:50, 10:40]), 16)
    assert (read_image(tmp_path / "a.png", 16, box=box) == expected).all()
    assert (prepare_image(image, 16, box=box) == expected).all()
    through = resize_image(resize_image(np.ascontiguousarray(image[20:50, 10:40]), 8), 16)
    assert (read_image(tmp_path / "a.png", 16, through=8, box=box) == through).all()


def test_cached_and_streamed_images_are_cut_out_each_by_its_own_box(tmp_path: Path) -> None:
    paths = [f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        write_image(tmp_path / path, scene(i, 40))
    boxes = [Box(0, 0, 20), None, Box(10, 10, 25)]
    expected = [read_image(tmp_path / path, 16, box=box) for path, box in zip(paths, boxes, strict=True)]
    whole = cached_images(tmp_path, paths, 16, tmp_path / "cache")
    cut = cached_images(tmp_path, paths, 16, tmp_path / "cache", boxes=boxes)
    assert (cut == np.stack(expected)).all()
    assert not (whole[0] == cut[0]).all()
    assert (whole[1] == cut[1]).all()
    streamed = StreamedImages(tmp_path, paths, 16, threads=2, boxes=boxes)
    assert (streamed[np.array([2, 0, 1])] == np.stack(expected)[[2, 0, 1]]).all()


@pytest.fixture
def yunet(shared: Path) -> Path:
    return shared / "models" / module.FILE_NAME


@pytest.mark.realdata
def test_a_face_is_found_wherever_it_is(yunet: Path, shared: Path) -> None:
    finder = FaceFinder(yunet, cuts_crops=False)
    photograph = decode_image(shared / "data" / "wild_dev" / "WithoutMask" / "10.jpg")
    found = finder.find(photograph)
    assert found.finding == "found"
    assert found.box is not None
    wide = cv2.copyMakeBorder(photograph, 0, 0, 300, 0, cv2.BORDER_CONSTANT)
    moved = finder.find(wide)
    assert moved.box is not None
    assert moved.box.left - 300 == pytest.approx(found.box.left, abs=0.1 * found.box.side)
    assert moved.box.side == pytest.approx(found.box.side, rel=0.15)
    assert finder.find(scene(0)).finding == "none"


@pytest.mark.realdata
def test_face_crops_are_left_whole_by_auto_alone(yunet: Path, shared: Path) -> None:
    root = shared / "data" / "facemask12k" / "Validation" / "WithoutMask"
    paths = sorted(path.name for path in root.iterdir())[:60]
    auto = [face.finding for face in find_faces(root, paths, FaceFinder(yunet, cuts_crops=False), threads=2)]
    assert auto.count("fills") >= 55
    always = [face.finding for face in find_faces(root, paths, FaceFinder(yunet, cuts_crops=True), threads=2)]
    assert always.count("found") >= 58
    assert "fills" not in always


@pytest.mark.realdata
def test_faces_are_found_in_photographs_masked_or_not(yunet: Path, shared: Path) -> None:
    root = shared / "data" / "wild_dev"
    for name in ("WithMask", "WithoutMask"):
        paths = sorted(f"{name}/{path.name}" for path in (root / name).iterdir())[:60]
        faces = find_faces(root, paths, FaceFinder(yunet, cuts_crops=False), threads=2)
        assert sum(face.finding != "none" for face in faces) >= 57
