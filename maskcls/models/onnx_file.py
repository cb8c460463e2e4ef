"""ONNX files that maskcls-export writes: the graph, one JSON document beside it, and a digest over both.

A file of protocol buffers may be continued: fields that are appended to it are merged with those before. So the digest
is the last field, over all bytes before it. It detects damage, not manipulation: anyone can compute it.
"""

import hashlib
from pathlib import Path

from maskcls.errors import raise_machine_failure

# keys of the file's metadata: the JSON document, the model card of the training, the number format, and the digest
DOCUMENT, CARD, PRECISION, DIGEST = "maskcls", "model_card", "precision", "sha256"
# the graph's input, uint8 [batch, height, width, 3]; and its outputs, float32 [batch, classes]
INPUT, PROBABILITIES, LOGITS = "images", "probabilities", "logits"
# letters of a digest
LENGTH = 64


class OnnxFileError(Exception):
    """A file is not one that `write_sealed` wrote, or it is damaged. The message says which."""


def write_sealed(path: Path, content: bytes) -> str:
    """Write an ONNX file with its digest, and return the digest.

    Args:
        path: the file to write.
        content: the serialized model, without a digest.
    """
    digest = hashlib.sha256(content).hexdigest()
    with path.open("wb") as file:
        file.write(content)
        file.write(_seal(digest))
    return digest


def read_sealed(path: Path) -> bytes:
    """Read a file that `write_sealed` wrote.

    Returns:
        The whole file, as a runtime takes it.

    Raises:
        OnnxFileError: if the file is anything else, or damaged.
        OSError: if the machine fails.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise_machine_failure(error, path)
        raise OnnxFileError(error.strerror or "cannot be read") from None
    seal = _seal("0" * LENGTH)
    body, end = memoryview(content)[: -len(seal)], content[-len(seal) :]
    if not end.startswith(seal[:-LENGTH]):
        raise OnnxFileError("not an ONNX file that maskcls-export wrote, or a damaged one: its end is another")
    if end != _seal(hashlib.sha256(body).hexdigest()):
        raise OnnxFileError("a damaged file: the digest does not match its content")
    return content


def _seal(digest: str) -> bytes:
    """A member of an ONNX model's ``metadata_props``, which is field 14: a key, field 1, and a value, field 2.

    Each field begins with its number and its kind in a byte, and with its length, which one byte holds below 128
    (https://protobuf.dev/programming-guides/encoding).
    """
    member = b"\x0a" + bytes([len(DIGEST)]) + DIGEST.encode() + b"\x12" + bytes([len(digest)]) + digest.encode()
    return b"\x72" + bytes([len(member)]) + member
