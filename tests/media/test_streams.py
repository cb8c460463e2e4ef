"""Streams and files of web servers, served on this machine."""

import http.server
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from videos import frames_of, number_of, numbered, parted, write_video

from maskcls.errors import UserError
from maskcls.media import live, streams
from maskcls.media.frames import Frame, Unusable
from maskcls.media.selection import Selection
from maskcls.media.source import Address
from maskcls.media.streams import address_clip


class _Server(http.server.ThreadingHTTPServer):
    """Serves a video: ``/file`` with its length, ``/live`` without it and at its own pace, again and again.

    Attributes:
        content: the bytes of the video.
        connections: sockets of those who watch ``/live``.
    """

    daemon_threads = True

    def __init__(self, content: bytes, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.content = content
        self.connections: list[socket.socket] = []

    def drop(self) -> None:
        """Break all connections off."""
        while self.connections:
            with suppress(OSError):  # the other side has closed it
                self.connections.pop().shutdown(socket.SHUT_RDWR)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        self.send_response(200)
        content = self.server.content
        if self.path.startswith("/file"):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.path.startswith("/file"):
            self.wfile.write(content[: len(content) // 2] if "broken" in self.path else content)
            return
        self.server.connections.append(self.connection)
        try:
            while True:
                for start in range(0, len(content), 1880):
                    self.wfile.write(content[start : start + 1880])
                    time.sleep(0.002)
        except OSError:
            pass


@contextmanager
def serving(content: bytes, port: int = 0) -> Iterator[_Server]:
    with _Server(content, port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            server.drop()
            thread.join(10)


@pytest.fixture
def transport_stream(tmp_path: Path) -> bytes:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (96, 128, 3), dtype=np.uint8) for _ in range(40)]
    return write_video(tmp_path / "a.ts", images).read_bytes()


def address(server: _Server, path: str) -> Address:
    return Address(f"http://user:secret@127.0.0.1:{server.server_port}/{path}")


def test_a_file_of_a_web_server_is_read_whole(tmp_path: Path) -> None:
    with serving(write_video(tmp_path / "a.mp4", numbered(30)).read_bytes()) as server:
        clip = address_clip(address(server, "file"), Selection(every=2))
        assert (clip.path, clip.length) == (f"http://user:***@127.0.0.1:{server.server_port}/file", 30)
        frames = []
        for frame in clip:
            assert isinstance(frame, Frame)
            frames.append(number_of(frame.image))
            time.sleep(0.01)  # a slow reader misses nothing
        assert frames == [*range(0, 30, 2)]
        assert (clip.counts.skipped, clip.counts.dropped) == (15, 0)


def test_a_picture_of_a_web_server_is_refused(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg", ".webp"):
        content = cv2.imencode(suffix, np.zeros((20, 30, 3), np.uint8))[1].tobytes()
        with serving(content) as server, pytest.raises(UserError, match="a picture, not a video; download it, and"):
            address_clip(address(server, f"file{suffix}"), Selection())


def test_an_index_at_the_end_is_explained(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)  # more than libav reads at once, so that it has to go back
    images = [rng.integers(0, 256, (240, 320, 3), dtype=np.uint8) for _ in range(40)]
    with serving(write_video(tmp_path / "a.mp4", images).read_bytes()) as server:
        (unusable,) = list(address_clip(address(server, "file"), Selection()))
    assert isinstance(unusable, Unusable)
    assert unusable.reason.endswith(streams._INDEX)


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(UserError, match=r"^source: http://none\.invalid/a\.mp4: no host none\.invalid is known$"):
        address_clip(Address("http://none.invalid/a.mp4"), Selection())


def test_a_file_that_breaks_off_gives_what_came(transport_stream: bytes) -> None:
    with serving(transport_stream) as server:
        frames, (unusable,) = parted(address_clip(address(server, "file-broken"), Selection()))
    assert 10 <= len(frames) <= 25
    assert "secret" not in unusable.path + unusable.reason
    assert unusable.reason.endswith(f"the {len(frames)} frames before that are used")


def test_a_live_stream_is_opened_again_when_it_breaks_off(
    transport_stream: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live, "PAUSES", (0.05, 0.1))
    with caplog.at_level(logging.WARNING), serving(transport_stream) as server:
        clip = address_clip(address(server, "live"), Selection())
        numbers = []
        for frame in clip:
            assert isinstance(frame, Frame)
            numbers.append(frame.number)
            if len(numbers) == 10:
                before = frame.number
                server.drop()
            if len(numbers) > 10 and frame.number > before + 25:  # more than the decoder may have held
                break
        clip.close()
    assert numbers == sorted(set(numbers))
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"http://user:***@127.0.0.1:{server.server_port}/live: broke off: ")
    assert line.endswith("; try 1 of 2 in 0.05 s")


def test_a_slow_reader_of_a_live_stream_gets_the_newest_frames(transport_stream: bytes) -> None:
    with serving(transport_stream) as server:
        clip = address_clip(address(server, "live"), Selection())
        numbers = []
        for frame in clip:
            assert isinstance(frame, Frame)
            numbers.append(frame.number)
            time.sleep(0.1)
            if len(numbers) == 6:
                break
        clip.close()
    assert np.diff(numbers).max() > 1
    assert clip.counts.dropped >= numbers[-1] - len(numbers) + 1


def test_a_server_that_goes_away_ends_the_clip(transport_stream: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PAUSES", (0.01, 0.01))
    with serving(transport_stream) as server:
        frames = iter(address_clip(address(server, "live"), Selection()))
        assert isinstance(next(frames), Frame)
    *_, last = frames
    assert not isinstance(last, Frame)
    assert last.reason.startswith("broke off, also after 2 more tries: Connection refused; the ")


def test_addresses_that_give_nothing_are_refused(transport_stream: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "TIMEOUT_SECONDS", 0.3)
    with serving(transport_stream) as server, socket.create_server(("127.0.0.1", 0)) as silent:
        missing = address(server, "missing")
        mute = f"127.0.0.1:{silent.getsockname()[1]}/x"
        for given, reason in (
            (missing, "Server returned 404 Not Found"),
            (Address(f"http://u:secret@{mute}"), "no answer for 0.3 seconds"),
            (Address(f"rtsp://u:secret@{mute}"), "no answer for 0.3 seconds"),
            (Address("rtsp://u:secret@127.0.0.1:9/x"), "Connection refused"),
            (Address("tcp://127.0.0.1:9"), "Connection refused"),
            (Address("udp://127.0.0.1:9999"), "no answer for 0.3 seconds"),
        ):
            with pytest.raises(UserError) as caught:
                list(address_clip(given, Selection()))
            assert str(caught.value) == f"source: {given.shown}: {reason}"
            assert "secret" not in str(caught.value)


def test_a_page_is_no_stream() -> None:
    with serving(b"<!doctype html><p>words</p>" * 50) as server, pytest.raises(UserError, match="Invalid data found"):
        address_clip(address(server, "file"), Selection())


@pytest.mark.hostile
def test_a_playlist_does_not_lead_to_files_of_this_machine(tmp_path: Path) -> None:
    secret = write_video(tmp_path / "secret.ts", numbered(5))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    with serving(playlist.encode()) as server, pytest.raises(UserError):
        frames_of(address_clip(address(server, "file.m3u8"), Selection()))


def test_a_transport_stream_over_tcp(transport_stream: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PAUSES", ())

    def send(server: socket.socket) -> None:
        with server.accept()[0] as connection:
            connection.sendall(transport_stream)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=send, args=(server,))
        thread.start()
        frames, (unusable,) = parted(address_clip(Address(f"tcp://127.0.0.1:{server.getsockname()[1]}"), Selection()))
        thread.join(10)
    assert frames
    assert unusable.reason == "broke off, also after 0 more tries: it has ended; the 40 frames before that are used"
