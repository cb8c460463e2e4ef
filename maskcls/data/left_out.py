"""Why a file or a folder is left out of a data set: each reason, and the summary of them that is logged."""

import logging
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from maskcls.data.formats import HEAD_BYTES, described, format_of, is_film
from maskcls.errors import raise_machine_failure
from maskcls.wording import counted

log = logging.getLogger(__name__)

# endings that promise an image; with any other ending, the content decides
IMAGE_SUFFIXES = frozenset(
    (
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".bmp", ".dib", ".webp", ".gif"),
        *(".tif", ".tiff", ".avif", ".heic", ".heif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm"),
    )
)
# endings that promise a video. ".ts" is missing: programs in TypeScript end so, too
VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".qt", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mpe", ".m2v", ".mts", ".m2ts"),
        *(".wmv", ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".vob", ".mxf", ".dv", ".y4m"),
        *(".mjpeg", ".mjpg", ".h264", ".264", ".h265", ".265", ".hevc"),
    )
)

# What operating systems, NAS boxes, notebooks and sync tools leave in folders, in lower case, after GitHub's gitignore
# templates for Windows, macOS and Linux (https://github.com/github/gitignore/tree/main/Global) and what Synology, QNAP
# and sync tools exclude themselves. Names that begin with a dot (.Trash-1000, .@__thumb, .stversions) need no entry.
SYSTEM_FOLDERS = frozenset(
    (
        *("$recycle.bin", "recycler", "system volume information", "$windows.~bt", "$winreagent"),
        *("__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder", "backups.backupdb"),
        *("mobilebackups.trash", "lost+found", "__pycache__", "~snapshot"),
        *("@eadir", "@tmp", "@sharebin", "@synologydrive", "@synologydrivesharesync", "@synologycloudsync"),
        *("#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@__thumb", "@upload_cache"),
    )
)
SYSTEM_FILES = frozenset(
    (
        *("thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),
        *("icon\r", "desktop db", "desktop df", "picasa.ini", "pspbrwse.jbf", "zbthumbnail.info"),
    )
)
# unfinished downloads, backups of editors, and streams of a file's attributes
SYSTEM_ENDINGS = (
    *("~", ".part", ".partial", ".crdownload", ".opdownload", ".filepart", ".!qb", ".aria2", ".!sync", ".download"),
    *(":zone.identifier", "@synoeastream", "@synoresource", ".lrdata"),
)
SYSTEM_BEGINNINGS = ("~$", ".", "found.00")  # Office's locks, hidden files, what Windows' disk check found

# one of these is in the directory of each run and each sweep
RUN_FILES = ("run.lock", "run.json", "multirun.yaml")
# folder of data=synthetic, or its lock; `maskcls.data.sources.drawn_folder` makes the name
_DRAWN = re.compile(r"v\d+_seed\d+_\d+_\d+_\d+(\.lock)?")

# Kinds of reasons. A reason is a kind, or a kind, a colon and details.
SYSTEM, HIDDEN = "system", "hidden"  # followed by "file" or "folder"
NO_IMAGE, NO_FILE, CLOSED = "not an image", "not a file", "cannot be opened"
DANGLING, REPEATED = "dangling link", "listed already"
RUNS, DRAWN = OWN = ("folder of runs", "folder of drawn faces")
LOOSE, OUTSIDE = "image outside of the class folders", "folder beside the splits"
EMPTY, NO_IMAGES = "empty folder", "class folder without images"
NO_CLASSES = "split folder without images in class folders"
MAPPED, NOT_IN_TABLE = "excluded by data.class_map", "image that is not in data.table"
SAME_PHOTOGRAPH = "same photograph as an image in"  # followed by val or test
UNSEARCHED = "folder that a pattern does not search"


def is_system(name: str) -> bool:
    """Whether a file or a folder of this name is hidden, or left by an operating system, a NAS box or a sync tool."""
    name = name.lower()
    return (
        name in SYSTEM_FOLDERS
        or name in SYSTEM_FILES
        or name.startswith(SYSTEM_BEGINNINGS)
        or name.endswith(SYSTEM_ENDINGS)
    )


def system_reason(entry: os.DirEntry[str]) -> str | None:
    """Return why this is left out because of its name, None if the name is no reason."""
    if not is_system(entry.name):
        return None
    kind = HIDDEN if entry.name.startswith(".") else SYSTEM
    is_folder = not entry.is_symlink() and entry.is_dir()
    return f"{kind} folder: {files_in(Path(entry.path))}" if is_folder else f"{kind} file"


def own_reason(folder: Path) -> str | None:
    """Return why a folder is left out if maskcls wrote it: a run may be in the folder of its images. Else None."""
    kind = DRAWN if is_drawn(folder.name) else RUNS if is_run(folder) else None
    return kind and f"{kind}: {files_in(folder)}"


def is_drawn(name: str) -> bool:
    """Whether a folder of this name holds faces that maskcls drew, or a file of this name is the lock of one."""
    return _DRAWN.fullmatch(name) is not None


def is_run(folder: Path) -> bool:
    """Whether this is the directory of a run or a sweep."""
    return any((folder / name).is_file() for name in RUN_FILES)


def files_in(folder: Path) -> str:
    """Say how many files are below a folder."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        return f"cannot be listed: {error.strerror}"
    return counted(sum(len(names) for _, _, names in os.walk(folder)), "file")


def left_out_reason(path: Path, *, is_regular: bool = False, with_videos: bool = False) -> str | None:
    """Return why a file is left out, None if it is an image file, by its ending or its content.

    Args:
        is_regular: whether this is known to be a regular file, so that an image's ending is enough.
        with_videos: whether videos are wanted, too.
    """
    is_promised = path.suffix.lower() in (IMAGE_SUFFIXES | VIDEO_SUFFIXES if with_videos else IMAGE_SUFFIXES)
    try:
        if not is_regular and not stat.S_ISREG(path.stat().st_mode):
            return NO_FILE  # a pipe, a socket, a device: reading it may never end
        if is_promised:
            return None
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise_machine_failure(error, path)
        if isinstance(error, FileNotFoundError) and path.is_symlink():
            return f"{DANGLING}: {os.readlink(path)} does not exist"
        # an image that may not be read is listed, and reported when it is decoded
        return None if is_promised else f"{CLOSED}: {error.strerror}"
    is_wanted = format_of(head) or (with_videos and is_film(head))
    return None if is_wanted else f"{NO_IMAGE}: {described(head)}"


def kind_of(reason: str) -> str:
    """Return the kind of a reason, without its details."""
    return reason.partition(":")[0]


def summaries(left_out: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each kind of reason: how many, their endings, and an example."""
    by_kind: dict[str, list[str]] = {}
    for path, reason in left_out.items():
        by_kind.setdefault(kind_of(reason), []).append(path)
    for kind, paths in by_kind.items():
        example = paths[0] if paths[0].isprintable() else ascii(paths[0])
        details = [left_out[path].partition(": ")[2] for path in paths] if "folder" in kind.split() else []
        held = _total(details)
        if len(paths) == 1:
            yield f"{kind}: {example}{held and f' ({held})'}"
        else:
            several = held if details else endings(paths)
            yield f"{kind}: {len(paths)} ({several and f'{several}, '}such as {example})"


def _total(details: Sequence[str]) -> str:
    """Add up what folders hold: ``3 files``; of other details, the first one."""
    counts = [re.fullmatch(r"(\d+) files?", detail) for detail in details]
    if details and all(counts):
        return counted(sum(int(count[1]) for count in counts if count), "file")
    return next(iter(details), "")


def without_images(reasons: Iterable[str]) -> str:
    """Return why a class folder without images is left out, which holds what is left out for these reasons."""
    held = Counter(map(kind_of, reasons))
    return f"{NO_IMAGES}: {', '.join(counted(count, kind) for kind, count in held.items())}" if held else EMPTY


def endings(paths: Iterable[str]) -> str:
    """Count paths by the endings of their names: ``3 .txt, 1 without an ending``."""
    found = Counter(PurePosixPath(path).suffix.lower() or "without an ending" for path in paths)
    return ", ".join(f"{count} {ending}" for ending, count in found.most_common())


def report_left_out(left_out: Mapping[str, str]) -> None:
    """Log what is left out, a line for each kind of reason; what systems and maskcls leave is no warning."""
    for line in summaries(left_out):
        log.log(logging.INFO if line.startswith((SYSTEM, HIDDEN, *OWN)) else logging.WARNING, "left out, %s", line)
