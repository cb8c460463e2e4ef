"""Fetch the public data set from Kaggle, drop stray files, and check every file against its digest."""

import csv
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

from tqdm import tqdm

from maskcls.cores import in_threads
from maskcls.errors import MACHINE_ERRORS, UserError
from maskcls.files import sync_all

HANDLE = "ashishjangra27/face-mask-12k-images-dataset"
MAX_WORKERS = 8

logger = logging.getLogger(__name__)


def published_files() -> dict[str, str]:
    """Return the relative POSIX path ('Train/WithMask/10.png') -> SHA-256 hex digest of all 11,792 files."""
    text = resources.files("maskcls.data").joinpath("facemask12k.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {f"{row['split']}/{row['class']}/{row['file']}": row["sha256"] for row in rows}


def download_facemask12k(root: Path, progress: bool = True) -> None:
    """Fetch, verify and lay out as root/{Train,Validation,Test}/{WithMask,WithoutMask}/N.png.

    Kaggle asks for no account. kagglehub keeps its own copy, in the folder that KAGGLEHUB_CACHE names; on the
    same disk the files of root are hard links to it. A whole root is left as it is, and needs no network.

    Args:
        root: a folder that is new, empty, or whole already.
        progress: draw a bar of the checking and copying; kagglehub draws its own of the transfer in any case.

    Raises:
        UserError: kagglehub is not installed, root holds something else or cannot be written, the download
            failed, or what arrived is not what was published.
        OSError: the disk is full or broken.
    """
    root = root.resolve()  # renaming onto a symbolic link would fail
    published = published_files()
    try:
        if root.exists() and any(root.iterdir()):
            _require_whole(root, published, progress)
        else:
            _fill(root, _fetch(), published, progress)
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        raise UserError(f"{root}: {_one_line(error)}; give a folder that can be read and written") from error


def _require_whole(root: Path, published: dict[str, str], progress: bool) -> None:
    """Raise UserError unless root holds every published file."""
    wrong = _wrong_files(root, published, progress)
    if wrong:
        advice = "give a new or an empty folder"
        raise UserError(f"{root}: not empty, and left as it is: {_summary(wrong, published)}; {advice}")
    strays = _stray_count(root, published)
    logger.info("%s: holds all %d published files already; %d stray files", root, len(published), strays)


def _fetch() -> Path:
    """Download through kagglehub, or find its earlier download; return the folder that kagglehub names."""
    try:
        import kagglehub
    except ImportError as error:
        raise UserError(f"kagglehub cannot be imported ({error}): pip install 'maskcls[download]'") from error
    try:
        return Path(kagglehub.dataset_download(HANDLE))
    except Exception as error:  # kagglehub raises a dozen unrelated classes, bare Exception among them
        if getattr(error, "errno", None) in MACHINE_ERRORS:
            raise
        advice = "check the network, and remove wrong Kaggle credentials if there are any (none are needed)"
        raise UserError(f"Kaggle data set {HANDLE}: download failed: {_one_line(error)}; {advice}") from error


def _fill(root: Path, delivered: Path, published: dict[str, str], progress: bool) -> None:
    """Make root from what kagglehub delivered: whole, or not at all."""
    with _partial_folder(root) as partial:
        wrong = _wrong_files(_dataset_folder(delivered, published), published, progress, partial)
        if wrong:
            advice = "delete that folder and download again"
            raise UserError(f"{delivered}: not as published: {_summary(wrong, published)}; {advice}")
        with suppress(FileNotFoundError):
            root.rmdir()  # Windows renames onto no folder, not even an empty one
        sync_all()
        partial.rename(root)
    strays = _stray_count(delivered, published)
    logger.info("%s: %d files, all as published; %d stray files left out", root, len(published), strays)


@contextmanager
def _partial_folder(root: Path) -> Iterator[Path]:
    """Yield a new folder beside root, which is removed afterwards unless it has been renamed."""
    partial = root.with_name(f".{root.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _dataset_folder(delivered: Path, published: dict[str, str]) -> Path:
    """Find the folder below which most published paths exist ('.../Face Mask Dataset', as things stand)."""
    splits = {name.split("/")[0] for name in published}
    candidates = {found.parent for split in splits for found in delivered.rglob(split)}

    def published_count(folder: Path) -> int:
        return sum((folder / name).is_file() for name in published)

    return max(sorted(candidates), key=published_count, default=delivered)


def _wrong_files(
    folder: Path, published: dict[str, str], progress: bool, destination: Path | None = None
) -> dict[str, str]:
    """Check every published file below folder, and put the right ones into destination where one is given.

    Returns:
        Published path -> "missing" or "altered", for those that are not right.
    """

    def check_and_place(name: str) -> str:
        # Every path made here comes from our own list, none from the archive: nothing can escape destination.
        return _check(folder / name, published[name], destination / name if destination else None)

    with in_threads(check_and_place, published, MAX_WORKERS) as checks:
        bar = tqdm(checks, desc="facemask12k", total=len(published), unit="file", disable=not progress)
        return {name: fault for name, fault in zip(published, bar, strict=True) if fault}


def _check(source: Path, digest: str, target: Path | None) -> str:
    """Return "missing", "altered" or "" for a right file, which is then linked or copied to target."""
    if not source.is_file():
        return "missing"
    with source.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            return "altered"
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source.resolve(), target)
        except OSError:  # another disk, or a file system without hard links
            shutil.copyfile(source, target)
    return ""


def _summary(wrong: dict[str, str], published: dict[str, str]) -> str:
    faults = list(wrong.values())
    missing, altered = faults.count("missing"), faults.count("altered")
    names = ", ".join(list(wrong)[:3])
    return f"of {len(published)} published files {missing} missing, {altered} altered (first: {names})"


def _stray_count(folder: Path, published: dict[str, str]) -> int:
    """Count the files that are not published, below a folder that holds all the published ones."""
    return sum(path.is_file() for path in folder.rglob("*")) - len(published)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
