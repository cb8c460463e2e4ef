"""maskcls-demo as a process: it serves a page on this computer alone, and leaves nothing behind."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import numpy as np
import pytest
from configuration import config_of, small, start_run
from images import noisy_image, write_image

from maskcls.commands.demo import demo
from maskcls.commands.train import train
from maskcls.errors import UserError

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


class Served(NamedTuple):
    """A page that is served."""

    address: str
    process: subprocess.Popen[str]
    printed: list[str]  # the lines until the address
    temporary: Path

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def ended(self) -> tuple[int, str]:
        """Press Ctrl-C; return the exit status, and what was printed since the address."""
        self.process.send_signal(signal.SIGINT)
        rest, _ = self.process.communicate(timeout=60)
        return self.process.returncode, rest


@contextmanager
def serving(trained: Path, folder: Path, *keys: str, **environment: str) -> Iterator[Served]:
    (folder / "temporary").mkdir()
    command = [
        sys.executable, "-m", "maskcls", "demo", f"ckpt={trained}", "port=null", "device=cpu", "faces.mode=none",
        f"hydra.run.dir={folder / 'demo'}", *keys,
    ]  # fmt: skip
    env = {**os.environ, "TMPDIR": str(folder / "temporary"), **environment}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as process:
        assert process.stdout is not None
        printed = []
        try:
            for line in process.stdout:
                printed.append(line.strip())
                if found := re.fullmatch(r"the page is at (http://[^/]+)/; Ctrl-C ends it", line.strip()):
                    yield Served(found[1], process, printed, folder / "temporary")
                    break
            else:
                pytest.fail("\n".join(printed))
        finally:
            process.kill()


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    config = small(dataset, f"data.cache_dir={folder / 'cache'}")
    train(config, start_run(folder / "run", config))
    return folder / "run"


@pytest.fixture(scope="module")
def served(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(trained, tmp_path_factory.mktemp("served")) as page:
        yield page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def opened(browser: Any, address: str) -> tuple[Any, list[str]]:
    """A page in a session of its own; and what goes wrong in it, to which requests to other hosts are added."""
    page, wrong = browser.new_context().new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    allowed = (f"{address}/", "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(allowed) else wrong.append(request.url))
    page.goto(address)
    page.wait_for_selector("#picture input[type=file]", state="attached", timeout=60_000)
    return page, wrong


def upload(page: Any, path: Path) -> None:
    page.set_input_files("#picture input[type=file]", path)


def answered_by_hand(served: Served, picture: dict[str, Any]) -> str:
    """What the server says to a request that no browser would make."""
    body, kind = json.dumps({"data": [picture]}).encode(), {"Content-Type": "application/json"}
    with urlopen(Request(f"{served.address}/gradio_api/call/predict", body, kind), timeout=30) as response:
        event = json.load(response)["event_id"]
    with urlopen(f"{served.address}/gradio_api/call/predict/{event}", timeout=30) as response:
        return response.read().decode()


def said_on(page: Any) -> str:
    page.wait_for_selector("#said p", timeout=60_000)
    return page.inner_text("#said").strip()


@pytest.mark.slow
def test_the_page_ends_with_ctrl_c_and_leaves_no_picture(trained: Path, tmp_path: Path) -> None:
    with serving(trained, tmp_path, HTTP_PROXY="http://127.0.0.1:1", http_proxy="http://127.0.0.1:1") as page:
        assert len(page.printed) == 2  # the checkpoint and the address, and nothing of Gradio's
        assert list(page.temporary.glob("maskcls-demo-*"))
        status, rest = page.ended()
        assert status == 128 + signal.SIGINT
        assert "Traceback" not in rest
        assert not list(page.temporary.glob("maskcls-demo-*"))


@pytest.mark.slow
def test_other_addresses_of_this_computer_do_not_answer(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", served.port), timeout=10)


@pytest.mark.slow
@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}, {"meta": {"_type": "x"}}])
def test_a_request_made_by_hand_reads_no_other_files(served: Served, tmp_path: Path, meta: dict[str, Any]) -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    write_image(tmp_path / "private.png", picture)
    write_image(served.temporary / "beside.png", picture)
    uploads = next(served.temporary.glob("maskcls-demo-*"))
    write_image(uploads / "own.png", picture)
    for path in (tmp_path / "private.png", uploads / ".." / "beside.png"):
        assert answered_by_hand(served, {"path": str(path), **meta}).startswith("event: error")
    if meta != {"meta": {"_type": "gradio.FileData"}}:  # the request as such would be answered
        assert "Mask" in answered_by_hand(served, {"path": str(uploads / "own.png"), **meta})


@pytest.mark.slow
@needs_chromium
def test_a_picture_is_answered_in_a_browser(served: Served, browser: Any, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", noisy_image(np.random.default_rng(0), masked=True, height=60, width=60))
    page, wrong = opened(browser, served.address)
    upload(page, tmp_path / "a.png")
    assert re.fullmatch(r"The picture as a whole: With(out)?Mask\.", said_on(page))
    page.wait_for_selector("#answer img", timeout=60_000)
    assert "whole picture" in page.inner_text("#faces")
    assert "Built with Gradio" not in page.inner_text("body")
    assert wrong == []
    page.click("#picture button[aria-label='Remove Image'], #picture button[title='Remove Image']")
    page.wait_for_selector("#answer img", state="detached", timeout=60_000)
    assert "whole picture" not in page.inner_text("#faces")


@pytest.mark.slow
@needs_chromium
def test_a_file_that_is_no_picture_is_told_in_a_sentence(trained: Path, browser: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    with serving(trained, tmp_path) as served:
        page, _ = opened(browser, served.address)
        upload(page, tmp_path / "a.png")
        assert said_on(page) == "This picture cannot be read: a text file, not an image"
        assert "Traceback" not in served.ended()[1]


@pytest.mark.slow
@needs_chromium
def test_two_browsers_get_their_own_answers(served: Served, browser: Any, tmp_path: Path) -> None:
    pages = []
    for width in (60, 120):
        write_image(tmp_path / f"{width}.png", np.full((60, width, 3), width, np.uint8))
        pages.append(opened(browser, served.address)[0])
    for page, width in zip(pages, (60, 120), strict=True):
        upload(page, tmp_path / f"{width}.png")
    for page, ratio in zip(pages, (1, 2), strict=True):
        page.wait_for_selector("#answer img", timeout=60_000)
        page.wait_for_function("document.querySelector('#answer img').naturalWidth > 0")
        image = page.query_selector("#answer img")
        assert image.evaluate("image => image.naturalWidth / image.naturalHeight") == ratio


@pytest.mark.slow
def test_a_page_for_other_computers_says_so(trained: Path, tmp_path: Path) -> None:
    with serving(trained, tmp_path, "host=0.0.0.0") as page:
        assert page.printed[-2] == "host=0.0.0.0: everybody who can reach this computer can use the page"
        with socket.create_connection(("127.0.0.2", page.port), timeout=10):
            pass
        page.ended()


@pytest.mark.slow
def test_a_port_that_is_taken_is_named_and_nothing_is_left(trained: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        keys = (f"ckpt={trained}", f"port={port}", "faces.mode=none", f"hydra.run.dir={tmp_path / 'demo'}")
        command = [sys.executable, "-m", "maskcls", "demo", *keys]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    last = (done.stdout + done.stderr).strip().splitlines()[-1]
    assert last == f"maskcls-demo: port={port}: something is served there already; port=null takes a free one"
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("host", ["192.0.2.1", "none.invalid"])
def test_an_address_of_another_computer_is_refused(trained: Path, tmp_path: Path, host: str) -> None:
    config = config_of("demo", f"ckpt={trained}", f"host={host}", "faces.mode=none", "device=cpu")
    with pytest.raises(UserError, match=rf"^host={host}: not an address of this computer: "):
        demo(config, start_run(tmp_path / "demo", config, "demo"))


def test_a_missing_gradio_is_named(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "maskcls.commands.demo_page", raising=False)
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "no_proxy"):  # the command sets them
        monkeypatch.setenv(name, "")
    config = config_of("demo", f"ckpt={trained}", "device=cpu", "faces.mode=none")
    with pytest.raises(UserError, match=r"^maskcls-demo needs Gradio: pip install 'maskcls\[demo\]'$"):
        demo(config, start_run(tmp_path / "demo", config, "demo"))
