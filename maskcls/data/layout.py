"""Finds out which folders of a data set are splits, which are classes, and which are neither."""

import json
import os
import re
import shlex
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskcls.config import nearest
from maskcls.data.left_out import (
    DRAWN,
    LOOSE,
    MAPPED,
    OUTSIDE,
    RUNS,
    files_in,
    is_drawn,
    is_run,
    left_out_reason,
    system_reason,
)
from maskcls.data.walk import as_listed, entries, leads_to_folder, subfolders
from maskcls.errors import UserError

SPLITS = ("train", "val", "test")
# the split that a folder's name means, in lower case
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# less usual names: they count if no folder has one of the names above
_OTHER_NAMES = {**dict.fromkeys(("dev", "eval", "evaluation"), "val"), "trn": "train", "tst": "test"}
# words beside them, as in training_set, seg_train, test-images and val2017
_FILLER = "(?:data|sets?|images?|imgs?|img|photos?|pictures?|pics?|faces?|seg|split|folder|files|samples?|my|the)"
_SPLIT_NAME = re.compile(f"{_FILLER}*({'|'.join((*SPLIT_NAMES, *_OTHER_NAMES))}){_FILLER}*")
# names of folders that only wrap others: those with one of these words in them, or made of these words and digits
_WRAPPER_WORDS = (
    *("data", "image", "photo", "picture", "archive", "download", "collection", "corpus"),
    *("데이터", "이미지", "사진"),
)
_WRAPPER = re.compile(
    f"(?:{_FILLER}|v|version|k|raw|original|processed|cropped|resized|aligned|input|main|master|all)*"
)


@dataclass(frozen=True)
class Layout:
    """The folders of a data set.

    Attributes:
        root: folder that the other paths are relative to.
        classes: the class folders of each split, by the names in `SPLITS`; of ``all`` if there are no splits.
        folders: the folder of each split.
        left_out: why folders and files that are in no class folder are left out, by path.
    """

    root: Path
    classes: Mapping[str, Sequence[str]]
    folders: Mapping[str, str]
    left_out: Mapping[str, str]


def find_layout(root: Path, class_map: Mapping[str, str | None], splits: Mapping[str, str]) -> Layout:
    """Find the split folders and the class folders of a data set.

    Args:
        root: the folder of the data set. If all it holds is a folder of folders, that folder is used.
        class_map: keys are names of folders that are classes, whatever they are called; those of null are left out.
        splits: the folders of the splits, relative to the root; if empty, folders are recognised by their names.

    Raises:
        UserError: there is no such folder, or what is a class and what is a split is not clear.
    """
    outer = plain_path(root.absolute())
    if not outer.is_dir():
        raise UserError(f"data.root={root}: no such folder")
    root = outer if splits else _unwrapped(outer, class_map)
    found = _named(root, splits) if splits else _recognised(root, class_map)
    folders = {name: _inside(root, found[name], name) for name in SPLITS if name in found} or {"all": "."}
    classes = {name: _below(root, folder) for name, folder in folders.items()}
    left_out: dict[str, str] = {}
    for paths in classes.values():
        inner = {path: subfolders(root / path) for path in paths if class_name(path) not in class_map}
        _refuse_inner_splits(root, inner)
        _refuse_repeated_subfolders(root, inner)
        for path in paths:
            if _is_mapped_to_nothing(path, class_map):
                left_out[path] = f"folder {MAPPED}: {files_in(root / path)}"
    classes = {name: [path for path in paths if path not in left_out] for name, paths in classes.items()}
    known = {path for paths in classes.values() for path in paths} | left_out.keys()
    left_out |= _rest(outer, root, known, folders.values(), class_map)
    return Layout(root, classes, folders, left_out)


def class_name(folder: str) -> str:
    """Return the name of a class folder, in one of the two spellings that Unicode has for é and Korean syllables."""
    return unicodedata.normalize("NFC", folder.rpartition("/")[2])


def split_of(name: str) -> str | None:
    """Return the split that a folder's name means: ``train`` for ``training_set`` and ``seg_train``; None for none."""
    found = _SPLIT_NAME.fullmatch(_letters(name))
    return (SPLIT_NAMES | _OTHER_NAMES)[found[1]] if found else None


def is_vague(name: str) -> bool:
    """Whether a name says nothing about a class, like ``images``."""
    letters = _letters(name)
    return letters != "" and _WRAPPER.fullmatch(letters) is not None


def _letters(name: str) -> str:
    """Return a name in lower case, without separators and digits."""
    return re.sub(r"[\W\d_]+", "", name.lower())


def is_wrapper(name: str) -> bool:
    """Whether a folder's name says that it holds a data set, like ``archive`` or ``my photos``."""
    letters = _letters(name)
    return _WRAPPER.fullmatch(letters) is not None or any(word in letters for word in _WRAPPER_WORDS)


