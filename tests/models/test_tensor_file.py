"""Files of tensors: written whole, read back bit for bit, and refused in a line if anything about them is wrong."""

import errno
import json
import os
import resource
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import write_raw
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from maskcls.models import tensor_file
from maskcls.models.tensor_file import (
    DIGEST,
    DOCUMENT,
    LENGTH_BYTES,
    MAX_HEADER_BYTES,
    TensorFile,
    TensorFileError,
    read_metadata,
    read_tensors,
    write_tensors,
)

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2,
    torch.complex64, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint64, torch.uint32, torch.uint16, torch.uint8, torch.bool,
]  # fmt: skip
F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
METADATA = {DOCUMENT: "text", DIGEST: "0" * 64}
DAMAGED = "not a safetensors file, or a damaged one: "
CHANGED = "a damaged file: the digest does not match its content"
TWICE = DAMAGED + "a name occurs twice"
TEXT = '{"text": "얼굴\\n\\u0000 \U0001f637", "n": 0.1}'


def content(seed: int = 0) -> TensorFile:
    """Tensors of several types and shapes, and a text."""
    torch.manual_seed(seed)
    tensors = {
        "features.0.weight": torch.randn(4, 3, 3, 3),
        "features.0.bias": torch.randn(4),
        "batches": torch.tensor(7),
        "half": torch.randn(3).bfloat16(),
    }
    return TensorFile(tensors, TEXT)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with the content of `content`, alone in a folder."""
    path = tmp_path / "folder" / "a.safetensors"
    write_tensors(path, content())
    return path


def bits(tensor: Tensor) -> bytes:
    """The bytes of a tensor's values, in the order of its indices."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_same(found: TensorFile, expected: TensorFile) -> None:
    assert found.document == expected.document
    assert found.tensors.keys() == expected.tensors.keys()
    for name, tensor in expected.tensors.items():
        assert (found.tensors[name].dtype, found.tensors[name].shape) == (tensor.dtype, tensor.shape)
        assert bits(found.tensors[name]) == bits(tensor)


def refusal(path: Path) -> str:
    with pytest.raises(TensorFileError) as caught:
        read_tensors(path)
    return str(caught.value)


def test_what_is_written_is_read(path: Path) -> None:
    assert_same(read_tensors(path), content())
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_is_read_bit_for_bit(dtype: torch.dtype, tmp_path: Path) -> None:
    raw = np.random.default_rng(0).integers(0, 2 if dtype is torch.bool else 256, 240, dtype=np.uint8)
    tensor = torch.from_numpy(raw).view(dtype).reshape(5, -1)
    expected = TensorFile({"x": tensor}, "")
    write_tensors(tmp_path / "x.safetensors", expected)
    assert_same(read_tensors(tmp_path / "x.safetensors"), expected)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3.5),
        torch.zeros(0),
        torch.zeros(3, 0, 2, dtype=torch.int64),
        torch.randn(8, 3, 5, 5).to(memory_format=torch.channels_last),
        torch.arange(12).reshape(3, 4).t(),
        torch.arange(10)[::3],
        torch.arange(3).expand(4, 3),
        nn.Parameter(torch.randn(2, 2)),
        torch.tensor([float("nan"), float("inf"), -0.0, 5e-324], dtype=torch.float64),
    ],
    ids=["scalar", "empty", "empty axis", "channels last", "transposed", "sliced", "expanded", "parameter", "odd"],
)
def test_every_layout_is_read_bit_for_bit(tensor: Tensor, tmp_path: Path) -> None:
    expected = TensorFile({"x": tensor}, "text")
    write_tensors(tmp_path / "x.safetensors", expected)
    assert_same(read_tensors(tmp_path / "x.safetensors"), expected)


def test_a_file_may_hold_no_tensor(tmp_path: Path) -> None:
    write_tensors(tmp_path / "x.safetensors", TensorFile({}, "text"))
    assert read_tensors(tmp_path / "x.safetensors") == ({}, "text")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tensors_of_a_gpu_are_read_on_the_cpu(tmp_path: Path) -> None:
    tensor = torch.randn(3, 4, device="cuda")
    write_tensors(tmp_path / "x.safetensors", TensorFile({"x": tensor}, ""))
    assert torch.equal(read_tensors(tmp_path / "x.safetensors").tensors["x"], tensor.cpu())


def test_other_programs_read_it(path: Path) -> None:
    found = load_file(path)
    assert found.keys() == content().tensors.keys()
    assert torch.equal(found["features.0.weight"], content().tensors["features.0.weight"])


def test_what_was_read_does_not_change_with_the_file(path: Path) -> None:
    found = read_tensors(path)
    with path.open("r+b") as file:  # as cp does, which does not make a new file
        file.truncate(0)
        file.write(bytes(5000))
    assert_same(found, content())


