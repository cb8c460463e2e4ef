"""Standard input."""

import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from images import scene, write_image
from videos import frames_of, number_of, numbered, parted, write_video

from maskcls.media import piped
from maskcls.media.frames import Clip, Unusable
from maskcls.media.piped import piped_clip
from maskcls.media.selection import Selection
from maskcls.media.source import StandardInput


class _Input:
    """Stands in for sys.stdin."""

    def __init__(self, buffer: io.BufferedReader) -> None:
        self.buffer = buffer


Pipe = Callable[[bytes], Clip]


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    """Returns the clip of a pipe that another thread writes some bytes into."""
    with ExitStack() as stack:

        def piped_bytes(content: bytes) -> Clip:
            reading, writing = os.pipe()

            def write() -> None:
                with open(writing, "wb") as file:
                    file.write(content)

            thread = threading.Thread(target=write)
            stack.callback(thread.join, 10)
            thread.start()
            monkeypatch.setattr(sys, "stdin", _Input(stack.enter_context(open(reading, "rb"))))
            return piped_clip(StandardInput(), Selection())

        yield piped_bytes


@pytest.mark.parametrize("ending", ["mkv", "ts", "avi", "mp4"])
def test_a_video(tmp_path: Path, pipe: Pipe, ending: str) -> None:
    options = {"movflags": "faststart"} if ending == "mp4" else None
    path = write_video(tmp_path / f"a.{ending}", numbered(30), options=options)
    clip = pipe(path.read_bytes())
    assert (clip.path, clip.is_video) == ("standard input", True)
    assert [number_of(frame.image) for frame in frames_of(clip)] == [*range(30)]


def test_a_picture(tmp_path: Path, pipe: Pipe) -> None:
    write_image(tmp_path / "a.png", scene(0, 200))
    clip = pipe((tmp_path / "a.png").read_bytes())
    assert (clip.path, clip.is_video) == ("standard input", False)
    (frame,) = frames_of(clip)
    np.testing.assert_array_equal(frame.image, scene(0, 200))


def test_animations(tmp_path: Path, pipe: Pipe) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(4)]
    for count in (4, 1):
        path = write_video(tmp_path / "a.gif", images[:count], codec="gif", pixels="rgb8")
        clip = pipe(path.read_bytes())
        assert (clip.is_video, len(frames_of(clip))) == (count > 1, count)


def test_a_file_that_is_redirected_may_have_its_index_at_its_end(
    tmp_path: Path, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    path = write_video(tmp_path / "a.mp4", [rng.integers(0, 256, (96, 128, 3), dtype=np.uint8) for _ in range(30)])
    with path.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", _Input(file))
        assert len(frames_of(piped_clip(StandardInput(), Selection()))) == 30
    _, (unusable,) = parted(pipe(path.read_bytes()))
    assert unusable.path == "standard input"
    assert unusable.reason.endswith(
        "; if its index is at its end, give the file itself as source=FILE, because a pipe is read from its beginning"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "it is empty"), (b"words\n" * 999, "a text file, not a video"), (bytes(5000), "zeros only, not a video")],
)
def test_what_is_neither(pipe: Pipe, content: bytes, reason: str) -> None:
    assert parted(pipe(content))[1] == [Unusable("standard input", reason)]


def test_a_picture_that_is_too_large(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piped, "MAX_BYTES", 2000)
    _, (unusable,) = parted(pipe(b"\xff\xd8\xff" + bytes(3000)))
    assert unusable.reason == "more than the 2,000 bytes allowed"


def test_a_signal_while_it_is_read_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupting(io.BufferedReader):
        def read1(self, size: int = -1, /) -> bytes:
            if self.tell() > 20_000:
                raise KeyboardInterrupt
            return super().read1(size)

        def seekable(self) -> bool:
            return False

    rng = np.random.default_rng(0)
    path = write_video(tmp_path / "a.mkv", [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(40)])
    with path.open("rb", buffering=0) as raw:
        monkeypatch.setattr(sys, "stdin", _Input(Interrupting(raw)))
        with pytest.raises(KeyboardInterrupt):
            list(piped_clip(StandardInput(), Selection()))
