"""Broken, empty, odd and hostile sources of a prediction: files, lists, and what is piped in."""

import io
import os
import random
import socket
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from torture.images import FORMATS, mutated

# something: at least one picture; nothing: exit status 2; either: which of both depends on where the damage is
Expected = Literal["something", "nothing", "either"]

# container and encoder of videos
VIDEOS = {".mp4": "libx264", ".mkv": "libx264", ".webm": "libvpx", ".avi": "mpeg4", ".ts": "mpeg2video"}


class Case(NamedTuple):
    """One source.

    Attributes:
        what: what is odd about it, for the description of a failure.
        source: what is given as source=.
        expected: what must come of it.
        good: ordinary pictures in it, each of which must get an answer.
        piped: file whose bytes are on standard input.
        arguments: further ones of the command.
    """

    what: str
    source: str
    expected: Expected
    good: tuple[Path, ...] = ()
    piped: Path | None = None
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Maker:
    """Writes sources into a folder.

    Attributes:
        folder: gets the files.
        generator, noise: what they contain follows from their seeds.
    """

    folder: Path
    generator: random.Random
    noise: np.random.Generator

    def path(self, name: str) -> Path:
        """A path in a folder of its own."""
        place = self.folder / str(sum(1 for _ in self.folder.iterdir()))
        place.mkdir()
        return place / name

    def file(self, name: str, content: bytes) -> Path:
        """Write a file."""
        path = self.path(name)
        path.write_bytes(content)
        return path

    def pixels(self, height: int = 48, width: int = 40) -> np.ndarray:
        """Noise, BGR uint8 [height, width, 3]."""
        return self.noise.integers(0, 256, (height, width, 3), dtype=np.uint8)

    def picture(self, suffix: str = ".png") -> bytes:
        """The bytes of an ordinary picture."""
        return bytes(cv2.imencode(suffix, self.pixels())[1])

    def video(self, suffix: str = ".mp4", frames: int = 30) -> bytes:
        """The bytes of an ordinary video."""
        buffer = io.BytesIO()
        names = {".ts": "mpegts", ".mkv": "matroska"}
        with av.open(buffer, "w", format=names.get(suffix, suffix[1:])) as container:
            stream = container.add_stream(VIDEOS[suffix], rate=25)
            assert isinstance(stream, VideoStream)
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
            for _ in range(frames):
                container.mux(stream.encode(VideoFrame.from_ndarray(self.pixels(48, 64), "bgr24")))
            container.mux(stream.encode(None))
        return buffer.getvalue()

    def sound(self) -> bytes:
        """The bytes of a film without pictures."""
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as container:
            stream = container.add_stream("aac", rate=8000, layout="mono")
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.sample_rate = 8000
            container.mux(stream.encode(silence))
            container.mux(stream.encode(None))
        return buffer.getvalue()


