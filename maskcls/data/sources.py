"""Opens the data set of a configuration: finds it, downloads it or draws it, and lists its files."""

import contextlib
import logging
import shlex
import shutil
from pathlib import Path

from maskcls.config import (
    AnyDataConfig,
    AuditDataConfig,
    EvalDataConfig,
    FaceMask12KConfig,
    SyntheticConfig,
    TableConfig,
)
from maskcls.data.groups import Groups, Membership, published_groups, read_groups
from maskcls.data.index import Index, index_folder
from maskcls.data.left_out import is_drawn, is_system, report_left_out
from maskcls.data.notices import report_index
from maskcls.data.splits import cut_missing_splits, split_by_group
from maskcls.data.table import index_table
from maskcls.data.table_rows import require_table
from maskcls.data.walk import entries
from maskcls.errors import UserError, raise_machine_failure
from maskcls.files import move, sync_all

log = logging.getLogger(__name__)


def require_dataset(config: AnyDataConfig) -> None:
    """Check that the data set exists, or that it will be downloaded or drawn.

    Raises:
        UserError: neither is the case; the message says how to get a data set. Or faces would be drawn into a folder
            of something else.
    """
    if isinstance(config, TableConfig):
        require_table(config.table)
    if isinstance(config, SyntheticConfig):
        _require_own_folder(config.root)
        return
    if config.root.is_dir():
        return
    synthetic = "data=synthetic draws faces to try the program with"
    if not isinstance(config, FaceMask12KConfig):
        ways = f"data.root=FOLDER names a folder of class folders, data=facemask12k is a public one, {synthetic}"
    elif config.download:
        return
    else:
        ways = (
            f"data.download=true fetches it from Kaggle, data.root=FOLDER (or MASKCLS_DATA) names a copy, {synthetic}"
        )
    raise UserError(f"data.root={config.root}: no such folder; {ways}")


def _require_own_folder(root: Path) -> None:
    """Check that a folder to draw faces in holds nothing but drawn faces: it may be the folder of somebody's images.

    Raises:
        UserError: it holds something else.
    """
    for entry in entries(root) if root.is_dir() else ():
        if not is_drawn(entry.name) and not is_system(entry.name):
            raise UserError(
                f"data.root={root}: data=synthetic draws faces in a folder of their own, but this one holds "
                f"'{entry.name}'; to train on the images in it, type {own_images(root)} and no data=synthetic; to draw "
                "faces, leave data.root out or name a new folder"
            )


def open_dataset(config: AnyDataConfig) -> tuple[Index, Groups | None]:
    """List the files of the data set, with the splits that training needs; download or draw it first if necessary.

    Returns:
        The files, and the group of each file if it is known.

    Raises:
        UserError: the data set is missing or cannot be split, or is not a tree of class folders.
    """
    require_dataset(config)
    root = config.root
    if isinstance(config, SyntheticConfig):
        root = _draw(config)
    elif isinstance(config, FaceMask12KConfig) and config.download and not (root.is_dir() and any(root.iterdir())):
        from maskcls.data.download import download_facemask12k

        download_facemask12k(root)
    found, groups = list_dataset(config, root)
    if isinstance(config, FaceMask12KConfig) and groups is None:
        log.warning(
            "%s is not facemask12k, whose settings are used: for your own images, type %s", root, own_images(root)
        )
    report_index(found, root)
    index, groups = split_dataset(config, found, groups)
    report_left_out({path: reason for path, reason in index.left_out.items() if path not in found.left_out})
    if "all" in found.splits and index.origin == "random":
        log.info("%s has no splits: they are drawn at random (data.split_seed=%d)", found.root, config.split_seed)
    elif "val" not in found.splits and index.origin != "grouped":
        log.info(
            "%s has no val split: a random part of train becomes it (data.split_seed=%d)", found.root, config.split_seed
        )
    return index, groups


