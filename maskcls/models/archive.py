"""Files of tensors and plain values that are known to be whole, and are read without running what they hold.

What `torch.save` writes is a zip archive: a pickle, and a record of bytes for each tensor. The archive's comment is a
seal, the SHA-256 of everything before it, so that any tool that reads such files reads these. The seal tells of
accidents, not of malice: anyone can compute it. So the file is inspected before torch reads it.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from maskcls.errors import MACHINE_ERRORS, is_out_of_memory
from maskcls.files import replaced_atomically, sync
from maskcls.models.inspection import SEAL_BYTES, ArchiveError, inspect_archive

# in front of the digest, in hexadecimal
SEAL = b"maskcls sha256 "


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
        sync(temporary)  # before the one that it replaces is moved
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
        OSError, MemoryError: where it is the machine that fails.
    """
    try:
        _check_seal(path)
        inspect_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except ArchiveError:
        raise
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        raise ArchiveError(error.strerror or "cannot be read") from None
    except Exception as error:  # a file that was made to mislead ends in almost any error
        if is_out_of_memory(error):  # of what is inspected it is the machine that has too little
            raise
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