def plain_path(path: Path) -> Path:
    """Return an absolute path without ``..``, if it is the same folder without."""
    plain = Path(os.path.normpath(path))
    try:
        return plain if plain.samefile(path) else path.resolve()
    except OSError:
        return path


def _unwrapped(root: Path, class_map: Mapping[str, str | None]) -> Path:
    """Return the folder that holds the class or split folders: many archives have it in a folder of its own."""
    named = [name for name in subfolders(root) if not _is_mapped_to_nothing(name, class_map)]
    # nothing but drawn faces may be wrapped, too
    folders = [name for name in named if not _is_own(root / name)] or [name for name in named if is_drawn(name)]
    if len(folders) != 1 or split_of(folders[0]) or class_name(folders[0]) in class_map:
        return root
    inside = root / folders[0]
    return _unwrapped(inside, class_map) if subfolders(inside) else root


def _named(root: Path, splits: Mapping[str, str]) -> dict[str, str]:
    """Check the folders that ``data.splits`` names.

    Raises:
        UserError: one is not the folder of a split.
    """
    found: dict[str, str] = {}
    for name, folder in splits.items():
        if name not in SPLITS:
            raise UserError(
                f"data.splits: '{name}' is not a split; expected {', '.join(SPLITS)}{nearest(name, SPLITS)}"
            )
        path = plain_path(root / folder)
        if not path.is_dir() or not path.is_relative_to(root):
            names = subfolders(root)
            hint = nearest(folder, names) or f"; it has {', '.join(names) or 'no folder'}"
            raise UserError(f"data.splits: {name}={folder}: no such folder in {root}{hint}")
        found[name] = as_listed(root, path.relative_to(root).as_posix())
    for name, path_of in found.items():
        for other, inner in found.items():
            if name != other and (inner == path_of or path_of == "." or inner.startswith(f"{path_of}/")):
                raise UserError(f"data.splits: the {other} split {inner} is in the {name} split {path_of}")
    return found


def _recognised(root: Path, class_map: Mapping[str, str | None]) -> dict[str, str]:
    """Return the folders whose names are those of splits, by split.

    Raises:
        UserError: two folders are the same split, or a lone one has no class folders and may be a class.
    """
    usual: dict[str, list[str]] = {}
    other: dict[str, list[str]] = {}
    folders = [name for name in subfolders(root) if class_name(name) not in class_map]
    for name in folders:
        if split := SPLIT_NAMES.get(name.lower()):
            usual.setdefault(split, []).append(name)
        elif split := split_of(name):
            other.setdefault(split, []).append(name)
    found = other | usual
    for split, names in found.items():
        if len(names) > 1:
            raise UserError(
                f"{root}: '{names[0]}' and '{names[1]}' are both the {split} split; data.splits={{{split}: FOLDER}}, "
                "with the folders of the other splits, names the right one"
            )
    if len(found) == 1 and len(folders) > 1:
        ((name,),) = found.values()
        if not subfolders(root / name) and entries(root / name):
            raise UserError(
                f"{root}: the folder '{name}' has the name of a split, but holds no class folders; if it is a class, "
                f"type {suggestion({name: name})}; if it is to be left out, type {suggestion({name: None})}"
            )
    return {split: names[0] for split, names in found.items()}


def _inside(root: Path, folder: str, split: str) -> str:
    """Return the folder with a split's class folders, as in ``seg_train/seg_train`` and ``Train/images``."""
    names = subfolders(root / folder)
    if len(names) != 1:
        return folder
    inner = f"{folder}/{names[0]}" if folder != "." else names[0]
    wraps = is_wrapper(names[0]) and subfolders(root / inner)
    return _inside(root, inner, split) if split_of(names[0]) == split or wraps else folder


def _below(root: Path, folder: str) -> list[str]:
    paths = [name if folder == "." else f"{folder}/{name}" for name in subfolders(root / folder)]
    return [path for path in paths if not _is_own(root / path)]


def _refuse_inner_splits(root: Path, inner: Mapping[str, Sequence[str]]) -> None:
    """Refuse class folders that hold split folders: their splits would be mixed.

    Args:
        inner: names of the subfolders of each class folder.

    Raises:
        UserError: one holds a folder with the usual name of a split, or folders with the names of several splits.
    """
    found = {folder: splits for folder, names in inner.items() if (splits := _split_folders(names))}
    if not found:
        return
    folder, splits = next(iter(found.items()))
    names = [class_name(path) for path in found]
    if any(subfolders(root / folder / name) for name in splits):
        ways = f"data.root={shlex.quote(str(root / folder))} takes the splits of this folder alone"
    else:
        ways = (
            f"splits are expected outside of classes, such as {splits[0]}/{names[0]}: move the folders, or list the "
            "images in a table with a column split (data=table data.table=FILE)"
        )
    kind = "split folder" if len(splits) == 1 else "split folders"
    raise UserError(
        f"{root}: '{folder}' would be a class, but it holds the {kind} {listed(splits)}; {ways}; "
        f"{suggestion(dict.fromkeys(names))} leaves {'it' if len(names) == 1 else 'all such folders'} out; "
        f"{suggestion(dict(zip(names, names, strict=True)))} makes a class of {'it' if len(names) == 1 else 'each'} "
        "and ignores these splits"
    )