def list_dataset(config: AnyDataConfig | EvalDataConfig | AuditDataConfig, root: Path) -> tuple[Index, Groups | None]:
    """List the files of a folder, or of a table, as they are: with the splits that they have. Nothing is logged.

    Returns:
        The files, and the group of each file if it is known.

    Raises:
        UserError: this is neither a tree of class folders nor a table, or ``data.groups`` is not a table of its files.
    """
    groups = None
    if isinstance(config, TableConfig | EvalDataConfig | AuditDataConfig) and config.table is not None:
        index, groups = index_table(config.table, root, config.columns, config.class_map)
    else:
        index = index_folder(root, config.class_map, config.splits)
    if not isinstance(config, EvalDataConfig | AuditDataConfig):
        groups = _known_groups(config, index, groups)
    return index, groups


def split_dataset(config: AnyDataConfig, found: Index, groups: Groups | None) -> tuple[Index, Groups | None]:
    """Give a data set the splits that training needs.

    Args:
        config: says how it is split.
        found: the data set as it is.
        groups: the group of each file if it is known.

    Returns:
        The files, and their groups as they were given.

    Raises:
        UserError: it cannot be split.
    """
    fractions = {"val_fraction": config.val_fraction, "test_fraction": config.test_fraction}
    if config.split == "grouped":
        if groups is None:
            raise UserError(
                "data.split=grouped needs data.groups=FILE, a table of which files show one photograph: "
                f"maskcls-audit data.root={found.root} writes one"
            )
        return split_by_group(found, groups, **fractions, seed=config.split_seed), groups
    return cut_missing_splits(found, **fractions, seed=config.split_seed), groups


def index_of_training(config: AnyDataConfig, fingerprint: str) -> Index | None:
    """List the files of a training again, with their splits. Nothing is downloaded or drawn.

    Args:
        config: the data configuration of the training.
        fingerprint: hash of its files.

    Returns:
        None if they are not there any more, or have changed since.
    """
    folder = drawn_folder(config) if isinstance(config, SyntheticConfig) else config.root
    if not folder.exists():
        return None
    with contextlib.suppress(UserError):  # the folder holds something else now
        own, _ = split_dataset(config, *list_dataset(config, folder))
        if own.fingerprint() == fingerprint:
            return own
    return None


def _known_groups(config: AnyDataConfig, index: Index, of_table: Groups | None) -> Groups | None:
    """Find the group of each file: in ``data.groups``, in the table of labels, or in that of the public data set."""
    if config.groups is not None:
        return read_groups(config.groups, index)
    if isinstance(config, SyntheticConfig):  # every image shows another face
        return {path: Membership(path, is_original=True) for path in index.all_images().paths}
    if isinstance(config, FaceMask12KConfig):
        return published_groups(index)
    return of_table


def own_images(root: Path) -> str:
    """Return what to type to train on a folder of one's own."""
    return f"data=folder data.root={shlex.quote(str(root))}"


def drawn_folder(config: SyntheticConfig) -> Path:
    """Return the folder of a synthetic data set, which need not be drawn yet."""
    from maskcls.data.synthetic import DRAWING_VERSION

    counts = (config.train_images, config.val_images, config.test_images)
    return config.root / f"v{DRAWING_VERSION}_seed{config.seed}_{'_'.join(map(str, counts))}"


def _draw(config: SyntheticConfig) -> Path:
    """Draw the synthetic data set unless it has been drawn before, and return its folder."""
    from filelock import FileLock

    from maskcls.data.synthetic import write_dataset

    folder = drawn_folder(config)
    if folder.is_dir():
        return folder
    counts = {"Train": config.train_images, "Validation": config.val_images, "Test": config.test_images}
    try:
        config.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f"{folder.name}.lock")).acquire()
    except OSError as error:
        raise_machine_failure(error, config.root)
        fault = f"cannot write in this folder: {error.strerror}"
        raise UserError(f"data.root={config.root}: {fault}; data.root=FOLDER names another one to draw in") from None
    with lock:
        if not folder.is_dir():
            log.info("drawing %d synthetic faces into %s", sum(counts.values()), folder)
            partial = folder.with_name(f".{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            write_dataset(partial, config.seed, counts)
            sync_all(partial)
            move(partial, folder)
    return folder
