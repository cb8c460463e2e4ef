"""Annotated pictures and videos."""

import errno
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from images import scene
from videos import frames_of, number_of, numbered

from maskcls.data.decode import decode_image
from maskcls.errors import UserError
from maskcls.media.frames import Clip
from maskcls.media.selection import Selection
from maskcls.media.videos import video_clip
from maskcls.media.writing import VideoWriter, write_picture


def read(path: Path) -> Clip:
    return video_clip(path, Selection())


def test_what_an_encoder_does_not_take_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.jpg: a picture of 1 x 70000 pixels is too large for this format; "):
        write_picture(tmp_path / "a.jpg", np.zeros((70_000, 1, 3), np.uint8))
    message = r"a\.mp4: frames of 20000 x 8 pixels are too large for H\.264; "
    with pytest.raises(UserError, match=message), VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(np.zeros((8, 20_000, 3), np.uint8), 0.0)
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


def test_a_png_is_exact_and_a_jpeg_nearly(tmp_path: Path) -> None:
    image = scene(0, 64)
    for name, most in (("in/a.PNG", 0), ("b.jpg", 8), ("b.jpeg", 8)):
        write_picture(tmp_path / name, image)
        written = decode_image(tmp_path / name)
        assert np.abs(written.astype(int) - image).mean() <= most
    assert (tmp_path / "b.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["a.PNG", "b.jpeg", "b.jpg"]


def test_a_video_plays_in_browsers_and_keeps_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.mp4"
    with VideoWriter(path, 30000 / 1001) as writer:
        for number, image in enumerate(numbered(40)):
            writer.write(image, number * 1001 / 30000)
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert isinstance(stream, av.video.stream.VideoStream)
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.average_rate, stream.frames) == (Fraction(30000, 1001), 40)
        assert (container.duration or 0) / 1e6 == pytest.approx(40 * 1001 / 30000, abs=1e-3)
    frames = frames_of(read(path))
    assert [number_of(frame.image) for frame in frames] == [*range(40)]
    assert [frame.seconds for frame in frames] == pytest.approx([n * 1001 / 30000 for n in range(40)], abs=1e-4)


def test_times_are_kept_also_where_the_rate_changes(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.7, 0.71, 3.5]
    with VideoWriter(tmp_path / "a.mp4") as writer:
        for image, seconds in zip(numbered(5), times, strict=True):
            writer.write(image, seconds)
    assert [frame.seconds for frame in frames_of(read(tmp_path / "a.mp4"))] == pytest.approx(times, abs=1e-4)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.duration is not None
        assert container.duration / 1e6 == pytest.approx(3.54, abs=0.01)


def test_frames_with_times_that_do_not_grow_follow_each_other(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4") as writer:
        for image, seconds in zip(numbered(4), [1.0, 1.0, 0.5, 1.1], strict=True):
            writer.write(image, seconds)
    written = [frame.seconds for frame in frames_of(read(tmp_path / "a.mp4"))]
    assert written == pytest.approx([0, 0.001, 0.002, 0.1], abs=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (47, 64), (48, 63), (33, 33)])
def test_odd_sizes_become_even(tmp_path: Path, shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), (200, 40, 60), dtype=np.uint8)
    with VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(image, 0.0)
    (frame,) = frames_of(read(tmp_path / "a.mp4"))
    assert frame.image.shape[:2] == tuple(length + length % 2 for length in shape)
    assert np.abs(frame.image.astype(int) - (200, 40, 60)).max() < 12


def test_a_frame_of_another_size_is_fitted(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(np.full((40, 60, 3), 100, dtype=np.uint8), 0.0)
        writer.write(np.full((80, 80, 3), 200, dtype=np.uint8), 0.1)
        writer.write(np.full((10, 30, 3), 200, dtype=np.uint8), 0.2)
    first, second, third = (frame.image for frame in frames_of(read(tmp_path / "a.mp4")))
    assert first.shape == second.shape == third.shape == (40, 60, 3)
    assert abs(int(second[20, 20, 0]) - 200) < 12
    assert int(second[20, 55, 0]) < 12
    assert abs(int(third[10, 50, 0]) - 200) < 12
    assert int(third[30, 30, 0]) < 12


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_was_written_before_an_interruption_can_be_played(tmp_path: Path, error: type[BaseException]) -> None:
    def write_ten_frames(path: Path) -> None:
        with VideoWriter(path) as writer:
            for number, image in enumerate(numbered(10)):
                writer.write(image, number / 25)
            assert not path.exists()
            raise error

    with pytest.raises(error):
        write_ten_frames(tmp_path / "a.mp4")
    assert [number_of(frame.image) for frame in frames_of(read(tmp_path / "a.mp4"))] == [*range(10)]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.mp4"]


def test_without_frames_there_is_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "new" / "a.mp4"):
        pass
    assert not (tmp_path / "new").exists()


def test_a_video_that_cannot_be_finished_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("maskcls.files.sync", full)
    with pytest.raises(OSError, match="No space left"), VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(numbered(1)[0], 0.0)
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []
