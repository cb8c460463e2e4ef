"""Opens the data set of a configuration: finds it, downloads it or draws it, and lists its files."""

import logging
import shutil
from pathlib import Path

from maskcls.config import AnyDataConfig, FaceMask12KConfig, SyntheticConfig
from maskcls.data.groups import Groups, Membership, published_groups, read_groups
from maskcls.data.index import Index, index_folder
from maskcls.data.splits import cut_missing_splits, split_by_group
from maskcls.errors import MACHINE_ERRORS, UserError
from maskcls.files import sync_all

log = logging.getLogger(__name__)


def require_dataset(config: AnyDataConfig) -> None:
    """Check that the data set exists, or that it will be downloaded or drawn.

    Raises:
        UserError: neither is the case; the message says how to get a data set.
    """
    if isinstance(config, SyntheticConfig) or config.root.is_dir():
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
    found = index_folder(root)
    groups = known_groups(config, found)
    fractions = {"val_fraction": config.val_fraction, "test_fraction": config.test_fraction}
    if config.split == "grouped":
        if groups is None:
            raise UserError(
                "data.split=grouped needs data.groups=FILE, a table of which files show one photograph: "
                f"maskcls-audit data.root={root} writes one"
            )
        return split_by_group(found, groups, **fractions, seed=config.split_seed), groups
    index = cut_missing_splits(found, **fractions, seed=config.split_seed)
    if "all" in found.splits:
        log.info("%s has no split folders: the splits are random (data.split_seed=%d)", root, config.split_seed)
    elif "val" not in found.splits:
        log.info("%s has no val folder: val is a random part of train (data.split_seed=%d)", root, config.split_seed)
    return index, groups


def known_groups(config: AnyDataConfig, index: Index) -> Groups | None:
    """Find the group of each file: in ``data.groups``, or in the table of the public data set.

    Returns:
        The groups, or None if they are not known.

    Raises:
        UserError: ``data.groups`` is not a table of these files.
    """
    if config.groups is not None:
        return read_groups(config.groups, index)
    if isinstance(config, SyntheticConfig):  # every image shows another face
        return {path: Membership(path, is_original=True) for path in index.all_images().paths}
    if isinstance(config, FaceMask12KConfig):
        return published_groups(index)
    return None


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
        if error.errno in MACHINE_ERRORS:
            raise
        raise UserError(f"data.root={config.root}: cannot write in this folder: {error.strerror}") from None
    with lock:
        if not folder.is_dir():
            log.info("drawing %d synthetic faces into %s", sum(counts.values()), folder)
            partial = folder.with_name(f".{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            write_dataset(partial, config.seed, counts)
            sync_all()
            partial.rename(folder)
    return folder
