"""The demo command: a page in the browser to try a model on."""

import errno
import logging
import os
import socket
import tempfile
import time
from typing import TYPE_CHECKING

import maskcls
from maskcls.commands.outputs import Naming
from maskcls.config import DemoConfig
from maskcls.data.faces import open_finder
from maskcls.errors import UserError
from maskcls.inference.pipeline import Pipeline
from maskcls.reporting.model_card import read_model_card
from maskcls.run import Run, find_checkpoint
from maskcls.wording import named

if TYPE_CHECKING:
    import gradio

log = logging.getLogger(__name__)

# addresses that other computers cannot reach
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# larger files are refused by the page
MAX_FILE = "100mb"


def demo(config: DemoConfig, run: Run) -> None:
    """Serve the page until the process is asked to stop.

    Pictures are kept for an hour or two, in a temporary folder.

    Raises:
        UserError: if Gradio is not installed, or the address cannot be used.
    """
    predictor = maskcls.load(
        config.ckpt, device=config.device, precision=config.precision, threads=config.threads or "auto"
    )
    log.info("checkpoint %s, classes %s", config.ckpt, ", ".join(map(named, predictor.classes)))
    finder = open_finder(config.faces, cache_dir=config.cache_dir)
    pipeline = Pipeline(predictor, finder, min_size=config.faces.min_size, keeps_pictures=True)
    naming = Naming(predictor.classes, predictor.positive, predictor.calibration.threshold)
    _require_address(config.host, config.port)
    with tempfile.TemporaryDirectory(prefix="maskcls-demo-") as folder:
        # Gradio reads these when it is imported; it would ask for its own page through a proxy
        os.environ.update(GRADIO_TEMP_DIR=folder, GRADIO_ANALYTICS_ENABLED="False", no_proxy="*")
        page, theme = _page(pipeline, naming, read_model_card(find_checkpoint(config.ckpt)))
        logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio asks its own server whether it is there
        try:
            _, address, _ = page.launch(
                server_name=config.host,
                server_port=config.port,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                ssr_mode=False,
                max_file_size=MAX_FILE,
                footer_links=[],
                theme=theme,
            )
        except OSError as error:
            raise UserError(f"host={config.host}, port={config.port}: cannot serve there: {error}") from None
        if config.host not in LOOPBACK:
            log.warning("host=%s: everybody who can reach this computer can use the page", config.host)
        log.info("the page is at %s; Ctrl-C ends it", address)
        try:
            while True:
                time.sleep(3600)
        finally:
            page.close(verbose=False)


def _require_address(host: str, port: int | None) -> None:
    """Refuse an address that cannot be served at: Gradio's messages are about its own functions.

    Raises:
        UserError: the address is not this computer's, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port or 0), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port={port}: something is served there already; port=null takes a free one") from None
        if error.errno == errno.EACCES:
            raise UserError(f"port={port}: only an administrator may serve there; take one above 1023") from None
        reason = str(error.strerror).partition(" (")[0]
        raise UserError(f"host={host}: not an address of this computer: {reason}") from None


def _page(pipeline: Pipeline, naming: Naming, model_card: str | None) -> "tuple[gradio.Blocks, gradio.themes.Base]":
    try:
        from maskcls.commands.demo_page import THEME, build_page
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "gradio":
            raise
        raise UserError("maskcls-demo needs Gradio: pip install 'maskcls[demo]'") from None
    return build_page(pipeline, naming, model_card), THEME
