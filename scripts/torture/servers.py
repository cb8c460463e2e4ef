"""A web server that answers as servers must not, and the addresses of a prediction that it serves."""

import http.server
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple

from torture.sources import Case, Expected, Maker, playlist

PASSWORD = "hunter2"
# seconds for which a path does not answer: more than anybody waits
SILENCE = 60
REDIRECTIONS = {"loop": "/loop", "elsewhere": "file:///etc/passwd"}


class Page(NamedTuple):
    """What a path gives.

    Attributes:
        expected: what must come of it.
        content: the bytes.
        length: number of bytes that the server states; None for a stream.
    """

    expected: Expected
    content: bytes
    length: int | None


def pages(make: Maker) -> dict[str, Page]:
    """The paths that give something."""
    video, picture, leading_here = make.video(".ts"), make.picture(".jpg"), playlist(make)
    return {
        "empty": Page("nothing", b"", 0),
        "text": Page("nothing", b"<html>not here</html>", 21),
        "playlist": Page("nothing", leading_here, len(leading_here)),
        "short": Page("something", video[: len(video) * 3 // 4], len(video)),  # the connection ends before the file
        "long": Page("something", video + bytes(1000), len(video)),
        "video": Page("something", video, len(video)),
        "picture": Page("nothing", picture, len(picture)),
        "stream": Page("something", video, None),
    }


class Server(http.server.ThreadingHTTPServer):
    """Serves pages, and paths that give nothing."""

    daemon_threads = True

    def __init__(self, served: Mapping[str, Page]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages = served


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.strip("/")
        with suppress(OSError):  # the other side went away
            if path in self.server.pages:
                _, content, length = self.server.pages[path]
                self._begin(length)
                self.wfile.write(content)
            elif path in REDIRECTIONS:
                self.send_response(302)
                self.send_header("Location", REDIRECTIONS[path])
                self.end_headers()
            elif path == "silent":
                time.sleep(SILENCE)
            elif path == "endless":
                self._begin(None)
                while True:
                    self.wfile.write(bytes(65536))
                    time.sleep(0.01)
            else:
                self.send_error(500 if path == "error" else 404)

    def _begin(self, length: int | None) -> None:
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()


@contextmanager
def addresses(make: Maker) -> Iterator[list[Case]]:
    """Serve the paths, and yield the cases that read from them and from servers that do not exist."""
    served = pages(make)
    with Server(served) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        host = f"user:{PASSWORD}@127.0.0.1:{server.server_port}"
        cases = [Case(f"the page {path}", f"http://{host}/{path}", page.expected) for path, page in served.items()]
        cases += [
            Case(f"the address {path}", f"http://{host}/{path}", "nothing")
            for path in ("missing", "error", "silent", "endless", *REDIRECTIONS)
        ]
        cases += [
            Case(f"an address of {scheme} where nobody listens", f"{scheme}://user:{PASSWORD}@127.0.0.1:1/a", "nothing")
            for scheme in ("http", "https", "rtsp", "rtmp", "tcp", "ftp", "file", "concat", "javascript")
        ]
        cases += [
            Case("a server that speaks no RTSP", f"rtsp://{host}/", "nothing"),
            Case("a server that speaks no TLS", f"https://{host}/", "nothing"),
            Case("no host", "http://", "nothing"),
            Case("a port that is no number", "http://127.0.0.1:port/", "nothing"),
            Case("a host that does not exist", "http://none.invalid/a.mp4", "nothing"),
        ]
        try:
            yield cases
        finally:
            server.shutdown()
