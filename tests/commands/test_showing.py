"""What a prediction shows: annotated pictures and videos, the gallery, plots over time, a window."""

import sys
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from seen import NAMING, answered, detection, picture, video

from maskcls.commands import showing
from maskcls.commands.showing import (
    WindowClosedError,
    annotated,
    has_screen,
    marks_of,
    percent,
    plot_timelines,
    require_screen,
    save_annotated,
    show_window,
    write_gallery,
)
from maskcls.data.decode import decode_image
from maskcls.errors import UserError
from maskcls.media.frames import Unusable
from maskcls.media.naming import OutputNames
from maskcls.reporting.gallery import Headline


def test_a_label_says_class_and_probability() -> None:
    (mark,) = marks_of([answered(0.25, detection(3, 20, 30))], NAMING)
    assert (mark.box, mark.text, mark.colour) == ((3, 20, 30, 30), "WithoutMask 75%", 1)


def test_labels_of_several_faces_begin_with_the_number_in_the_table() -> None:
    marks = marks_of([answered(0.25, detection()), answered(0.9, detection(50))], NAMING)
    assert [mark.text for mark in marks] == ["1 WithoutMask 75%", "2 WithMask 90%"]
    assert [mark.short for mark in marks] == ["1", "2"]


def test_a_picture_without_an_answer_says_so() -> None:
    (mark,) = marks_of([], NAMING)
    assert (mark.box, mark.text, mark.colour) == (None, "no face", None)


@pytest.mark.parametrize(
    ("probability", "text"), [(0.5, "50%"), (0.994, "99%"), (0.9951, ">99%"), (1.0, ">99%")]
)  # fmt: skip
def test_nothing_is_called_certain(probability: float, text: str) -> None:
    assert percent(probability) == text


def test_heat_maps_lie_where_their_faces_are_beside_the_picture() -> None:
    heat = np.ones((8, 8), np.float32)
    seen = picture("a.jpg", answered(0.9, detection(10, 20, 30), heat))
    drawn = annotated(seen, NAMING, "squeeze", explains=True)
    assert drawn.shape == (100, 240, 3)
    changed = (drawn[:, 120:] != 128).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (columns.min(), columns.max() + 1) == (10, 40)
    assert (rows.min(), rows.max() + 1) == (20, 50)


@pytest.mark.parametrize("resize", ["squeeze", "crop", "pad"])
def test_the_heat_map_of_a_whole_picture_covers_what_the_network_saw(resize: str) -> None:
    seen = picture("a.jpg", answered(0.9, None, np.ones((8, 8), np.float32)))
    drawn = annotated(seen, NAMING, resize, explains=True)  # type: ignore[arg-type]
    columns = np.nonzero((drawn[50, 120:] != 128).any(axis=1))[0]
    assert (columns.min(), columns.max() + 1) == ((10, 110) if resize == "crop" else (0, 120))


def test_pictures_keep_their_place_and_their_name(tmp_path: Path) -> None:
    names = OutputNames(tmp_path / "annotated", root=tmp_path)
    with save_annotated(names, NAMING, "squeeze", explains=False) as add:
        for name in ("a/face.png", "b/face.jpg", "b/face.webp"):
            add(picture(str(tmp_path / name), answered(0.9, detection())))
        add(Unusable("gone.jpg", "gone"))
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert written == {"annotated/a/face.png", "annotated/b/face.jpg", "annotated/b/face.webp.jpg"}
    shown = decode_image(tmp_path / "annotated/a/face.png")
    assert (shown == annotated(picture("a", answered(0.9, detection())), NAMING, "squeeze", explains=False)).all()


def test_an_explained_frame_without_a_face_is_as_wide_as_the_others() -> None:
    empty, other = video("a.mp4", [], [answered(0.9, detection(), np.ones((8, 8), np.float32))])
    shapes = {annotated(seen, NAMING, "squeeze", explains=True).shape for seen in (empty, other)}
    assert shapes == {(100, 240, 3)}


def test_each_video_is_a_file(tmp_path: Path) -> None:
    with save_annotated(OutputNames(tmp_path, root=tmp_path), NAMING, "squeeze", explains=False) as add:
        for path, count in (("street.mp4", 3), ("other/street.mkv", 5)):
            for seen in video(str(tmp_path / path), *[[answered(0.9, detection())]] * count):
                add(seen)
    for name, count in (("street.mp4", 3), ("other/street.mkv.mp4", 5)):
        with av.open(str(tmp_path / name)) as container:
            assert [round(frame.time or 0, 2) for frame in container.decode(video=0)] == [n / 10 for n in range(count)]


def test_the_gallery_shows_each_face_and_each_picture_without_one(tmp_path: Path) -> None:
    headline = Headline("run", "photos", NAMING.classes)
    with write_gallery(tmp_path / "gallery.html", headline, NAMING) as add:
        add(picture("party.jpg", answered(0.9, detection()), answered(0.2, detection(50), np.ones((8, 8), np.float32))))
        add(picture("nobody.jpg"))
        add(Unusable("gone.jpg", "gone"))
    page = (tmp_path / "gallery.html").read_text(encoding="utf-8")
    assert page.count("party.jpg") == 2
    assert page.count("nobody.jpg") == 1
    assert "1 file could not be read" in page


def test_timelines_are_drawn_for_videos_only(tmp_path: Path) -> None:
    with plot_timelines(tmp_path / "plots", NAMING) as add:
        add(picture("a.jpg", answered(0.9)))
    assert not (tmp_path / "plots").exists()
    with plot_timelines(tmp_path / "plots", NAMING) as add:
        for path in ("one.mp4", "two.mp4"):
            for seen in video(path, [answered(0.9, detection())], [], rate=0.5):
                add(seen)
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["timeline.png", "timeline_2.png"]


def test_a_timeline_counts_by_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[object, ...]] = []

    def timeline(seconds: np.ndarray, frames: np.ndarray, faces: np.ndarray, *_: object) -> None:
        drawn.append((seconds.tolist(), frames.tolist(), faces.tolist()))

    monkeypatch.setattr("maskcls.reporting.plots.timeline", timeline)
    frames = [[answered(0.9, detection())], [answered(0.9, detection()), answered(0.1, detection())], [], []]
    with plot_timelines(tmp_path, NAMING) as add:
        for seen in video("one.mp4", *frames, rate=2):
            add(seen)
    assert drawn == [([0, 1], [2, 2], [[2, 1], [0, 0]])]


class Window:
    """Stands for OpenCV's windows: remembers what is shown, and closes at a key."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, keys: Iterator[int]) -> None:
        self.shown: list[np.ndarray] = []
        self.titles: list[str] = []
        self.is_open = False
        for name, function in {
            "namedWindow": lambda *_: setattr(self, "is_open", True),
            "destroyAllWindows": lambda: setattr(self, "is_open", False),
            "imshow": lambda _, image: self.shown.append(image),
            "setWindowTitle": lambda _, title: self.titles.append(title),
            "waitKey": lambda _: next(keys),
            "getWindowProperty": lambda *_: 1.0,
        }.items():
            monkeypatch.setattr(cv2, name, function)


def test_a_window_shows_each_picture_and_q_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(monkeypatch, iter([-1, ord("q")]))
    large = picture("a.jpg", answered(0.9, detection()), image=np.full((720, 2560, 3), (200, 0, 0), np.uint8))

    def show() -> None:
        with show_window(NAMING, "squeeze", "maskcls, 0", explains=False) as add:
            assert window.is_open
            add(Unusable("gone", "gone"))
            add(large)
            add(large)

    with pytest.raises(WindowClosedError):
        show()
    assert [image.shape for image in window.shown] == [(360, 1280, 3)] * 2
    assert window.shown[0][300, 1000].tolist() == [0, 0, 200]  # OpenCV's order of the channels
    assert window.titles[0].startswith("maskcls, 0: ")
    assert not window.is_open


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, False), ("linux", {"DISPLAY": ":0"}, True), ("linux", {"WAYLAND_DISPLAY": "w"}, True),
        ("darwin", {}, True), ("win32", {}, True),
    ],
)  # fmt: skip
def test_whether_there_is_a_screen(
    platform: str,
    variables: dict[str, str],
    expected: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert has_screen() == expected


def test_an_opencv_without_windows_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "has_screen", lambda: True)
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           NONE\n")
    with pytest.raises(UserError, match=r"^show=true: this OpenCV shows no windows; install opencv-python"):
        require_screen()
