"""Safetensors files with one text beside the tensors, and a digest over both.

The format holds numbers and text, never code (https://github.com/huggingface/safetensors). Its library checks that the
tensors fill the file exactly. The digest detects damage, not manipulation: anyone can compute it.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from maskcls.errors import MACHINE_ERRORS, is_out_of_memory
from maskcls.files import replaced_atomically, without_duplicates

# keys of the file's metadata
DOCUMENT, DIGEST = "maskcls", "sha256"
# bytes in front of the header that give its length
LENGTH_BYTES = 8
# start of the .pt files of older versions; as the length of a header it would be too large
ZIP = b"PK\x03\x04"
# far more than any network needs; the library itself would take 100 MB
MAX_HEADER_BYTES = 2**24


class TensorFileError(Exception):
    """A file is not one that `write_tensors` wrote, or it is damaged. The message says which."""


class TensorFile(NamedTuple):
    """The content of a file.

    Attributes:
        tensors: by name, on the CPU.
        document: the text beside them.
    """

    tensors: dict[str, Tensor]
    document: str


class Metadata(NamedTuple):
    """What a file holds beside tensors: the text, and the digest over text and tensors."""

    document: str
    digest: str


def write_tensors(path: Path, content: TensorFile, previous: Path | None = None) -> None:
    """Write a file. A reader of ``path`` sees the old file or the whole new one.

    Args:
        path: the file to write; its folder is made.
        content: tensors may lie on any device, in any memory format.
        previous: where the file that is replaced goes.

    Raises:
        OSError: if the disk does not take it; both files are as they were.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in content.tensors.items()}
    metadata = {DOCUMENT: content.document, DIGEST: _digest(tensors, content.document)}
    with replaced_atomically(path, previous) as temporary:
        _save(tensors, temporary, metadata)


def _save(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:  # hides what the system said
        if found := re.search(r"([^:]*) \(os error (\d+)\)", str(error)):
            # Windows takes the last one for its own number, and the first one from that
            raise OSError(int(found[2]), found[1].strip(), str(path.parent), int(found[2])) from None
        raise
    path.chmod(mode)  # the library's files are readable by their owner only


def _digest(tensors: Mapping[str, Tensor], document: str) -> str:
    """SHA-256 of the document and of every tensor's name, type, shape and values."""
    digest = hashlib.sha256(document.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_tensors(path: Path, metadata: Metadata | None = None) -> TensorFile:
    """Read what `write_tensors` wrote.

    Args:
        path: the file.
        metadata: as `read_metadata` returned it, if it was read before. A file that was replaced since is refused.

    Raises:
        TensorFileError: if the file is anything else, or damaged.
        OSError, MemoryError: if the machine fails.
    """
    metadata = metadata or read_metadata(path)
    with _told_plainly(), safe_open(path, framework="pt", backend="pread") as file:
        # not memory-mapped: such tensors are a view of the file, and change with it
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is not a dictionary
    if metadata.digest != _digest(tensors, metadata.document):
        raise TensorFileError("a damaged file: the digest does not match its content")
    return TensorFile(tensors, metadata.document)


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Turn what reading a file that is not ours may end in into a TensorFileError."""
    try:
        yield
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        raise TensorFileError(error.strerror or "cannot be read") from None
    except (SafetensorError, ValueError, RuntimeError, AttributeError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        raise TensorFileError(f"not a safetensors file, or a damaged one: {error!s:.100}") from None


def read_metadata(path: Path) -> Metadata:
    """Read the document and the digest, without the tensors. Raises as `read_tensors` does."""
    with _told_plainly(), path.open("rb") as file:
        start = file.read(LENGTH_BYTES)
        if start.startswith(ZIP):
            raise TensorFileError(
                "a zip file, such as what format=torch_export writes, or a checkpoint of an older version of maskcls; "
                "expected a .safetensors file"
            )
        length = int.from_bytes(start, "little")
        if length > MAX_HEADER_BYTES:
            raise ValueError("its header is too large")
        header = json.loads(file.read(length), object_pairs_hook=without_duplicates)
        if not isinstance(header, dict):
            raise ValueError("its header is not a JSON object")
        safe_open(path, framework="pt", backend="pread")  # checks the header, and reads no tensor
    values = header.get("__metadata__") or {}
    document, digest = (values.get(name) for name in (DOCUMENT, DIGEST))
    if not isinstance(document, str) or not isinstance(digest, str):
        raise TensorFileError("not a checkpoint of maskcls")
    return Metadata(document, digest)
