"""Downloads the public data set from Kaggle, leaves out stray files, and checks every file against its digest."""

import csv
import hashlib
import logging
import os
import shutil
from contextlib import suppress
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

from maskcls.cores import in_threads
from maskcls.errors import MACHINE_ERRORS, UserError
from maskcls.files import move, sync_all
from maskcls.progress import progress
from maskcls.wording import counted

HANDLE = "ashishjangra27/face-mask-12k-images-dataset"
MAX_WORKERS = 8

log = logging.getLogger(__name__)


def published_files() -> dict[str, str]:
    """Return the SHA-256 digest, in hex, of each of the 11,792 files, by path, such as 'Train/WithMask/10.png'."""
    text = resources.files("maskcls.data").joinpath("facemask12k.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {f"{row['split']}/{row['class']}/{row['file']}": row["sha256"] for row in rows}


def download_facemask12k(root: Path) -> None:
    """Download, check and lay out the files as root/{Train,Validation,Test}/{WithMask,WithoutMask}/N.png.

    No Kaggle account is needed. kagglehub keeps a copy of its own in the folder that KAGGLEHUB_CACHE names; files in
    ``root`` are hard links to it if both are on one disk. If ``root`` holds all files, nothing is downloaded.

    Args:
        root: a folder that does not exist, is empty, or holds all published files already.

    Raises:
        UserError: kagglehub is not installed, ``root`` holds something else or cannot be written, the download
            failed, or files are not as published.
        OSError: the disk is full or broken.
    """
    root = root.resolve()  # a folder cannot be renamed onto a symbolic link
    published = published_files()
    try:
        if root.exists() and any(root.iterdir()):
            _require_all_files(root, published)
        else:
            _fill(root, published, delivered=_download())
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        raise UserError(f"{root}: {_one_line(error)}; give a folder that can be read and written") from error


def _require_all_files(root: Path, published: dict[str, str]) -> None:
    """Raise UserError unless root holds every published file."""
    wrong = _wrong_files(root, published)
    if wrong:
        advice = "give a new or an empty folder"
        raise UserError(f"{root}: not empty, and left as it is: {_summary(wrong, published)}; {advice}")
    strays = counted(_stray_count(root, published), "stray file")
    log.info("%s: holds all %d published files already; %s", root, len(published), strays)


def _download() -> Path:
    """Download the data set with kagglehub, or find what it downloaded before; return the folder."""
    try:
        import kagglehub
    except ImportError as error:
        raise UserError(f"kagglehub cannot be imported ({error}): pip install 'maskcls[download]'") from error
    try:
        return Path(kagglehub.dataset_download(HANDLE))
    except Exception as error:  # kagglehub raises a dozen unrelated classes, even Exception itself
        if getattr(error, "errno", None) in MACHINE_ERRORS:
            raise
        advice = "check the network; remove Kaggle credentials if they are wrong (none are needed)"
        raise UserError(f"Kaggle data set {HANDLE}: download failed: {_one_line(error)}; {advice}") from error


def _fill(root: Path, published: dict[str, str], *, delivered: Path) -> None:
    """Make root, with all files or not at all, from the folder that kagglehub delivered."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=root.parent, prefix=f".{root.name}.partial-", ignore_cleanup_errors=True) as folder:
        partial = Path(folder, root.name)
        wrong = _wrong_files(_dataset_folder(delivered, published), published, destination=partial)
        if wrong:
            advice = "delete that folder and download again"
            raise UserError(f"{delivered}: not as published: {_summary(wrong, published)}; {advice}")
        with suppress(FileNotFoundError):
            root.rmdir()  # Windows cannot rename onto a folder, even an empty one
        sync_all(partial)
        move(partial, root)
    strays = counted(_stray_count(delivered, published), "stray file")
    log.info("%s: %d files, all as published; %s left out", root, len(published), strays)


def _dataset_folder(delivered: Path, published: dict[str, str]) -> Path:
    """Find the folder that contains most of the published paths; today it is '.../Face Mask Dataset'."""
    splits = {name.split("/")[0] for name in published}
    candidates = {found.parent for split in splits for found in delivered.rglob(split)}

    def published_count(folder: Path) -> int:
        return sum((folder / name).is_file() for name in published)

    return max(sorted(candidates), key=published_count, default=delivered)


def _wrong_files(folder: Path, published: dict[str, str], *, destination: Path | None = None) -> dict[str, str]:
    """Check every published file in a folder; link or copy the right ones into ``destination``, if it is given.

    Returns:
        "missing" or "altered" for each file that is wrong, by published path.
    """

    def check_and_place(name: str) -> str:
        # paths come from our own list, not from the archive, so that nothing is written outside of destination
        return _check(folder / name, published[name], target=destination / name if destination else None)

    with in_threads(check_and_place, published, MAX_WORKERS) as checks:
        bar = progress(checks, total=len(published), phase="check facemask12k", unit="files")
        return {name: fault for name, fault in zip(published, bar, strict=True) if fault}


def _check(source: Path, digest: str, *, target: Path | None) -> str:
    """Return "missing", "altered", or "" for a right file; a right one is linked or copied to ``target``."""
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
    """Count the other files in a folder that contains all published files."""
    return sum(path.is_file() for path in folder.rglob("*")) - len(published)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