def test_the_file_is_as_private_as_others_of_the_user(tmp_path: Path) -> None:
    modes = {}
    for mask in (0o022, 0o077, 0o002):
        before = os.umask(mask)
        try:
            write_tensors(tmp_path / "x.safetensors", content(), previous=tmp_path / "y.safetensors")
        finally:
            os.umask(before)
        modes[mask] = (tmp_path / "x.safetensors").stat().st_mode & 0o777
    assert modes == {0o022: 0o644, 0o077: 0o600, 0o002: 0o664}
    assert (tmp_path / "y.safetensors").stat().st_mode & 0o777 == 0o600


def test_what_is_replaced_is_kept(path: Path) -> None:
    previous = path.with_name("previous.safetensors")
    for seed in (1, 2, 3):
        write_tensors(path, content(seed), previous=previous)
        assert_same(read_tensors(path), content(seed))
        assert_same(read_tensors(previous), content(seed - 1))
    assert sorted(os.listdir(path.parent)) == ["a.safetensors", "previous.safetensors"]


def test_nothing_is_kept_if_nothing_is_replaced(tmp_path: Path) -> None:
    write_tensors(tmp_path / "x.safetensors", content(), previous=tmp_path / "previous.safetensors")
    assert not (tmp_path / "previous.safetensors").exists()


