"""Files of tensors and plain values that are known to be whole, and are read without running what they hold.

What `torch.save` writes is a zip archive: a pickle, and a record of bytes for each tensor. The archive's comment is a
seal, the SHA-256 of everything before it, so that any tool that reads such files reads these. The seal tells of
accidents, not of malice: anyone can compute it. So the pickle is inspected before torch reads it, for
``torch.load(weights_only=True)`` runs no code but believes the sizes that it is told.
"""

import hashlib
import io
import os
import pickle
import pickletools
import re
import shutil
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from maskcls.run import replaced_atomically

# in front of the digest, in hexadecimal
SEAL = b"maskcls sha256 "
SEAL_BYTES = len(SEAL) + 64
# of the pickle: that of VGG-16 in training has some ten thousand
MAX_PICKLE_BYTES = 2**24
# what a pickle of tensors and plain values names, with the bytes of a storage's element
STORAGES = {
    "BoolStorage": 1,
    "ByteStorage": 1,
    "IntStorage": 4,
    "LongStorage": 8,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "FloatStorage": 4,
    "DoubleStorage": 8,
}
# where tensors may have been when they were written
DEVICES = r"(cpu|cuda|mps)(:\d+)?"
# what the pickles of later protocols would call functions by; `torch.save` writes protocol 2
FORBIDDEN_OPCODES = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER"}


class ArchiveError(Exception):
    """A file is not what `write_archive` wrote. The message says in what way."""


def write_archive(path: Path, content: Mapping[str, Any], previous: Path | None = None) -> None:
    """Write tensors and plain values; a reader of ``path`` sees the old file or the whole new one.

    Args:
        previous: where the file that is replaced goes.

    Raises:
        OSError: where the disk does not take it; both files are as they were.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_atomically(path) as temporary:
        with temporary.open("wb") as file:
            try:
                torch.save(dict(content), file)
            except RuntimeError as error:  # torch's writer hides what the system said
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise
        _seal(temporary)
        if previous is not None and path.exists():
            with replaced_atomically(previous) as older:
                _link(path, older)


def _seal(path: Path) -> None:
    with path.open("r+b") as file:
        # the archive's last two bytes are the length of its comment
        file.seek(-2, os.SEEK_END)
        file.write(SEAL_BYTES.to_bytes(2, "little"))
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0, os.SEEK_END)
        file.write(SEAL + digest.encode())


def _link(path: Path, name: Path) -> None:
    try:
        name.hardlink_to(path)
    except OSError:  # a file system without links
        shutil.copyfile(path, name)


def read_archive(path: Path) -> Any:
    """Read what `write_archive` wrote, onto the CPU, without running any code that a file may hold.

    Raises:
        ArchiveError: where it is anything else, or damaged.
    """
    try:
        _check_seal(path)
        _inspect(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except ArchiveError:
        raise
    except OSError as error:
        raise ArchiveError(error.strerror or "cannot be read") from None
    except Exception:  # a file that was made to mislead ends in almost any error
        raise ArchiveError("a damaged file") from None


def _check_seal(path: Path) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        remaining = file.seek(0, os.SEEK_END) - SEAL_BYTES
        if remaining < 0:
            raise ArchiveError("not a checkpoint of maskcls, or the end of the file is missing")
        file.seek(remaining)
        seal = file.read()
        if not seal.startswith(SEAL):
            raise ArchiveError("not a checkpoint of maskcls, or the end of the file is missing")
        file.seek(0)
        while remaining:
            part = file.read(min(remaining, 2**20))
            if not part:
                break
            digest.update(part)
            remaining -= len(part)
    if seal != SEAL + digest.hexdigest().encode():
        raise ArchiveError("a damaged file: its bytes are not those that were written")


def _inspect(path: Path) -> None:
    """Read the pickle with stand-ins for everything that it names, and hold its sizes against the records'."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":  # torch would take it for one of its older formats
            raise ArchiveError("not a checkpoint of maskcls: something stands before its records")
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) < len(archive.infolist()):
            raise ArchiveError("not a checkpoint of maskcls: it has two records of one name")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise ArchiveError("not a checkpoint of maskcls: its records are compressed")
        if sum(entry.file_size for entry in entries.values()) > path.stat().st_size:
            raise ArchiveError("its records claim more bytes than the file has")
        pickles = [name for name in entries if name.endswith("/data.pkl")]
        if len(pickles) != 1 or entries[pickles[0]].file_size > MAX_PICKLE_BYTES:
            raise ArchiveError("not a checkpoint of maskcls: expected one pickle of a few megabytes")
        folder = pickles[0].removesuffix("data.pkl")
        records = {
            name.removeprefix(f"{folder}data/"): entry.file_size
            for name, entry in entries.items()
            if name.startswith(f"{folder}data/")
        }
        with archive.open(pickles[0]) as file:
            content = file.read()
    opcodes = {opcode.name for opcode, _, _ in pickletools.genops(content)}
    if found := opcodes & FORBIDDEN_OPCODES:
        raise ArchiveError(f"it would run code when read: {', '.join(sorted(found))}")
    _Inspector(content, records).load()


class _Inspector(pickle._Unpickler):
    """Python's own unpickler, whose memo is a dictionary, that calls nothing but stand-ins."""

    def __init__(self, content: bytes, records: Mapping[str, int]) -> None:
        super().__init__(io.BytesIO(content))
        self.records = records

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "collections", "OrderedDict":
                return OrderedDict
            case "torch._utils", "_rebuild_tensor_v2":
                return _tensor
            case "torch", name if name in STORAGES:
                return STORAGES[name]
        raise ArchiveError(f"it would run code when read: {module}.{name}"[:200])

    def persistent_load(self, pid: Any) -> int:
        """The number of elements of a storage."""
        kind, element_bytes, key, device, elements = pid
        is_known = kind == "storage" and re.fullmatch(DEVICES, device)
        if not is_known or not isinstance(element_bytes, int) or not isinstance(elements, int):
            raise ArchiveError("a damaged file")
        if elements < 0 or self.records.get(key) != elements * element_bytes:
            raise ArchiveError(f"tensor {key} claims {elements} elements, which its record does not have"[:200])
        return elements


def _tensor(
    elements: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> tuple[str, tuple[int, ...]]:
    """A stand-in for a tensor, after a look at whether it lies within its storage."""
    if len(shape) != len(stride) or min((offset, *shape, *stride)) < 0:
        raise ArchiveError("a damaged file")
    last = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    if 0 not in shape and last >= elements:
        raise ArchiveError(f"a tensor claims {shape} elements, which its storage does not have"[:200])
    # without gaps or overlaps: a number repeated a billion times takes no bytes in the file
    if torch.Size(shape).numel() > elements:
        raise ArchiveError(f"a tensor claims {shape} elements, which its storage does not have"[:200])
    return "tensor", shape
