"""From a data configuration to an index: finds, fetches or draws the data set first."""

import logging
import shutil
from pathlib import Path

from maskcls.config import AnyDataConfig, FaceMask12KConfig, SyntheticConfig
from maskcls.data.groups import Groups, Membership, published_groups, read_groups, split_by_group
from maskcls.data.index import Index, cut_missing_splits, index_folder
from maskcls.errors import MACHINE_ERRORS, UserError
from maskcls.files import sync_all

log = logging.getLogger(__name__)


def require_dataset(config: AnyDataConfig) -> None:
    """Check that the data set is there, or can be fetched or drawn.

    Raises:
        UserError: where it is not; the message says the ways to get one.
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
    """Fetch or draw the data set where it has to be, and list it with the splits that training needs.

    Returns:
        The files, and which of them show one photograph where that is known.

    Raises:
        UserError: where it is missing, or is not a tree of class folders.
    """
    require_dataset(config)
    root = config.root
    if isinstance(config, SyntheticConfig):
        root = _draw(config)
    elif isinstance(config, FaceMask12KConfig) and config.download and not (root.is_dir() and any(root.iterdir())):
        from maskcls.data.download import download_facemask12k

        download_facemask12k(root)
    found = index_folder(root)
    photographs = known_groups(config, found)
    if config.split == "grouped":
        if photographs is None:
            raise UserError(
                "data.split=grouped needs data.groups=FILE, which says what files show one photograph: "
                f"maskcls-audit data.root={root} writes one"
            )
        return split_by_group(
            found, photographs, config.val_fraction, config.test_fraction, config.split_seed
        ), photographs
    index = cut_missing_splits(found, config.val_fraction, config.test_fraction, config.split_seed)
    if "all" in found.splits:
        log.info("%s has no split folders: each class was cut at random (data.split_seed=%d)", root, config.split_seed)
    elif "val" not in found.splits:
        log.info(
            "%s has no validation folder: cut from the training images (data.split_seed=%d)", root, config.split_seed
        )
    return index, photographs


def known_groups(config: AnyDataConfig, index: Index) -> Groups | None:
    """The photograph of each file: from ``data.groups``, or from the map of facemask12k; None where none is known.

    Raises:
        UserError: where ``data.groups`` is no table of these files.
    """
    if config.groups is not None:
        return read_groups(config.groups, index)
    if isinstance(config, SyntheticConfig):  # each face is drawn apart
        return {path: Membership(path, is_original=True) for path in index.all_images().paths}
    if isinstance(config, FaceMask12KConfig):
        return published_groups(index)
    return None


def drawn_folder(config: SyntheticConfig) -> Path:
    """Where the synthetic data set of a configuration is, once it is drawn."""
    from maskcls.data.synthetic import DRAWING_VERSION

    counts = (config.train_images, config.val_images, config.test_images)
    return config.root / f"v{DRAWING_VERSION}_seed{config.seed}_{'_'.join(map(str, counts))}"


def _draw(config: SyntheticConfig) -> Path:
    """Draw the synthetic data set, once, and return its folder."""
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
            write_dataset(partial, config.seed, counts, progress=True)
            sync_all()
            partial.rename(folder)
    return folder
