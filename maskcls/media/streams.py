"""Addresses: live streams, of which the newest frame is used, and video files of web servers, which are read whole."""

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from maskcls.errors import UserError
from maskcls.media.frames import Clip, Counts
from maskcls.media.live import DroppedError, Picture, live_clip
from maskcls.media.pixels import upright_rgb
from maskcls.media.selection import Selection
from maskcls.media.source import Address
from maskcls.media.videos import clip_of, error_text, first_video, hinted

# seconds to wait for an answer, and for more of a stream
TIMEOUT_SECONDS = 10.0
_INDEX = "if its index is at its end, the server must send parts of files on request: download it, and give source=FILE"
_OPTIONS = {
    # without "file": a playlist must not lead to files of this machine
    "protocol_whitelist": "rtsp,rtsps,rtp,srtp,rtmp,rtmps,udp,tcp,tls,http,https,httpproxy,crypto,data",
    "rtsp_flags": "prefer_tcp",  # over UDP, frames are lost
}


def address_clip(address: Address, selection: Selection) -> Clip:
    """Open an address as a clip: a file of a web server as a video, everything else as a live stream.

    Raises:
        UserError: it cannot be opened. For a live stream, this is raised when the clip is gone through.
    """
    if not address.address.lower().startswith("http"):
        return _live(address, selection, [])
    try:
        container = _opened(address)
    except DroppedError as error:
        raise UserError(f"source: {address.shown}: {error}") from None
    if container.format.name.endswith("_pipe"):  # libav's name for one picture
        container.close()
        raise UserError(f"source: {address.shown}: a picture, not a video; download it, and give source=FILE")
    # a live stream has neither a duration nor a number of bytes
    if container.duration is not None or container.size > 0:
        clip = clip_of(container, address.shown, selection)
        return replace(clip, frames=hinted(clip.frames, _INDEX)) if "mp4" in container.format.name else clip
    return _live(address, selection, [container])


def _live(address: Address, selection: Selection, opened: list[InputContainer]) -> Clip:
    counts = Counts()
    return live_clip(address.shown, partial(_pictures, address, opened, counts), selection, counts)


def _opened(address: Address) -> InputContainer:
    started = time.monotonic()
    try:
        return av.open(address.address, options=_OPTIONS, metadata_errors="replace", timeout=TIMEOUT_SECONDS)
    except av.FFmpegError as error:
        # RTSP gives another error for an interruption
        is_late = time.monotonic() - started >= TIMEOUT_SECONDS
        raise DroppedError(_no_answer() if is_late else _unknown_host(address) or _reason(error)) from None


def _unknown_host(address: Address) -> str:
    """Say that a host does not exist, which libav calls an input/output error; empty if it does."""
    host = urlsplit(address.address).hostname
    try:
        if host is not None:  # udp:// and tcp:// may listen at a port without one
            socket.getaddrinfo(host, None)
    except OSError:
        return f"no host {host} is known"
    return ""


def _pictures(address: Address, opened: list[InputContainer], counts: Counts) -> Iterator[Picture]:
    """Yield the frames of a stream.

    Args:
        opened: the stream, if it is open already; it is taken out of the list.
        counts: where packets are counted that cannot be decoded.
    """
    reformatter = VideoReformatter()
    with opened.pop() if opened else _opened(address) as container:
        stream = first_video(container)
        if isinstance(stream, str):
            raise DroppedError(stream)
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.EOFError:
                    return
                except av.FFmpegError:  # a receiver that joins in the middle lacks what came before
                    counts.undecodable += 1
                    continue
                yield from (partial(_rgb, frame, reformatter) for frame in frames)
        except av.FFmpegError as error:
            raise DroppedError(_reason(error)) from None


def _rgb(frame: VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
    try:
        return upright_rgb(frame, reformatter)
    except av.FFmpegError as error:
        raise DroppedError(error_text(error)) from None


def _reason(error: av.FFmpegError) -> str:
    return _no_answer() if isinstance(error, av.ExitError) else error_text(error)  # libav was interrupted


def _no_answer() -> str:
    return f"no answer for {TIMEOUT_SECONDS:g} seconds"