def damaged_video(content: bytes, generator: random.Random) -> bytes:
    """A video that is cut off, has a hole, has lost a part, or has wrong bytes here and there."""
    start, length = generator.randrange(len(content)), generator.choice([1, 100, len(content) // 3])
    match generator.randrange(4):
        case 0:
            return content[:start]
        case 1:
            return content[:start] + bytes(min(length, len(content) - start)) + content[start + length :]
        case 2:
            return content[:start] + content[start + length :]
        case _:
            return mutated(content, generator)


def damaged(make: Maker) -> Iterator[Case]:
    """Pictures and videos with random damage, without end."""
    while True:
        suffix = make.generator.choice(FORMATS)
        yield Case(f"damaged {suffix}", str(make.file(f"a{suffix}", mutated(make.picture(suffix), make.generator))),
                   "either")  # fmt: skip
        suffix = make.generator.choice([*VIDEOS])
        content = damaged_video(make.video(suffix), make.generator)
        yield Case(f"damaged {suffix}", str(make.file(f"a{suffix}", content)), "either")
        piped = make.file("piped", content)
        yield Case(f"damaged {suffix}, piped in", "-", "either", piped=piped)
        yield _among_good(make, suffix, content)


def _among_good(make: Maker, suffix: str, content: bytes) -> Case:
    """A folder with damaged files between ordinary ones."""
    first = make.file("a.png", make.picture())
    last = first.with_name("z.jpg")
    last.write_bytes(make.picture(".jpg"))
    (first.parent / f"b{suffix}").write_bytes(content)
    for number in range(4):
        kind = make.generator.choice(FORMATS)
        (first.parent / f"{number}{kind}").write_bytes(mutated(make.picture(kind), make.generator))
    return Case(f"a folder with a damaged {suffix}", str(first.parent), "something", (first, last))


def odd_files(make: Maker) -> Iterator[Case]:
    """Files that are no picture and no video, look like one, or are made to mislead."""
    nothing = {
        "empty.png": b"", "empty.mp4": b"", "zeros.mp4": bytes(4096), "noise.mkv": make.generator.randbytes(4096),
        "text.avi": b"Hello\n" * 100, "page.mp4": b"<!doctype html><title>404</title>",
        "zip.mov": b"PK\3\4" + bytes(60), "head.mp4": make.video()[:32], "sound.mp4": make.sound(),
        "bomb.png": _bomb(), "script.svg": _SVG,
        "playlist.mp4": playlist(make), "concat.mkv": _concat(make), "playlist.m3u8": playlist(make),
        "null": b"", "document.pdf": b"%PDF-1.7\n" + bytes(50),
    }  # fmt: skip
    for name, content in nothing.items():
        yield Case(name, str(make.file(name, content)), "nothing")
        yield Case(f"{name}, piped in", "-", "nothing", piped=make.file(name, content))
    something = {
        "picture.mp4": make.picture(), "video.png": make.video(), "video.txt": make.video(".mkv"),
        "one pixel.png": bytes(cv2.imencode(".png", make.pixels(1, 1))[1]),
        "thin.png": bytes(cv2.imencode(".png", make.pixels(1, 4000))[1]),
        "deep.png": bytes(cv2.imencode(".png", make.pixels().astype(np.uint16) * 257)[1]),
        "grey.jpg": bytes(cv2.imencode(".jpg", make.pixels()[..., 0])[1]),
        "one frame.mp4": make.video(frames=1), "no name": make.video(".webm"), "no name either": make.picture(".webp"),
        "two.mp4": make.video() + make.video(), "tail.jpg": make.picture(".jpg") + bytes(1000),
    }  # fmt: skip
    for name, content in something.items():
        yield Case(name, str(make.file(name, content)), "something")
        yield Case(f"{name}, piped in", "-", "something", piped=make.file(name, content))
    yield Case("a video of which a rule takes no frame but the first", str(make.file("a.mp4", make.video())),
               "something", arguments=("every=1000000",))  # fmt: skip


def odd_names(make: Maker) -> Iterator[Case]:
    """Names that shells, patterns, spreadsheets and libraries read otherwise."""
    names = (
        "new\nline.png", "a'b\"c.jpg", "-.png", "=1+1.png", "100%.png", "[a].png", "a*b.png", "$HOME.png", "한글.png",
        "\u1112\u1161.png", "space .png ", "a,b=c.png", "{a}.png", "0", "rtsp:.png", "\x1b[31mred.png",
        "a" * 250 + ".png",
    )  # fmt: skip
    for name in names:
        good = make.file(name, make.picture())
        yield Case(f"a folder with {name!r}", str(good.parent), "something", (good,))
    raw = Path(os.fsdecode(bytes(make.path("")) + b"/\xff\xfe.png"))
    raw.write_bytes(make.picture())
    yield Case("a name that is not UTF-8", str(raw.parent), "something", (raw,))
    for name in names[:6]:
        make.file(f"other {name}", make.picture())
        yield Case(f"a file {name!r} that does not exist", str(make.folder / name), "nothing")


def odd_places(make: Maker) -> Iterator[Case]:
    """Folders, patterns, lists, cameras and special files."""
    empty, good = make.path("none").parent, make.file("a.png", make.picture())
    yield Case("an empty folder", str(empty), "nothing")
    yield Case("a pattern that matches nothing", f"{empty}/*.jpg", "nothing")
    yield Case("a pattern over all", f"{good.parent}/**", "something", (good,))
    loop = make.file("b.png", make.picture())
    (loop.parent / "again").symlink_to(loop.parent)
    (loop.parent / "dangling.png").symlink_to("none.png")
    yield Case("a folder that holds itself", str(loop.parent), "something", (loop,))
    fifo = make.path("pipe.png")
    os.mkfifo(fifo)
    listener = make.path("socket.mp4")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(listener))
    for special in (fifo, listener, "/dev/null", "/dev/zero", "/proc/self/cmdline", "/dev/full"):
        yield Case(f"the special file {special}", str(special), "nothing")
    (good.parent / "pipe.mp4").symlink_to(fifo)
    yield Case("a folder with a pipe", str(good.parent), "something", (good,))
    yield from (Case(f"camera {number}", number, "nothing") for number in ("0", "99", "0000", "-1", "1e3"))
    yield Case("nothing", "", "nothing")
    yield from _lists(make, good)


def _lists(make: Maker, good: Path) -> Iterator[Case]:
    contents: dict[str, tuple[bytes, Expected]] = {
        "empty list": (b"", "nothing"),
        "comments only": (b"# nothing\n\n  \n", "nothing"),
        "missing files": (b"/none/a.png\n/none/b.mp4\n", "nothing"),
        "UTF-16": (f"{good}\n".encode("utf-16"), "nothing"),
        "zeros": (b"a\0b\n", "nothing"),
        "one file twice, one missing": (f"{good}\r\n{good}\n/none/c.png\n".encode(), "something"),
        "byte-order mark": (f"{good}".encode("utf-8-sig"), "something"),
        "addresses": (b"http://127.0.0.1:1/a.png\nrtsp://127.0.0.1:1/\n", "nothing"),
        "a line without end": (b"a" * 1_000_000, "nothing"),
        "itself": (b"list.txt\n", "nothing"),
    }
    for what, (content, expected) in contents.items():
        path = make.file("list.txt", content)
        yield Case(f"a list, {what}", str(path), expected, (good,) if expected == "something" else ())


_SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def _bomb() -> bytes:
    """A PNG file that claims to have 100,000 x 100,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(100_000))
    chunks = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data, b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def playlist(make: Maker) -> bytes:
    """A playlist that leads to a video of this machine."""
    return f"#EXTM3U\n#EXTINF:1,\nfile://{make.file('secret.ts', make.video('.ts'))}\n#EXT-X-ENDLIST\n".encode()


def _concat(make: Maker) -> bytes:
    """A script of libav's that leads to a video of this machine."""
    return f"ffconcat version 1.0\nfile {make.file('secret.mkv', make.video('.mkv'))}\n".encode()
