"""Opening the items of a source, each by what it is."""

import os
from pathlib import Path

import numpy as np
from images import scene, write_image
from videos import frames_of, numbered, parted, write_video

from maskcls.media.clips import clips
from maskcls.media.frames import Unusable
from maskcls.media.source import File, Source, find_source


def test_a_folder_of_pictures_and_videos(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png", scene(0, 32))
    write_video(tmp_path / "b.mp4", numbered(10))
    write_video(tmp_path / "film.jpg", numbered(3), kind="mp4")  # the content decides
    write_image(tmp_path / "d.png", scene(1, 32))
    (tmp_path / "d.png").rename(tmp_path / "d.mp4")
    found = [(clip.path, clip.is_video, len(frames_of(clip))) for clip in clips(find_source(str(tmp_path)), every=2)]
    assert found == [
        (f"{tmp_path}/b.mp4", True, 5),
        (f"{tmp_path}/d.mp4", False, 1),
        (f"{tmp_path}/film.jpg", True, 2),
        (f"{tmp_path}/in/a.png", False, 1),
    ]


def test_a_still_gif_is_a_picture_and_an_animated_one_a_video(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(3)]
    write_video(tmp_path / "moving.gif", images, codec="gif", pixels="rgb8")
    write_video(tmp_path / "still.gif", images[:1], codec="gif", pixels="rgb8")
    found = [(clip.is_video, len(frames_of(clip))) for clip in clips(find_source(str(tmp_path)))]
    assert found == [(True, 3), (False, 1)]


def test_jpegs_in_a_row_are_a_video_by_their_name(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mjpeg", numbered(4), codec="mjpeg", pixels="yuvj420p", kind="mjpeg")
    assert [len(frames_of(clip)) for clip in clips(find_source(str(path)))] == [4]


def test_what_cannot_be_used_does_not_stop_the_rest(tmp_path: Path) -> None:
    write_image(tmp_path / "z.png", scene(0, 32))
    (tmp_path / "empty.mp4").touch()
    os.mkfifo(tmp_path / "pipe.mp4")
    names = ("gone.mp4", "empty.mp4", "pipe.mp4", "folder", "z.png")
    (tmp_path / "folder").mkdir()
    (tmp_path / "list.txt").write_text("\n".join(names))
    results = [parted(clip) for clip in clips(find_source(f"{tmp_path}/list.txt"))]
    assert [len(frames) for frames, _ in results] == [0, 0, 0, 0, 1]
    assert [unusable for _, unusable in results] == [
        [Unusable(f"{tmp_path}/gone.mp4", "No such file or directory")],
        [Unusable(f"{tmp_path}/empty.mp4", "it is empty")],
        [Unusable(f"{tmp_path}/pipe.mp4", "not a regular file")],
        [Unusable(f"{tmp_path}/folder", "not a regular file")],
        [],
    ]


def test_a_video_is_closed_when_the_next_item_is_asked_for(tmp_path: Path) -> None:
    paths = [write_video(tmp_path / f"{name}.mp4", numbered(5)) for name in "ab"]
    opened = clips(Source("", [File(path) for path in paths]))
    first = iter(next(opened))
    next(first)
    next(opened)
    assert list(first) == []


def test_pictures_may_be_read_after_the_next_one_was_asked_for(tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / f"{name}.png", scene(0, 32))
    assert [len(frames_of(clip)) for clip in list(clips(find_source(str(tmp_path))))] == [1, 1]
