"""What a file that claims to hold tensors and plain values would do, were it read: found out without reading it so.

``torch.load(weights_only=True)`` runs no code, but believes the sizes that it is told, and its reader of zip archives
is not Python's: what the one sees has to be what the other sees.
"""

import io
import math
import os
import pickle
import pickletools
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple

# of the archive's comment, which ends the file: its seal
SEAL_BYTES = 79
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
# and by what they make sets, and dictionaries of many keys at once
FORBIDDEN_OPCODES |= {"EMPTY_SET", "ADDITEMS", "FROZENSET", "DICT"}
# values that a file may hold, each counted as often as it is looked at, and how deep they may lie
MAX_VALUES, MAX_DEPTH = 2_000_000, 32
# bytes of the records that end a zip archive: of 64-bit sizes, where that is, and the last (PKWARE's APPNOTE 4.3)
END64, LOCATOR, END = struct.Struct("<4sQHHIIQQQQ"), struct.Struct("<4sIQI"), struct.Struct("<4s4H2IH")


class ArchiveError(Exception):
    """A file is not what `write_archive` wrote. The message says in what way."""


def inspect_archive(path: Path) -> None:
    """Read the pickle with stand-ins for everything that it names, and hold its sizes against the records'.

    Raises:
        ArchiveError: where it is anything but tensors and plain values, or not what it claims to be.
        Exception: of almost any kind, for a file that was made to mislead.
    """
    with path.open("rb") as file:
        _require_one_reading(file)
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len({name.casefold() for name in entries}) < len(archive.infolist()):  # torch's reader ignores case
            raise ArchiveError("not a checkpoint of maskcls: it has two records of one name")
        if len({name.partition("/")[0] for name in entries}) > 1:  # torch takes the first one's folder
            raise ArchiveError("not a checkpoint of maskcls: its records lie in several folders")
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
    if _count_bytes(_Inspector(content, records).load()) > sum(records.values()):
        raise ArchiveError("its tensors claim more bytes than its records have")


def _require_one_reading(file: BinaryIO) -> None:
    """Check that the archive begins at the file's first byte, and that its end says the same wherever one looks.

    Python's zipfile looks for the end in other places than torch's reader does, and would see other records.
    """
    if file.read(4) != b"PK\x03\x04":  # torch would take it for one of its older formats
        raise ArchiveError("not a checkpoint of maskcls: something stands before its records")
    position = file.seek(-(SEAL_BYTES + END.size), os.SEEK_END)
    signature, *_, size, offset, _ = END.unpack(file.read(END.size))
    if position >= END64.size + LOCATOR.size:
        file.seek(position - END64.size - LOCATOR.size)
        end64 = END64.unpack(file.read(END64.size))
        locator, _, where, _ = LOCATOR.unpack(file.read(LOCATOR.size))
        if locator == b"PK\x06\x07":
            position -= END64.size + LOCATOR.size
            if end64[:2] != (b"PK\x06\x06", END64.size - 12) or where != position:
                raise ArchiveError("a damaged file")
            size, offset = end64[-2:]
    if signature != b"PK\x05\x06" or offset + size != position:
        raise ArchiveError("not a checkpoint of maskcls: something stands between its records")


def _count_bytes(content: Any) -> int:
    """The bytes of all tensors, each counted wherever it is.

    Raises:
        ArchiveError: for too many values: one in two places of another, and so on, makes a short file endless.
    """
    waiting, count, size = [(content, 0)], 0, 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > MAX_VALUES or depth > MAX_DEPTH:
            raise ArchiveError("not a checkpoint of maskcls: it holds too many values")
        if isinstance(value, _Tensor):
            size += value.bytes
        elif isinstance(value, dict):
            waiting += [(item, depth + 1) for item in value.values()]
        elif isinstance(value, list | tuple):
            waiting += [(item, depth + 1) for item in value]
    return size


class _Storage(NamedTuple):
    elements: int
    element_bytes: int


class _Tensor(NamedTuple):
    bytes: int


class _Inspector(pickle._Unpickler):
    """Python's own unpickler, whose memo is a dictionary, that calls nothing but stand-ins."""

    dispatch: ClassVar = {
        **pickle._Unpickler.dispatch,
        pickle.EMPTY_DICT[0]: lambda unpickler: unpickler.append(_Names()),  # type: ignore[attr-defined]
    }

    def __init__(self, content: bytes, records: Mapping[str, int]) -> None:
        super().__init__(io.BytesIO(content))
        self.records = records

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "collections", "OrderedDict":
                return _Names
            case "torch._utils", "_rebuild_tensor_v2":
                return _tensor
            case "torch", name if name in STORAGES:
                return STORAGES[name]
        raise ArchiveError(f"it would run code when read: {module}.{name}"[:200])

    def persistent_load(self, pid: Any) -> _Storage:
        kind, element_bytes, key, device, elements = pid
        is_known = kind == "storage" and isinstance(key, str) and re.fullmatch(DEVICES, device)
        if not is_known or not isinstance(element_bytes, int) or not isinstance(elements, int):
            raise ArchiveError("a damaged file")
        if elements < 0 or self.records.get(key) != elements * element_bytes:
            raise ArchiveError(f"tensor {key} claims {elements} elements, which its record does not have"[:200])
        return _Storage(elements, element_bytes)


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> _Tensor:
    """A stand-in for a tensor, after a look at whether it lies within its storage."""
    if len(shape) != len(stride) or min((offset, *shape, *stride)) < 0:
        raise ArchiveError("a damaged file")
    last = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    # without gaps or overlaps: a number repeated a billion times takes no bytes in the file
    elements = math.prod(shape)
    if (0 not in shape and last >= storage.elements) or elements > storage.elements:
        raise ArchiveError(f"a tensor claims {shape} elements, which its storage does not have"[:200])
    return _Tensor(elements * storage.element_bytes)


class _Names(OrderedDict[Any, Any]):
    """A dictionary of names or numbers: to hash a key that is made of others can take for ever."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, str | int):
            raise ArchiveError("not a checkpoint of maskcls: a key is neither a name nor a number")
        super().__setitem__(key, value)