def test_a_file_system_without_links_gets_a_copy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    write_tensors(path, content(1), previous=path.with_name("previous.safetensors"))
    assert_same(read_tensors(path.with_name("previous.safetensors")), content())


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def library_on_a_full_disk(tensors: object, file: Path, metadata: object) -> None:
    file.write_bytes(b"half")
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def test_windows_own_number_of_an_error_is_told_as_such(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: Es ist voll. (os error 112)")

    monkeypatch.setattr("maskcls.models.tensor_file.save_file", save)
    made: list[tuple[object, ...]] = []

    class Error(OSError):  # on Windows, the fourth decides about the first
        def __init__(self, *values: object) -> None:
            made.append(values)
            super().__init__(*values)

    monkeypatch.setattr("maskcls.models.tensor_file.OSError", Error, raising=False)
    with pytest.raises(Error, match=r"Es ist voll\."):
        write_tensors(path, content(1))
    assert made == [(112, "Es ist voll.", str(path.parent), 112)]


@pytest.mark.parametrize(
    ("name", "function"),
    [("models.tensor_file.save_file", library_on_a_full_disk), ("files.sync", full_disk), ("files._link", full_disk)],
)
def test_a_write_that_fails_leaves_what_was_there(
    name: str, function: Callable[..., None], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    previous = path.with_name("previous.safetensors")
    write_tensors(path, content(1), previous=previous)
    monkeypatch.setattr(f"maskcls.{name}", function)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_tensors(path, content(2), previous=previous)
    assert caught.value.errno == errno.ENOSPC
    assert_same(read_tensors(path), content(1))
    assert_same(read_tensors(previous), content())
    assert sorted(os.listdir(path.parent)) == ["a.safetensors", "previous.safetensors"]


def test_a_disk_that_is_full_at_some_byte_leaves_what_was_there(path: Path) -> None:
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for limit in (0, 1, 5_000, 100_000, 7_999_999):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            with pytest.raises(OSError, match="File too large") as caught:
                write_tensors(path, TensorFile({"x": torch.zeros(2_000_000)}, ""), path.with_name("previous"))
            assert caught.value.errno == errno.EFBIG
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_an_error_of_the_library_that_is_not_the_systems_passes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise SafetensorError("Error while serializing: validation failed")

    monkeypatch.setattr(tensor_file, "save_file", fail)
    with pytest.raises(SafetensorError, match="validation failed"):
        write_tensors(path, content(1))
    assert_same(read_tensors(path), content())


def test_every_flipped_byte_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    bit = np.random.default_rng(0)
    messages = set()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(bit.integers(8))
        path.write_bytes(damaged)
        messages.add(refusal(path))
    assert CHANGED in messages  # the library alone would not notice
    assert not any("\n" in message for message in messages)


def test_every_truncation_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for length in (*range(20), *np.random.default_rng(0).integers(len(whole), size=50).tolist(), len(whole) - 1):
        path.write_bytes(whole[:length])
        refusal(path)
    for more in (b"\0", b"more", whole):
        path.write_bytes(whole + more)
        refusal(path)


def test_values_that_change_places_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, TensorFile({"a": torch.zeros(2), "b": torch.ones(2)}, "text"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-16] + whole[-8:] + whole[-16:-8])
    assert refusal(path) == CHANGED


@pytest.mark.parametrize("change", ["name", "dtype", "shape", "document"])
def test_the_digest_covers_more_than_the_values(change: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, TensorFile({"abc": torch.zeros(6)}, "text"))
    old, new = {
        "name": (b'"abc"', b'"abd"'),
        "dtype": (b'"F32"', b'"I32"'),
        "shape": (b"[6]", b"[6,1]"),
        "document": (b'"text"', b'"tex"'),
    }[change]
    whole = path.read_bytes()
    assert whole.count(old) == 1
    header = whole[LENGTH_BYTES:-24].replace(old, new)
    write_raw(path, header, whole[-24:])
    assert refusal(path) == CHANGED


def tensor(**changes: Any) -> dict[str, Any]:
    """A header with one tensor, which claims what it is told to."""
    return {"__metadata__": METADATA, "x": {**F32, **changes}}


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        (tensor(shape=[2]), bytes(4), DAMAGED + "Error while deserializing header: invalid shape"),
        (tensor(shape=[12_500_000_000]), bytes(4), DAMAGED),
        (tensor(shape=[12_500_000_000], data_offsets=[0, 50_000_000_000]), bytes(4), DAMAGED),
        (tensor(shape=[2**32, 2**32]), bytes(4), DAMAGED + "Error while deserializing header: overflow"),
        (tensor(shape=[2**62, 4, 0], data_offsets=[0, 0]), b"", DAMAGED),
        (tensor(shape=[0, 2**63], data_offsets=[0, 0]), b"", DAMAGED),
        (tensor(shape=[2**64]), bytes(4), DAMAGED),
        (tensor(shape=[-1]), bytes(4), DAMAGED),
        (tensor(shape=[1.0]), bytes(4), DAMAGED),
        (tensor(shape="1"), bytes(4), DAMAGED),
        (tensor(shape=None), bytes(4), DAMAGED),
        (tensor(dtype="F64"), bytes(4), DAMAGED),
        (tensor(dtype="object"), bytes(4), DAMAGED),
        (tensor(dtype="F6_E2M3", shape=[4], data_offsets=[0, 3]), bytes(3), DAMAGED),
        (tensor(dtype=1), bytes(4), DAMAGED),
        (tensor(data_offsets=[4, 8]), bytes(8), DAMAGED),
        (tensor(data_offsets=[4, 0]), bytes(4), DAMAGED),
        (tensor(data_offsets=[0, 2**64 - 1]), bytes(4), DAMAGED),
        (tensor(data_offsets=[-4, 0]), bytes(4), DAMAGED),
        (tensor(data_offsets=[0]), bytes(4), DAMAGED),
        (tensor(data_offsets=[0, 4, 8]), bytes(4), DAMAGED),
        (tensor(), bytes(3), DAMAGED),
        (tensor(), bytes(5), DAMAGED),
        ({**tensor(), "y": F32}, bytes(4), DAMAGED + "Error while deserializing header: invalid offset"),
        ({**tensor(), "y": {**F32, "data_offsets": [2, 6]}}, bytes(6), DAMAGED),
        ({**tensor(), "y": {**F32, "data_offsets": [8, 12]}}, bytes(12), DAMAGED),
        ({**tensor(), "y": 5}, bytes(4), DAMAGED),
        ({**tensor(), "y": None}, bytes(4), DAMAGED),
        (tensor(shape=[1] * 1000), bytes(4), CHANGED),
        (tensor(shape=[0, 2**61], data_offsets=[0, 0]), b"", CHANGED),
        (tensor(), bytes(4), CHANGED),
        ({"__metadata__": {DOCUMENT: "text"}, "x": F32}, bytes(4), "not a checkpoint of maskcls"),
        ({"__metadata__": {DIGEST: "0" * 64}, "x": F32}, bytes(4), "not a checkpoint of maskcls"),
        ({"__metadata__": {}, "x": F32}, bytes(4), "not a checkpoint of maskcls"),
        ({"__metadata__": None, "x": F32}, bytes(4), "not a checkpoint of maskcls"),
        ({"x": F32}, bytes(4), "not a checkpoint of maskcls"),
        ({"__metadata__": {**METADATA, DOCUMENT: 5}}, b"", DAMAGED),
        ({"__metadata__": {**METADATA, DOCUMENT: None}}, b"", DAMAGED),
        ({"__metadata__": {**METADATA, DOCUMENT: {"version": 3}}}, b"", DAMAGED),
        ({"__metadata__": {**METADATA, DIGEST: 0}}, b"", DAMAGED),
        ({"__metadata__": [1]}, b"", DAMAGED),
        ({"__metadata__": "text"}, b"", DAMAGED),
        ([], b"", DAMAGED + "its header is not a JSON object"),
        (None, b"", DAMAGED + "its header is not a JSON object"),
        (3, b"", DAMAGED + "its header is not a JSON object"),
        (b"", b"", DAMAGED),
        (b"{", b"", DAMAGED),
        (b"{} {}", b"", DAMAGED),
        (b'{"x": NaN}', b"", DAMAGED),
        (b'{"x": ' + b"9" * 5000 + b"}", b"", DAMAGED),
        (b'{"__metadata__": {"maskcls": "\\ud800"}}', b"", DAMAGED),
        (b'{"__metadata__": {"maskcls": "\xff"}}', b"", DAMAGED),
        (json.dumps(tensor()).encode("utf-16"), bytes(4), DAMAGED),
        (b'{"x": %b, "x": %b}' % ((json.dumps(F32).encode(),) * 2), bytes(4), TWICE),
        (b'{"x": {"dtype": "F32", "dtype": "I32", "shape": [1], "data_offsets": [0, 4]}}', bytes(4), TWICE),
        (b'{"__metadata__": {"maskcls": "a", "maskcls": "b"}}', b"", TWICE),
        (b'{"__metadata__": {"maskcls": "a"}, "__metadata__": {"maskcls": "b"}}', b"", TWICE),
        (b"[" * 200_000, b"", DAMAGED + "maximum recursion depth exceeded"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"", DAMAGED + "maximum recursion depth exceeded"),
        (b"[" + b"{}," * 1_000_000 + b"{}]", b"", DAMAGED + "its header is not a JSON object"),
    ],
    ids=lambda value: f"{value!r:.60}",
)  # fmt: skip
def test_a_header_that_lies_is_refused_at_once(header: Any, data: bytes, message: str, tmp_path: Path) -> None:
    path = write_raw(tmp_path / "x.safetensors", header, data)
    memory, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    assert refusal(path).startswith(message)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200_000  # KB
    assert time.monotonic() - start < 10


