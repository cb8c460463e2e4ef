"""Pictures as clips of one frame."""

from pathlib import Path

import numpy as np
from images import scene, write_image
from videos import frames_of, parted

from maskcls.media.frames import Unusable
from maskcls.media.pictures import picture_clip, picture_of


def test_a_picture_is_one_frame(tmp_path: Path) -> None:
    image = scene(0, 32)
    write_image(tmp_path / "a.png", image)
    for clip in (picture_clip(tmp_path / "a.png"), picture_of((tmp_path / "a.png").read_bytes(), "standard input")):
        assert (clip.is_video, clip.fps, clip.length) == (False, None, None)
        (frame,) = frames_of(clip)
        assert (frame.path, frame.number, frame.seconds) == (clip.path, 0, None)
        assert (frame.damage, frame.remark) == (None, None)
        np.testing.assert_array_equal(frame.image, image)


def test_a_damaged_picture_says_so(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", scene(0, 64))
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-800])
    (frame,) = frames_of(picture_clip(tmp_path / "a.jpg"))
    assert frame.damage == "cut off: its end is missing"


def test_the_reason_does_not_repeat_the_path(tmp_path: Path) -> None:
    path = tmp_path / "gone.png"
    assert parted(picture_clip(path)) == ([], [Unusable(str(path), "No such file or directory")])
    assert parted(picture_of(b"words", "standard input"))[1] == [
        Unusable("standard input", "a text file, not an image")
    ]