def _split_folders(names: Sequence[str]) -> list[str]:
    """Return the names of split folders: usual ones, or those of at least two splits."""
    usual = [name for name in names if name.lower() in SPLIT_NAMES]
    others = [name for name in names if split_of(name)]
    return usual or (others if len(set(map(split_of, others))) > 1 else [])


def _refuse_repeated_subfolders(root: Path, subfolders_of: Mapping[str, Sequence[str]]) -> None:
    """Refuse class folders that all hold the same subfolders and nothing else: these may be the classes.

    Raises:
        UserError: they do.
    """
    folders = list(subfolders_of)
    inner = [{name.casefold() for name in names} for names in subfolders_of.values()]
    if len(folders) < 2 or not all(inner) or any(map(_has_files, (root / folder for folder in folders))):
        return
    common = set.intersection(*inner)
    is_wrapped = len(common) == 1 and all(map(is_wrapper, common)) and not any(map(split_of, common))
    if not common or common != min(inner, key=len) or is_wrapped:
        return
    declared = {class_name(folder): class_name(folder) for folder in folders}
    raise UserError(
        f"{root}: the folders {listed(folders)} all hold the same subfolders, {listed(sorted(common))}; if the outer "
        "ones are splits, 'data.splits={train: FOLDER, val: FOLDER, test: FOLDER}' names them; if they are classes, "
        f"type {suggestion(declared)}; if they are parts, data.root=FOLDER takes one of them"
    )


def listed(names: Sequence[str]) -> str:
    """List names in quotes, the first four of them."""
    return ", ".join(f"'{name}'" for name in names[:4]) + (", ..." if len(names) > 4 else "")


def _has_files(folder: Path) -> bool:
    return any(not leads_to_folder(entry) and not system_reason(entry) for entry in entries(folder))


def _is_own(folder: Path) -> bool:
    """Whether maskcls wrote this folder."""
    return is_drawn(folder.name) or _holds_runs(folder)


def _holds_runs(folder: Path) -> bool:
    """Whether this is a run directory, or holds them by day, as ``outputs`` does."""
    days = [folder / name for name in subfolders(folder) if re.fullmatch(r"20\d\d-\d\d-\d\d", name)]
    return is_run(folder) or any(is_run(day / name) for day in days for name in subfolders(day))


def _is_mapped_to_nothing(folder: str, class_map: Mapping[str, str | None]) -> bool:
    return class_map.get(class_name(folder), "") is None


def _rest(
    outer: Path, root: Path, known: Collection[str], ways: Iterable[str], class_map: Mapping[str, str | None]
) -> Iterator[tuple[str, str]]:
    """Yield the path and the reason of everything in a data set that is in no class folder.

    Args:
        outer: the folder of the data set; it is the root, or wraps it.
        root: folder that paths are relative to.
        known: the class folders.
        ways: folders to go through, beside those that lead to a class folder.
        class_map: names of folders that are left out have the value None.
    """
    leading = {str(folder) for path in (*known, *ways) for folder in (root / path, *(root / path).parents)}
    pending = [outer]
    while pending:
        for entry in entries(pending.pop()):
            path = Path(os.path.relpath(entry.path, root)).as_posix()
            if path in known:
                continue
            if reason := system_reason(entry):
                yield path, reason
            elif entry.path in leading:
                pending.append(Path(entry.path))
            elif leads_to_folder(entry):
                kind = f"folder {MAPPED}" if _is_mapped_to_nothing(path, class_map) else OUTSIDE
                kind = DRAWN if is_drawn(entry.name) else RUNS if _holds_runs(Path(entry.path)) else kind
                yield path, f"{kind}: {files_in(Path(entry.path))}"
            else:
                yield path, left_out_reason(Path(entry.path), is_regular=entry.is_file(follow_symlinks=False)) or LOOSE


def suggestion(class_map: Mapping[str, str | None]) -> str:
    """Return the override that sets a class map, ready to be pasted into a shell; of many names the first twelve."""
    pairs = [f"{_quoted(key)}: {'null' if name is None else _quoted(name)}" for key, name in class_map.items()]
    shown = ", ".join(pairs[:12]) + (", ..." if len(pairs) > 12 else "")
    return shlex.quote(f"data.class_map={{{shown}}}")


def _quoted(name: str) -> str:
    """Return a name as a mapping in YAML has it: in quotes unless it is a plain word."""
    is_plain = re.fullmatch(r"[^\W\d][\w-]*", name) and name.lower() not in ("null", "true", "false", "yes", "no", "on")
    return name if is_plain else json.dumps(name, ensure_ascii=False)
