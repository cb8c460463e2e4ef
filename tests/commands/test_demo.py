"""maskcls-demo as a process: it serves a page on this computer alone, and leaves nothing behind."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from configuration import config_of, small, start_run
from images import noisy_image, write_image

from maskcls.commands.demo import demo
from maskcls.commands.train import train
from maskcls.errors import UserError

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    config = small(dataset, f"data.cache_dir={folder / 'cache'}")
    train(config, start_run(folder / "run", config))
    return folder / "run"


@pytest.fixture
def served(trained: Path, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a page, and the process that serves it."""
    (tmp_path / "temporary").mkdir()
    keys = (f"ckpt={trained}", "port=null", "device=cpu", "faces.mode=none", f"hydra.run.dir={tmp_path / 'demo'}")
    command = [sys.executable, "-m", "maskcls", "demo", *keys]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        printed = []
        for line in process.stdout:
            printed.append(line)
            if found := re.match(r"the page is at (http://127\.0\.0\.1:\d+)/", line):
                assert len(printed) == 2  # the checkpoint before, and nothing of Gradio's
                yield found[1], process
                break
        else:
            pytest.fail("".join(printed))
        process.kill()


@pytest.mark.slow
def test_the_page_ends_with_ctrl_c_and_leaves_no_picture(
    served: tuple[str, subprocess.Popen[str]], tmp_path: Path
) -> None:
    _, process = served
    assert list((tmp_path / "temporary").glob("maskcls-demo-*"))
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 128 + signal.SIGINT
    assert not list((tmp_path / "temporary").glob("maskcls-demo-*"))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_picture_is_answered_in_a_browser(served: tuple[str, subprocess.Popen[str]], tmp_path: Path) -> None:
    import numpy as np
    from playwright.sync_api import sync_playwright

    address, _ = served
    write_image(tmp_path / "a.png", noisy_image(np.random.default_rng(0), masked=True, height=60, width=60))
    asked, errors = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(address)
        page.wait_for_selector("#picture input[type=file]", state="attached", timeout=60_000)
        page.set_input_files("#picture input[type=file]", tmp_path / "a.png")
        page.wait_for_selector("#answer img", timeout=60_000)
        said, table = page.inner_text("#said"), page.inner_text("#faces")
        browser.close()
    assert re.fullmatch(r"The picture as a whole: With(out)?Mask\.", said.strip())
    assert "whole picture" in table
    assert errors == []
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


@pytest.mark.slow
def test_a_page_for_other_computers_says_so(trained: Path, tmp_path: Path) -> None:
    keys = (f"ckpt={trained}", "host=0.0.0.0", "port=null", "faces.mode=none", f"hydra.run.dir={tmp_path / 'demo'}")
    command = [sys.executable, "-m", "maskcls", "demo", *keys]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        printed = []
        for line in process.stdout:
            printed.append(line.strip())
            if line.startswith("the page is at"):
                break
        process.kill()
    assert printed[-2] == "host=0.0.0.0: everybody who can reach this computer can use the page"


@pytest.mark.slow
def test_a_port_that_is_taken_is_named_and_nothing_is_left(trained: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        keys = (f"ckpt={trained}", f"port={port}", "faces.mode=none", f"hydra.run.dir={tmp_path / 'demo'}")
        command = [sys.executable, "-m", "maskcls", "demo", *keys]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    last = (done.stdout + done.stderr).strip().splitlines()[-1]
    expected = rf"maskcls-demo: port={port}: cannot serve at 127\.0\.0\.1: .*; port=null takes a free one"
    assert re.fullmatch(expected, last)
    assert not (tmp_path / "demo").exists()


def test_a_missing_gradio_is_named(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "maskcls.commands.demo_page", raising=False)
    monkeypatch.setitem(sys.modules, "gradio", None)
    config = config_of("demo", f"ckpt={trained}", "device=cpu", "faces.mode=none")
    with pytest.raises(UserError, match=r"^maskcls-demo needs Gradio: pip install 'maskcls\[demo\]'$"):
        demo(config, start_run(tmp_path / "demo", config, "demo"))