@pytest.mark.hostile
@pytest.mark.parametrize("length", [MAX_HEADER_BYTES + 1, 100_000_001, 2**31, 2**63, 2**64 - 1])
def test_a_huge_header_is_not_read(length: int, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(length.to_bytes(LENGTH_BYTES, "little") + b"{}")
    assert refusal(tmp_path / "x.safetensors") == DAMAGED + "its header is too large"


@pytest.mark.hostile
@pytest.mark.parametrize("length", [3, 8, 1000, MAX_HEADER_BYTES])
def test_a_header_that_is_not_there_is_not_read(length: int, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(length.to_bytes(LENGTH_BYTES, "little") + b"{}")
    assert refusal(tmp_path / "x.safetensors").startswith(DAMAGED)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "content", [b"", b"\0", b"hello", bytes(8), bytes(100), b"\x80\x02}q\x00.", b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_safetensors_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    assert refusal(tmp_path / "x").startswith(DAMAGED)


@pytest.mark.hostile
@pytest.mark.parametrize("tool", ["torch", "zipfile"])
def test_an_old_checkpoint_is_known(tool: str, tmp_path: Path) -> None:
    if tool == "torch":
        torch.save({"format": "maskcls", "model": {}}, tmp_path / "best.pt")
    else:
        with zipfile.ZipFile(tmp_path / "best.pt", "w") as file:
            file.writestr("a/data.pkl", b"")
    assert refusal(tmp_path / "best.pt") == (
        "a zip file, such as what format=torch_export writes, or a checkpoint of an older version of maskcls; "
        "expected a .safetensors file"
    )


def test_a_header_whose_length_begins_as_a_zip_file_does_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    length = int.from_bytes(b"PK", "little")
    write_tensors(path, TensorFile({"x": torch.zeros(1)}, ""))
    shorter = int.from_bytes(path.read_bytes()[:LENGTH_BYTES], "little")
    expected = TensorFile({"x": torch.zeros(1)}, "t" * (length - shorter))
    write_tensors(path, expected)
    assert path.read_bytes().startswith(b"PK\0\0")
    assert_same(read_tensors(path), expected)


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", {"format": "pt"})
    assert refusal(tmp_path / "x.safetensors") == "not a checkpoint of maskcls"


def test_what_is_no_file_says_so(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.safetensors") == "No such file or directory"
    assert refusal(tmp_path) == "Is a directory"


def test_a_file_that_may_not_be_read_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert refusal(path) == "Permission denied"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        OSError(errno.EMFILE, "Too many open files"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_a_machine_that_fails_is_no_damage(error: Exception, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(tensor_file, "safe_open", fail)
    with pytest.raises(type(error)) as caught:
        read_tensors(path)
    assert caught.value is error


def test_a_file_that_was_replaced_between_two_looks_is_refused(path: Path) -> None:
    before = read_metadata(path)
    write_tensors(path, TensorFile({"a": torch.ones(3)}, "another document"))
    with pytest.raises(TensorFileError, match="the digest does not match its content"):
        read_tensors(path, before)
