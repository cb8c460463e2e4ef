"""Video files: frames, times, and what is kept of broken ones."""

import os
from pathlib import Path

import av
import numpy as np
import pytest
from videos import frames_of, number_of, numbered, parted, write_sound, write_video

from maskcls.media.frames import Unusable
from maskcls.media.selection import Selection
from maskcls.media.videos import DAMAGED, video_clip


def noisy(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(count)]


def cut(path: Path, share: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov", "avi", "ts", "flv"])
def test_every_frame_has_its_number_and_its_time(tmp_path: Path, ending: str) -> None:
    path = write_video(tmp_path / f"a.{ending}", numbered(30))
    clip = video_clip(path, Selection())
    assert (clip.path, clip.is_video, clip.fps) == (str(path), True, 25)
    assert clip.length is not None
    assert abs(clip.length - 30) <= 2
    frames = frames_of(clip)
    assert [frame.number for frame in frames] == [*range(30)]
    assert [number_of(frame.image) for frame in frames] == [*range(30)]
    assert [frame.seconds for frame in frames] == pytest.approx([number / 25 for number in range(30)], abs=1e-3)
    assert {(frame.path, frame.damage, frame.remark) for frame in frames} == {(str(path), None, None)}
    assert (clip.counts.skipped, clip.counts.undecodable) == (0, 0)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_changing_rate_and_a_late_beginning(tmp_path: Path, ending: str) -> None:
    times = [500, 540, 700, 1500, 1520, 4000]
    path = write_video(tmp_path / f"a.{ending}", numbered(6), times=times)
    seconds = [frame.seconds for frame in frames_of(video_clip(path, Selection()))]
    assert seconds == pytest.approx([(time - 500) / 1000 for time in times], abs=2e-3)


def test_a_video_without_times_has_those_of_its_rate(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.h264", numbered(10), kind="h264")
    frames = frames_of(video_clip(path, Selection()))
    assert [frame.seconds for frame in frames] == pytest.approx([number / 25 for number in range(10)])


def test_skipped_frames_are_counted_and_keep_their_numbers(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered(30))
    clip = video_clip(path, Selection(every=10))
    assert [(frame.number, number_of(frame.image)) for frame in frames_of(clip)] == [(0, 0), (10, 10), (20, 20)]
    assert clip.counts.skipped == 27
    clip = video_clip(path, Selection(max_fps=5))
    assert [frame.seconds for frame in frames_of(clip)] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert clip.counts.skipped == 24


def test_one_frame(tmp_path: Path) -> None:
    clip = video_clip(write_video(tmp_path / "a.mp4", numbered(1)), Selection())
    assert clip.length == 1
    assert [frame.seconds for frame in frames_of(clip)] == [0]


def test_an_animation(tmp_path: Path) -> None:
    clip = video_clip(write_video(tmp_path / "a.gif", noisy(5), codec="gif", pixels="rgb8"), Selection())
    assert [frame.seconds for frame in frames_of(clip)] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])


def test_the_first_of_several_videos_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("ffv1", rate=25) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for first, second in zip(numbered(5), noisy(5), strict=True):
            for stream, image in zip(streams, (first, second), strict=True):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
    assert [number_of(frame.image) for frame in frames_of(video_clip(path, Selection()))] == [*range(5)]


@pytest.mark.parametrize("name", ["a:b.mp4", "-.mp4", "%d.mp4", "concat:x|y.mp4", "사진 1.mp4", "\udcff.mp4"])
def test_odd_names(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / "a.mp4", numbered(3)).rename(tmp_path / name)
    assert len(frames_of(video_clip(tmp_path / name, Selection()))) == 3


@pytest.mark.parametrize("ending", ["mkv", "flv", "mp4"])
def test_a_cut_off_video_gives_what_is_left(tmp_path: Path, ending: str) -> None:
    options = {"movflags": "faststart"} if ending == "mp4" else None
    path = cut(write_video(tmp_path / f"a.{ending}", noisy(50), options=options), 0.6)
    frames, (unusable,) = parted(video_clip(path, Selection()))
    assert 20 <= len(frames) <= 31
    assert unusable.path == str(path)
    assert unusable.reason.startswith("cut off: it ends after 1.")
    assert unusable.reason.endswith(
        f" of 2.0{'8' if ending == 'flv' else '0'} seconds; the {len(frames)} frames before that are used"
    )


def test_sound_that_goes_on_is_no_cut(tmp_path: Path) -> None:
    for ending in ("mkv", "mp4"):
        path = write_video(tmp_path / f"a.{ending}", numbered(10), sound=True)
        assert len(frames_of(video_clip(path, Selection()))) == 10


def test_a_video_without_its_index(tmp_path: Path) -> None:
    path = cut(write_video(tmp_path / "a.mp4", noisy(20)), 0.5)
    assert parted(video_clip(path, Selection())) == (
        [],
        [Unusable(str(path), "an MP4 film without an index: it is cut off, damaged or was never finished")],
    )


@pytest.mark.hostile
@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "avi"])
def test_damage_in_the_middle(tmp_path: Path, ending: str) -> None:
    path = write_video(tmp_path / f"a.{ending}", noisy(50))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(value ^ 0x5A for value in content[middle : middle + 3000])
    path.write_bytes(content)
    clip = video_clip(path, Selection())
    frames = frames_of(clip)
    assert 40 <= len(frames) <= 50
    # where the damage hides the packets themselves, nothing tells that they are missing
    assert clip.counts.undecodable == (50 - len(frames) if ending == "mp4" else 0)


def test_damaged_frames_say_so(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", noisy(30), codec="mpeg4")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(300)
    path.write_bytes(content)
    frames = frames_of(video_clip(path, Selection()))
    assert {frame.damage for frame in frames} == {DAMAGED, None}


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"words\n", "a text file, not a video"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "a text file, not a video"),
        (b"ffconcat version 1.0\nfile b.mp4\n", "a text file, not a video"),
        (
            b"\x1a\x45\xdf\xa3" + bytes(2000),
            "an MKV or WebM film without an index: it is cut off, damaged or was never finished",
        ),
    ],
)
def test_what_is_no_video(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert parted(video_clip(path, Selection())) == ([], [Unusable(str(path), reason)])


def test_sound_only(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.mp4")
    assert parted(video_clip(path, Selection()))[1] == [Unusable(str(path), "holds sound only, no video")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all files")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered(1))
    path.chmod(0)
    assert parted(video_clip(path, Selection()))[1] == [Unusable(str(path), "Permission denied")]


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    assert parted(video_clip(path, Selection()))[1] == [Unusable(str(path), "No such file or directory")]


@pytest.mark.hostile
def test_frames_that_claim_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", numbered(5))
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "3000")
    frames, (unusable,) = parted(video_clip(path, Selection()))
    assert frames == []
    assert unusable.reason.startswith("none of its frames can be decoded")


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "a.mkv", noisy(20))
    parted(video_clip(cut(tmp_path / "a.mkv", 0.5), Selection()))
    assert capfd.readouterr() == ("", "")
