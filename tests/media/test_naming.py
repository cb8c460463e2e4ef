"""Names of annotated pictures and videos."""

from pathlib import Path

import pytest

from maskcls.media.naming import OutputNames

OUT = Path("out")


@pytest.mark.parametrize(
    ("source", "is_video", "expected"),
    [
        ("photos/a.jpg", "", "a.jpg"),
        ("photos/in/b.PNG", "", "in/b.PNG"),
        ("photos/in/b.webp", "", "in/b.webp.jpg"),
        ("photos/no ending", "", "no ending.jpg"),
        ("photos/a.mp4", "yes", "a.mp4"),
        ("photos/a.jpg", "yes", "a.jpg.mp4"),
        ("photos/c.MOV", "yes", "c.MOV.mp4"),
        ("photos/사진 (1).jpeg", "", "사진 (1).jpeg"),
        ("../../etc/x.jpg", "", "etc/x.jpg"),
        ("photos/.hidden.jpg", "", "%2Ehidden.jpg"),
        ("photos/-rf.jpg", "", "%2Drf.jpg"),
        ("photos/a:b|c%.jpg", "", "a%3Ab%7Cc%25.jpg"),
        ("photos/\udcff\n.jpg", "", "%FF%0A.jpg"),
        ("photos/two. /a.jpg", "", "two.%20/a.jpg"),
    ],
)
def test_the_path_is_mirrored(source: str, is_video: str, expected: str) -> None:
    assert OutputNames(OUT, Path("photos")).path_of(source, is_video=bool(is_video)) == OUT / expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("camera 0", "camera 0.mp4"),
        ("standard input", "standard input.mp4"),
        ("rtsp://me:***@cam/x?y=1", "rtsp%3A%2F%2Fme%3A%2A%2A%2A@cam%2Fx%3Fy=1.mp4"),
        ("..", "%2E%2E.mp4"),
        ("/", "%2F.mp4"),
    ],
)
def test_a_source_that_is_no_file_has_one_name(source: str, expected: str) -> None:
    assert OutputNames(OUT).path_of(source, is_video=True) == OUT / expected


def test_no_file_takes_the_place_of_another() -> None:
    names = OutputNames(OUT, Path())
    sources = ["a.webp", "a.webp.jpg", "A.WEBP.jpg", "a.webp", "a.webp.jpg/b.png", "x/y.png", "x"]
    assert [names.path_of(source, is_video=False) for source in sources] == [
        OUT / name
        for name in ("a.webp.jpg", "a.webp (2).jpg", "A.WEBP (3).jpg", "a.webp (4).jpg", "a.webp.jpg_b.png", "x/y.png")
    ] + [OUT / "x.jpg"]
    assert OutputNames(OUT, Path()).path_of("x.jpg/y.png", is_video=False) == OUT / "x.jpg/y.png"
    names = OutputNames(OUT, Path())
    assert [names.path_of(source, is_video=False) for source in ("x.jpg/y.png", "x.jpg")] == [
        OUT / "x.jpg/y.png",
        OUT / "x (2).jpg",
    ]


def test_long_names_are_shortened() -> None:
    path = OutputNames(OUT, Path()).path_of(f"{'마스크' * 60}.png", is_video=False)
    assert len(path.name.encode()) <= 200
    assert path.suffix == ".png"
