"""What a person should know of a data set before it is used."""

import logging
import os
import unicodedata
from collections import Counter
from pathlib import Path

from maskcls.data.index import Index, letters
from maskcls.data.layout import SPLIT_NAMES, class_name, is_vague, is_wrapper, listed, plain_path, suggestion
from maskcls.data.left_out import report_left_out
from maskcls.wording import counted

log = logging.getLogger(__name__)


def report_index(index: Index, root: Path) -> None:
    """Log what a person should know of a data set before it is used.

    Args:
        index: the data set.
        root: the folder as it was given.
    """
    if index.root != (outer := plain_path(root.absolute())):
        log.info("using the data set in %s", index.root)
        odd = [part for part in index.root.relative_to(outer).parts if not is_wrapper(part)]
        if odd and "all" in index.splits:  # one class whose images are in subfolders looks the same
            message = "%s: the classes are %s; if '%s' is a class itself, type %s"
            log.warning(message, index.root, listed(index.classes), odd[0], suggestion({odd[0]: odd[0]}))
    _report_splits(index)
    report_left_out(index.left_out)
    for note in index.notes:
        log.info("%s", note)
    for name in filter(is_vague, index.classes):
        log.warning("%s: '%s' is a class here; to leave it out, type %s", index.root, name, suggestion({name: None}))
    _report_spellings(index)
    _report_joined_folders(index)
    _report_hard_links(index)


def _report_splits(index: Index) -> None:
    """Say which folder is which split, unless all have the usual names."""
    folders = {split: folder for split, folder in index.folders.items() if split != "all"}
    if any(folder.lower() not in SPLIT_NAMES for folder in folders.values()):
        log.info("split folders: %s", ", ".join(f"'{folder}' is {split}" for split, folder in folders.items()))


def _report_spellings(index: Index) -> None:
    """Say which classes seem to be one."""
    alike: dict[str, list[str]] = {}
    for name in index.classes:
        alike.setdefault(letters(name) or name, []).append(name)
    for names in alike.values():
        if len(names) > 1:
            log.warning(
                "%s: the classes %s differ by case, spaces or separators only; to join them, type %s",
                index.root,
                listed(names),
                suggestion({name: tidy for name in names if name != (tidy := min(names, key=_untidiness))}),
            )


def _untidiness(name: str) -> tuple[bool, str]:
    return name != name.strip(), name


def _report_joined_folders(index: Index) -> None:
    """Say which class folders beside each other are one class because Unicode has two spellings for their name."""
    paths = index.all_images().paths
    for split_folder in index.folders.values():
        prefix = "" if split_folder == "." else f"{split_folder}/"
        files = Counter(path[len(prefix) :].partition("/")[0] for path in paths if path.startswith(prefix))
        joined: dict[str, list[str]] = {}
        for name in files:
            joined.setdefault(class_name(name), []).append(name)
        for names in filter(lambda names: len(names) > 1, joined.values()):
            each = [f"'{prefix}{name}' in {_form(name)} ({counted(files[name], 'image')})" for name in sorted(names)]
            message = "%s: the folders %s are one class: Unicode has several spellings for their name"
            log.warning(message, index.root, ", ".join(each))


def _form(name: str) -> str:
    """Return the spelling that Unicode calls composed (NFC) or decomposed (NFD), or the code points of another one."""
    return next((form for form in ("NFC", "NFD") if unicodedata.normalize(form, name) == name), ascii(name))


def _report_hard_links(index: Index) -> None:
    """Say how many files are a second name of another one.

    Each of them counts as a file, as a copy does. Neither name is the right one, and they may be of two classes or in
    two splits, which the audit reports.
    """
    first: dict[tuple[int, int], str] = {}
    links: dict[str, str] = {}
    for path in index.all_images().paths:
        try:
            state = os.stat(index.root / path)
        except OSError:  # which is reported when the file is read
            continue
        if state.st_nlink > 1:
            known = first.setdefault((state.st_dev, state.st_ino), path)
            if known != path:
                links[path] = known
    if links:
        path, known = next(iter(links.items()))
        log.warning(
            "%s: %s a hard link to another one, such as %s to %s: each counts as a file, as copies do",
            index.root,
            f"{counted(len(links), 'file')} {'is' if len(links) == 1 else 'are each'}",
            path,
            known,
        )
