"""Faces: the file of the detector, the square that is cut out, and pictures without a face."""

import hashlib
import http.server
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from images import scene

from maskcls.data import faces as module
from maskcls.data.decode import Box, decode_image
from maskcls.data.faces import Face, FaceFinder, find_detector, find_faces, report_faces, square_around
from maskcls.errors import UserError

CONTENT = b"a detector" * 100


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_SIZE", len(CONTENT))
    monkeypatch.setattr(module, "FILE_DIGEST", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, published: None) -> Iterator[dict[str, bytes]]:
    """The files of a local server, by path; the detector is downloaded from /first or /second there."""
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


def test_the_detector_is_downloaded_once(server: dict[str, bytes], tmp_path: Path) -> None:
    server["/first"] = CONTENT
    path = find_detector(None, cache_dir=tmp_path / "cache")
    assert path.read_bytes() == CONTENT
    server.clear()
    assert find_detector(None, cache_dir=tmp_path / "cache") == path


@pytest.mark.parametrize("first", [None, CONTENT[:-1], CONTENT + b"x", b"x" * len(CONTENT)])
def test_another_file_than_the_published_one_is_not_taken(
    first: bytes | None, server: dict[str, bytes], tmp_path: Path
) -> None:
    server["/second"] = CONTENT
    if first is not None:
        server["/first"] = first
    assert find_detector(None, cache_dir=tmp_path).read_bytes() == CONTENT


def test_a_damaged_file_in_the_cache_is_downloaded_again(server: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / module.FILE_NAME).write_bytes(CONTENT[:50])
    server["/first"] = CONTENT
    assert find_detector(None, cache_dir=tmp_path).read_bytes() == CONTENT


def test_without_a_network_the_error_says_what_to_do(server: dict[str, bytes], tmp_path: Path) -> None:
    server["/second"] = b"<html>"
    with pytest.raises(UserError) as caught:
        find_detector(None, cache_dir=tmp_path / "cache")
    message = str(caught.value)
    assert "\n" not in message
    assert "give faces.model=PATH" in message
    assert "/first: HTTP Error 404" in message
    assert "/second: not the published file" in message
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_hold_the_detector_is_named(server: dict[str, bytes], tmp_path: Path) -> None:
    server["/first"] = CONTENT
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError) as caught:
        find_detector(None, cache_dir=tmp_path / "file")
    assert str(caught.value) == (
        f"{tmp_path / 'file'}: cannot write the face detector in this folder: File exists; the environment variable "
        "MASKCLS_CACHE names another one, or faces.model=PATH a copy of the detector"
    )


def test_a_detector_of_the_users_own_is_used_or_refused(tmp_path: Path) -> None:
    (tmp_path / "own.onnx").write_bytes(b"own")
    assert find_detector(tmp_path / "own.onnx", cache_dir=tmp_path) == tmp_path / "own.onnx"
    with pytest.raises(UserError, match="no such file; expected face_detection_yunet"):
        find_detector(tmp_path / "none.onnx", cache_dir=tmp_path)
    with pytest.raises(UserError, match="not a detector that OpenCV can read"):
        FaceFinder(tmp_path / "own.onnx", always_crop=False)


def test_another_network_is_no_detector(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    size = [1, 3, 8, 8]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])], "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, size)],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, size)],
    )  # fmt: skip
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8), path)
    with pytest.raises(UserError, match=f"^faces.model={re.escape(str(path))}: not a face detector: "):
        FaceFinder(path, always_crop=False)


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


def test_pictures_without_a_face_and_face_crops_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    report_faces(["found", "fills", "none", "found", "fills"])
    report_faces(["found", "none"])
    assert caplog.messages == [
        "faces found in 4 of 5 pictures (2 are face crops already); the other 1 are classified whole",
        "faces found in 1 of 2 pictures; the other 1 are classified whole",
    ]


@pytest.fixture
def yunet(shared: Path) -> Path:
    return shared / "models" / module.FILE_NAME


@pytest.mark.realdata
def test_a_face_is_found_wherever_it_is(yunet: Path, shared: Path) -> None:
    finder = FaceFinder(yunet, always_crop=False)
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
    auto = [face.finding for face in find_faces(root, paths, FaceFinder(yunet, always_crop=False), threads=2)]
    assert auto.count("fills") >= 55
    always = [face.finding for face in find_faces(root, paths, FaceFinder(yunet, always_crop=True), threads=2)]
    assert always.count("found") >= 58
    assert "fills" not in always


@pytest.mark.realdata
def test_faces_are_found_in_photographs_masked_or_not(yunet: Path, shared: Path) -> None:
    root = shared / "data" / "wild_dev"
    for name in ("WithMask", "WithoutMask"):
        paths = sorted(f"{name}/{path.name}" for path in (root / name).iterdir())[:60]
        faces = find_faces(root, paths, FaceFinder(yunet, always_crop=False), threads=2)
        assert sum(face.finding != "none" for face in faces) >= 57


@pytest.mark.realdata
def test_all_faces_are_found_and_small_ones_counted(yunet: Path, shared: Path) -> None:
    photograph = decode_image(shared / "data" / "wild_dev" / "WithoutMask" / "10.jpg")
    small = cv2.resize(photograph, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    picture = np.full((600, 900, 3), 90, np.uint8)
    for left, pasted in ((20, photograph), (460, photograph), (800, small)):
        picture[100 : 100 + len(pasted), left : left + pasted.shape[1]] = pasted
    finder = FaceFinder(yunet, always_crop=False)
    (one,) = finder.detect_all(photograph, min_size=24).faces
    everything = finder.detect_all(picture, min_size=20)
    assert everything.left_out == 0
    assert [face.size for face in everything.faces[:2]] == pytest.approx([one.size] * 2, rel=0.1)
    assert everything.faces[2].size == pytest.approx(one.size / 4, rel=0.2)
    scores = [face.score for face in everything.faces]
    assert scores == sorted(scores, reverse=True)
    large = finder.detect_all(picture, min_size=60)
    assert (len(large.faces), large.left_out) in {(2, 0), (2, 1)}  # a small face may be missed


@pytest.mark.realdata
def test_prediction_and_evaluation_agree_on_a_picture_with_one_face(yunet: Path, shared: Path) -> None:
    finder = FaceFinder(yunet, always_crop=False)
    for path in sorted((shared / "data" / "wild_dev" / "WithMask").iterdir())[:20]:
        image = decode_image(path)
        height, width = image.shape[:2]
        faces = finder.detect_all(image, min_size=module.MIN_SIZE).faces
        best = finder.crop_of(faces[0], width=width, height=height) if faces else Face("none")
        assert finder.find(image) == best
