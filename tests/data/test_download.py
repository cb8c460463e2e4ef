import errno
import hashlib
import io
import logging
import os
import re
import resource
import sys
import tarfile
import threading
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from maskcls.data import download
from maskcls.data.download import published_files
from maskcls.errors import UserError

CLASSES = ("WithMask", "WithoutMask")
FOLDERS = [f"{split}/{name}" for split in ("Train", "Validation", "Test") for name in CLASSES]
FILES = {f"{folder}/{number}.png": f"{folder} {number}".encode() for folder in FOLDERS for number in (1, 2)}
STRAYS = {"Train/WithMask/1.jpg": b"stray", "Test/7.jpg": b"stray", "../readme.txt": b"stray"}
# other folders that contain a folder Train, sorted before and after the right one
STRAYS |= {"../A/Train/WithMask/1.png": b"decoy", "../z/Train/WithMask/1.png": b"decoy"}
NAME = "Train/WithMask/2.png"


@pytest.fixture(autouse=True)
def _small_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    monkeypatch.setattr(download, "published_files", lambda: digests)


class FakeKaggle(ThreadingHTTPServer):
    """The part of Kaggle's API that kagglehub uses to download a public data set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.archive = b""

    def publish(self, files: dict[str, bytes], folder: str = "Face Mask Dataset/") -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in files.items():
                archive.writestr(os.path.normpath(folder + name), content)
        self.archive = buffer.getvalue()


class _Handler(BaseHTTPRequestHandler):
    server: FakeKaggle

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.status != 200:
            self._reply(self.server.status, b'{"code": %d, "message": "no\\nway"}' % self.server.status)
        elif self.path == "/v1/datasets.DatasetApiService/GetDataset":
            self._reply(200, b'{"currentVersionNumber": 1}')
        elif self.path == "/v1/datasets.DatasetApiService/DownloadDataset":
            self._reply(302, b"", ("Location", "/archive.zip"))

    def do_GET(self) -> None:
        self._reply(200, self.server.archive, ("Content-Type", "application/zip"))

    def _reply(self, status: int, body: bytes, header: tuple[str, str] = ("Content-Type", "application/json")) -> None:
        self.send_response(status)
        self.send_header(*header)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKaggle]:
    pytest.importorskip("kagglehub")
    for variable in [name for name in os.environ if name.startswith("KAGGLE")]:
        monkeypatch.delenv(variable)
    # kagglehub looks for credentials in both folders; public data sets need none, so it finds none
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # for its user agent, it inspects all modules at every level of the call stack: half a second for each download
    monkeypatch.setattr("kagglehub.clients.search_lib_in_call_stack", lambda name: None)
    with FakeKaggle() as server:
        url = f"http://127.0.0.1:{server.server_port}"
        # no environment variable can set this address: KAGGLE_API_ENVIRONMENT only chooses among fixed ones
        monkeypatch.setattr("kagglesdk.kaggle_http_client.get_endpoint", lambda env: url)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def tree(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def failure(root: Path) -> str:
    """Return the one-line error of a download to root that fails; check that nothing is left there."""
    with pytest.raises(UserError) as caught:
        download.download_facemask12k(root)
    assert not list(root.parent.glob(f"*{root.name}*"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("folder", ["Face Mask Dataset/", "a/b/", ""])
def test_lays_out_the_published_files_and_counts_strays(
    kaggle: FakeKaggle, tmp_path: Path, caplog: pytest.LogCaptureFixture, folder: str
) -> None:
    kaggle.publish(FILES | STRAYS, folder)
    root = tmp_path / "new" / "root"
    with caplog.at_level(logging.INFO):
        download.download_facemask12k(root)
    assert tree(root) == FILES
    assert os.listdir(root.parent) == ["root"]
    assert "12 files" in caplog.text
    assert "5 stray files left out" in caplog.text


def test_cache_stays_valid_and_serves_the_next_root(kaggle: FakeKaggle, tmp_path: Path) -> None:
    kaggle.publish(FILES)
    download.download_facemask12k(tmp_path / "one")
    kaggle.archive = b"gone"
    download.download_facemask12k(tmp_path / "two")
    assert tree(tmp_path / "two") == FILES
    assert os.path.samefile(tmp_path / "one" / NAME, tmp_path / "two" / NAME)


def test_copies_where_hard_links_are_impossible(
    kaggle: FakeKaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    kaggle.publish(FILES)
    download.download_facemask12k(tmp_path / "root")
    assert tree(tmp_path / "root") == FILES
    assert (tmp_path / "root" / NAME).stat().st_nlink == 1


def test_fills_an_empty_folder_behind_a_symbolic_link(kaggle: FakeKaggle, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    kaggle.publish(FILES)
    download.download_facemask12k(tmp_path / "root")
    assert (tmp_path / "root").is_symlink()
    assert tree(tmp_path / "disk") == FILES


def test_altered_file(kaggle: FakeKaggle, tmp_path: Path) -> None:
    kaggle.publish(FILES | {NAME: b"other"})
    assert f"of 12 published files 0 missing, 1 altered (first: {NAME})" in failure(tmp_path / "root")


def test_deleting_the_named_folder_leads_to_a_new_download(kaggle: FakeKaggle, tmp_path: Path) -> None:
    kaggle.publish(FILES | {NAME: b"other"})
    delivered = Path(failure(tmp_path / "root").split(": ")[0])
    delivered.rename(tmp_path / "deleted")
    kaggle.publish(FILES)
    download.download_facemask12k(tmp_path / "root")
    assert tree(tmp_path / "root") == FILES


def test_missing_file(kaggle: FakeKaggle, tmp_path: Path) -> None:
    kaggle.publish({name: content for name, content in FILES.items() if name != NAME} | STRAYS)
    assert f"of 12 published files 1 missing, 0 altered (first: {NAME})" in failure(tmp_path / "root")


def test_archive_of_something_else(kaggle: FakeKaggle, tmp_path: Path) -> None:
    kaggle.publish({"cats/1.png": b"cat"})
    message = failure(tmp_path / "root")
    assert f"12 missing, 0 altered (first: {', '.join(list(FILES)[:3])})" in message


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_server_refuses(kaggle: FakeKaggle, tmp_path: Path, status: int) -> None:
    kaggle.status = status
    message = failure(tmp_path / "root")
    assert download.HANDLE in message
    assert "download failed" in message


def test_not_an_archive(kaggle: FakeKaggle, tmp_path: Path) -> None:
    kaggle.archive = b"<html>"
    assert "Unsupported archive" in failure(tmp_path / "root")


@pytest.mark.usefixtures("kaggle")
def test_connection_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kagglesdk.kaggle_http_client.get_endpoint", lambda env: "http://127.0.0.1:1")
    assert "check the network" in failure(tmp_path / "root")


def test_kagglehub_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert "pip install 'maskcls[download]'" in failure(tmp_path / "root")


def zipped(*members: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    """Make a zip archive of the published files and of more members."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # zipfile warns about duplicate names
        for name, content in (*FILES.items(), *members):
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(*members: tuple[str, bytes, str]) -> bytes:
    """Make a tar archive of the published files and of more members: name, type in tar, target of a link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind, target in (*((name, tarfile.REGTYPE, "") for name in FILES), *members):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = kind, target, 0o644
            content = FILES.get(name, b"hostile")
            entry.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def symbolic_link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, 0o120777 << 16
    return entry


UP = "../" * 12
# for each attack, by name: makes an archive that attacks a folder; whether the data set is laid out nevertheless
HOSTILE: dict[str, tuple[Callable[[str], bytes], bool]] = {
    "zip, upwards": (lambda outside: zipped((f"{UP}{outside}/new", b"hostile")), True),
    "zip, absolute": (lambda outside: zipped((f"{outside}/new", b"hostile")), True),
    "zip, backslashes": (lambda outside: zipped((r"..\..\outside\new", b"hostile")), True),
    "zip, a link": (lambda outside: zipped((symbolic_link("link"), outside.encode())), True),
    "zip, through a link": (
        lambda outside: zipped((symbolic_link("link"), outside.encode()), ("link/new", b"hostile")),
        False,
    ),
    "zip, a link as an image": (lambda outside: zipped((symbolic_link(NAME), f"{outside}/mine".encode())), False),
    "zip, a name twice": (lambda outside: zipped((NAME, b"hostile")), False),
    "zip, a bomb": (lambda outside: zipped((NAME, bytes(200_000_000))), False),
    "zip, a file that is a folder, too": (lambda outside: zipped((f"{NAME}/new", b"hostile")), False),
    "zip, cut off": (lambda outside: zipped()[:-300], False),
    "tar, upwards": (lambda outside: tarred((f"{UP}{outside}/new", tarfile.REGTYPE, "")), False),
    "tar, absolute": (lambda outside: tarred((f"{outside}/new", tarfile.REGTYPE, "")), True),
    "tar, a link": (lambda outside: tarred(("link", tarfile.SYMTYPE, outside)), False),
    "tar, a link upwards": (lambda outside: tarred(("link", tarfile.SYMTYPE, UP)), False),
    "tar, a hard link as an image": (lambda outside: tarred((NAME, tarfile.LNKTYPE, f"{outside}/mine")), False),
    "tar, a device": (lambda outside: tarred(("device", tarfile.CHRTYPE, "")), False),
    "tar, a link to its own folder": (lambda outside: tarred(("loop", tarfile.SYMTYPE, ".")), True),
}


@pytest.mark.hostile
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_writes_nothing_outside_its_folder(name: str, kaggle: FakeKaggle, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("mine")
    make, is_laid_out = HOSTILE[name]
    kaggle.archive = make(str(outside))
    names = {path.name for path in tmp_path.iterdir()}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if is_laid_out:
        download.download_facemask12k(tmp_path / "root")
        assert tree(tmp_path / "root") == FILES
    else:
        failure(tmp_path / "root")
    assert {path.name for path in tmp_path.iterdir()} <= names | {"cache", "home", "root"}
    assert tree(outside) == {"mine": b"mine"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KB


def test_root_that_is_not_empty_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"not empty, and left as it is: of 12 published files 12 missing"):
        download.download_facemask12k(tmp_path)
    assert tree(tmp_path) == {"notes.txt": b"mine"}


def test_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("mine")
    with pytest.raises(UserError, match="Not a directory"):
        download.download_facemask12k(tmp_path / "root")


def test_a_complete_root_needs_neither_kagglehub_nor_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    for name, content in (FILES | {"Train/WithMask/1.jpg": b"stray"}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with caplog.at_level(logging.INFO):
        download.download_facemask12k(tmp_path)
    assert "holds all 12 published files already; 1 stray file" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_interrupted_copy_leaves_nothing(
    kaggle: FakeKaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    link = os.link

    def fail(source: Path, target: Path) -> None:
        if target.match(NAME):
            raise error
        link(source, target)

    def copyfile(source: Path, target: Path) -> None:
        raise error

    monkeypatch.setattr(os, "link", fail)
    monkeypatch.setattr("shutil.copyfile", copyfile)
    kaggle.publish(FILES)
    with pytest.raises(type(error)) as caught:
        download.download_facemask12k(tmp_path / "root")
    assert caught.value is error
    assert not list(tmp_path.glob("*root*"))


def test_disk_full_while_kagglehub_writes(kaggle: FakeKaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def extract(archive: zipfile.ZipFile, path: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "extractall", extract)
    kaggle.publish(FILES)
    with pytest.raises(OSError, match="No space left"):
        download.download_facemask12k(tmp_path / "root")
    assert not list(tmp_path.glob("*root*"))


def test_published_files_are_the_whole_data_set() -> None:
    files = published_files()
    assert Counter(name.rsplit("/", 1)[0] for name in files) == {
        "Train/WithMask": 5000,
        "Train/WithoutMask": 5000,
        "Validation/WithMask": 400,
        "Validation/WithoutMask": 400,
        "Test/WithMask": 483,
        "Test/WithoutMask": 509,
    }
    # three plain parts, without '..' and not absolute: so every path that is made stays below root
    assert all(re.fullmatch(r"[A-Za-z]+/[A-Za-z]+/\w+\.png", name) for name in files)
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in files.values())
    assert list(files) == sorted(files)
