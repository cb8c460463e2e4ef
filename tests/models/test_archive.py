"""Archives: sealed, and read without running what they hold or believing what they claim."""

import builtins
import io
import os
import pickle
import resource
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskcls.models import archive
from maskcls.models.archive import read_archive, write_archive
from maskcls.models.inspection import ArchiveError


def content() -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "weights": OrderedDict(a=torch.randn(8, 3, 5, 5).to(memory_format=torch.channels_last), b=torch.randn(())),
        "more": [
            torch.arange(5),
            torch.zeros(0),
            torch.ones(3, dtype=torch.bfloat16),
            torch.zeros(2, dtype=torch.uint8),
        ],
        "plain": {"x": 1.5, "y": None, "z": "\u314b", "w": (True, -3), 5: float("inf")},
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_archive(tmp_path / "a.pt", content())
    return tmp_path / "a.pt"


def test_what_is_written_is_read(path: Path) -> None:
    found = read_archive(path)
    expected = content()
    assert torch.equal(found["weights"]["a"], expected["weights"]["a"])
    assert found["weights"]["a"].is_contiguous(memory_format=torch.channels_last)
    for a, b in zip(found["more"], expected["more"], strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    assert found["plain"] == expected["plain"]


def test_other_tools_read_it(path: Path) -> None:
    assert torch.load(path, weights_only=True)["plain"] == content()["plain"]
    assert zipfile.ZipFile(path).testzip() is None


def test_every_flipped_bit_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    # some anywhere, and all of the seal and of the length of the comment
    positions = {
        *generator.integers(len(whole), size=150).tolist(),
        *range(len(whole) - archive.SEAL_BYTES - 2, len(whole)),
    }
    for position in positions:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(ArchiveError):
            read_archive(path)


def test_every_truncation_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for length in {0, 1, len(whole) - 1, *np.random.default_rng(0).integers(len(whole), size=50).tolist()}:
        path.write_bytes(whole[:length])
        with pytest.raises(ArchiveError):
            read_archive(path)
    path.write_bytes(whole + b"more")
    with pytest.raises(ArchiveError):
        read_archive(path)


def test_a_full_disk_leaves_what_was_there(path: Path) -> None:
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    big = {"x": torch.zeros(2_000_000)}
    try:
        for limit in (0, 1, 5_000, 100_000, 7_999_999):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            with pytest.raises(OSError, match="File too large"):
                write_archive(path, big, previous=path.with_name("previous.pt"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert sorted(os.listdir(path.parent)) == ["a.pt", "working"]


def test_a_file_system_without_links_gets_a_copy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    before = path.read_bytes()
    write_archive(path, {"new": 1}, previous=path.with_name("previous.pt"))
    assert path.with_name("previous.pt").read_bytes() == before


class Runs:
    """Makes a folder when it is unpickled, unless something is in the way."""

    def __init__(self, function: Callable[..., Any] = os.mkdir, *arguments: Any) -> None:
        self.made = function, arguments or ("was-here",)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.made


def forged(path: Path, pickled: bytes, records: dict[str, bytes] | None = None, compression: int = 0) -> None:
    """An archive with a seal that is right, around any pickle."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("a/data.pkl", pickled)
        file.writestr("a/version", "3")
        file.writestr("a/byteorder", "little")
        for name, value in (records or {}).items():
            file.writestr(f"a/data/{name}", value)
    archive._seal(path)


def tensor_of(storage: str, key: str, device: str, elements: int, offset: int, shape: tuple, stride: tuple) -> bytes:
    """The pickle of {"x": a tensor}, which claims what it is told to."""

    class Storage:
        pass

    class Pickler(pickle._Pickler):
        def persistent_id(self, value: object) -> object:
            return ("storage", Named("torch", storage), key, device, elements) if isinstance(value, Storage) else None

        def save(self, value: Any, save_persistent_id: bool = True) -> None:
            if isinstance(value, Named):
                self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
            else:
                super().save(value, save_persistent_id)

    class Tensor:
        def __reduce__(self) -> tuple[Any, ...]:
            return Named("torch._utils", "_rebuild_tensor_v2"), (Storage(), offset, shape, stride, False, OrderedDict())

    class Named:
        def __init__(self, module: str, name: str) -> None:
            self.module, self.name = module, name

        def __call__(self) -> None: ...

    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump({"x": Tensor()})
    return buffer.getvalue()


def test_a_forged_archive_that_claims_what_is_true_is_read(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32)
    forged(tmp_path / "x.pt", tensor_of("FloatStorage", "0", "cpu", 6, 0, (2, 3), (3, 1)), {"0": values.tobytes()})
    assert read_archive(tmp_path / "x.pt")["x"].tolist() == values.reshape(2, 3).tolist()


FOUR = {"0": bytes(16)}


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("pickled", "records", "message"),
    [
        (pickle.dumps(Runs(), 2), {}, r"it would run code when read: posix\.mkdir"),
        (pickle.dumps(Runs(), 4), {}, "it would run code when read: STACK_GLOBAL"),
        (pickle.dumps({"x": Runs(builtins.eval, "__import__('os').mkdir('was-here')")}, 2), {}, "__builtin__.eval"),
        (pickle.dumps({"x": Runs(bytearray, 50 * 10**9)}, 2), {}, "__builtin__.bytearray"),
        (pickle.dumps(Runs(torch.zeros, 10**10), 2), {}, "it would run code when read: __builtin__.getattr"),
        (b"\x80\x02(Vos\nVsystem\ni__main__\nx\n.", {}, "it would run code when read: INST|damaged"),
        (b"cos\nsystem\n(S'mkdir was-here'\ntR.", {}, r"it would run code when read: os\.system"),
        (b"\x80\x02]r\xff\xff\xff\x7f.", {}, "no error"),
        (tensor_of("FloatStorage", "0", "cpu", 12_500_000_000, 0, (12_500_000_000,), (1,)), FOUR, "claims 12500000000"),
        (tensor_of("FloatStorage", "0", "cpu", 4, 0, (12_500_000_000,), (0,)), FOUR, "a tensor claims"),
        (tensor_of("FloatStorage", "0", "cpu", 4, 2, (4,), (1,)), FOUR, "a tensor claims"),
        (tensor_of("FloatStorage", "0", "cpu", 4, -1, (4,), (1,)), FOUR, "a damaged file"),
        (tensor_of("FloatStorage", "0", "cpu", -4, 0, (0,), (1,)), FOUR, "claims -4 elements"),
        (tensor_of("DoubleStorage", "0", "cpu", 4, 0, (4,), (1,)), FOUR, "claims 4 elements, which its record"),
        (tensor_of("FloatStorage", "1", "cpu", 4, 0, (4,), (1,)), FOUR, "tensor 1 claims 4 elements"),
        (tensor_of("FloatStorage", "../../x", "cpu", 4, 0, (4,), (1,)), FOUR, "claims 4 elements"),
        (tensor_of("FloatStorage", "0", "meta", 4, 0, (4,), (1,)), FOUR, "a damaged file"),
        (tensor_of("UntypedStorage", "0", "cpu", 4, 0, (4,), (1,)), FOUR, "it would run code when read"),
        (b"", {}, "a damaged file"),
        (b"\x80\x02", {}, "a damaged file"),
    ],
)
def test_a_forged_archive_runs_nothing_and_takes_no_memory(
    pickled: bytes, records: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    forged(tmp_path / "x.pt", pickled, records)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if message == "no error":  # a memo of two thousand million entries is a dictionary of one
        assert read_archive(tmp_path / "x.pt") == []
    else:
        with pytest.raises(ArchiveError, match=message) as caught:
            read_archive(tmp_path / "x.pt")
        assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KB
    assert not Path("was-here").exists()


@pytest.mark.hostile
def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    forged(tmp_path / "x.pt", pickle.dumps({}, 2), {"0": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ArchiveError, match="its records are compressed"):
        read_archive(tmp_path / "x.pt")


@pytest.mark.hostile
def test_a_record_that_claims_more_than_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    forged(path, pickle.dumps({}, 2), {"0": b"123"})
    bare = bytearray(path.read_bytes()[: -archive.SEAL_BYTES])
    entry = bare.rfind(b"PK\x01\x02")
    bare[entry + 20 : entry + 28] = (4_000_000_000).to_bytes(4, "little") * 2
    bare[-2:] = b"\0\0"
    path.write_bytes(bare)
    archive._seal(path)
    with pytest.raises(ArchiveError, match=r"its records claim more bytes than the file has|a damaged file"):
        read_archive(path)


@pytest.mark.hostile
def test_two_pickles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as file:
        for folder in ("a", "a/b"):
            file.writestr(f"{folder}/data.pkl", pickle.dumps({}, 2))
    archive._seal(path)
    with pytest.raises(ArchiveError, match="expected one pickle"):
        read_archive(path)


@pytest.mark.hostile
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("first", "message"),
    [("a/data.pkl", "two records of one name"), ("a/DATA.PKL", "two records of one name"), ("b/x", "several folders")],
)
def test_a_record_that_torch_might_take_for_the_pickle_is_refused(first: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(first, pickle.dumps(Runs(), 2))
        file.writestr("a/data.pkl", pickle.dumps({}, 2))
    archive._seal(path)
    with pytest.raises(ArchiveError, match=message):
        read_archive(path)


@pytest.mark.hostile
@pytest.mark.parametrize("is_64_bit", [False, True])
def test_two_archives_in_one_file_are_refused(is_64_bit: bool, tmp_path: Path) -> None:
    # Python's zipfile takes the second for one with something in front, and torch finds the first by its offset
    hostile, benign = tmp_path / "hostile", tmp_path / "benign"
    for path, content in ((hostile, Runs()), (benign, {})):
        if is_64_bit:
            torch.save({"x": torch.zeros(1)} if content == {} else {"y": torch.zeros(2)}, path)
        else:
            with zipfile.ZipFile(path, "w") as file:
                file.writestr("a/data.pkl", pickle.dumps(content, 2))
    whole = bytearray(hostile.read_bytes() + benign.read_bytes())
    end = whole.rfind(b"PK\x05\x06")
    if is_64_bit:
        offset = int.from_bytes(whole[(at := whole.rfind(b"PK\x06\x06")) + 48 : at + 56], "little")
    else:
        offset = int.from_bytes(whole[end + 16 : end + 20], "little")
    assert 0 < offset < len(benign.read_bytes())
    path = tmp_path / "x.pt"
    path.write_bytes(whole)
    archive._seal(path)
    with pytest.raises(ArchiveError, match=r"something stands between its records|a damaged file"):
        read_archive(path)


NEST = b")" + b"2\x86" * 60  # a tuple of twice a tuple of twice a tuple ...


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (b"\x80\x02}" + NEST + b"K\x01s.", "a key is neither a name nor a number"),
        (b"\x80\x02}(" + NEST + b"K\x01u.", "a key is neither a name nor a number"),
        (b"\x80\x02(" + NEST + b"K\x01d.", "it would run code when read: DICT"),
        (b"\x80\x02ccollections\nOrderedDict\n" + NEST + b"K\x01\x86\x85\x85R.", "a key is neither a name"),
        (b"\x80\x04\x8f(" + NEST + b"\x90.", "it would run code when read: "),
        (b"\x80\x02" + NEST + b".", "it holds too many values"),
        (b"\x80\x02]q\x00h\x00a.", "it holds too many values"),
    ],
)
def test_a_short_file_takes_no_long_time(pickled: bytes, message: str, tmp_path: Path) -> None:
    forged(tmp_path / "x.pt", pickled)
    start = time.monotonic()
    with pytest.raises(ArchiveError, match=message):
        read_archive(tmp_path / "x.pt")
    assert time.monotonic() - start < 30


@pytest.mark.hostile
def test_tensors_that_share_their_numbers_are_refused(tmp_path: Path) -> None:
    numbers = torch.zeros(1000)
    write_archive(tmp_path / "x.pt", {"a": numbers[:400], "b": numbers[400:]})
    assert len(read_archive(tmp_path / "x.pt")["b"]) == 600
    for twice in (numbers, numbers[:]):  # one tensor, and two of one storage
        write_archive(tmp_path / "x.pt", {"a": numbers, "b": twice})
        with pytest.raises(ArchiveError, match="its tensors claim more bytes than its records have"):
            read_archive(tmp_path / "x.pt")


def test_a_machine_without_memory_is_no_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(MemoryError):
        read_archive(path)


@pytest.mark.hostile
def test_what_torch_would_read_instead_of_the_records_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"x": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(path, "a") as file:  # Python's zipfile finds the records behind anything
        file.writestr("a/data.pkl", pickle.dumps({}, 2))
    archive._seal(path)
    with pytest.raises(ArchiveError, match="something stands before its records"):
        read_archive(path)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="No such file or directory"):
        read_archive(tmp_path / "none.pt")
