"""ONNX files with a digest over all of their bytes."""

import errno
import hashlib
import os
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from maskcls.models.onnx_file import OnnxFileError, read_sealed, write_sealed


def model_bytes() -> bytes:
    """A model that does nothing, with a text in its metadata."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    other = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    model = helper.make_model(helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [other]))
    model.metadata_props.add(key="maskcls", value="a document")
    return bytes(model.SerializeToString())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file as maskcls writes it."""
    write_sealed(tmp_path / "model.onnx", model_bytes())
    return tmp_path / "model.onnx"


def refusal(path: Path) -> str:
    with pytest.raises(OnnxFileError) as caught:
        read_sealed(path)
    return str(caught.value)


def test_the_digest_is_that_of_the_bytes_before_it(tmp_path: Path) -> None:
    digest = write_sealed(tmp_path / "a", b"content")
    assert digest == hashlib.sha256(b"content").hexdigest()
    assert read_sealed(tmp_path / "a") == (tmp_path / "a").read_bytes()
    assert (tmp_path / "a").read_bytes().startswith(b"content")


def test_onnx_reads_the_digest_as_one_more_text(path: Path) -> None:
    model = onnx.load(path)
    onnx.checker.check_model(model)
    texts = {member.key: member.value for member in model.metadata_props}
    assert texts == {"maskcls": "a document", "sha256": hashlib.sha256(model_bytes()).hexdigest()}


@pytest.mark.hostile
def test_a_bit_that_flips_anywhere_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        assert "damaged" in refusal(path)


@pytest.mark.hostile
@pytest.mark.parametrize("cut", [0, 1, 40, 75, 76, 77, 100])
def test_a_file_that_is_cut_off_is_refused(cut: int, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:cut])
    assert refusal(path).startswith("not an ONNX file that maskcls-export wrote, or a damaged one")


@pytest.mark.hostile
@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04" * 100, model_bytes()])
def test_other_files_are_refused(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    assert refusal(path) == "not an ONNX file that maskcls-export wrote, or a damaged one: its end is another"


def test_what_comes_after_the_digest_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\x08\x0a")
    assert refusal(path).startswith("not an ONNX file")


def test_a_file_that_cannot_be_read_is_refused_and_a_machine_that_fails_is_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refusal(path.parent) == "Is a directory"

    def fail(self: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="Input/output error"):
        read_sealed(path)
