"""Writes docs/configuration.md: every key of every command, from the YAML files in configs/ and the schema.

    python scripts/configuration_reference.py

Type and range come from the schema, the default from the YAML file, and the meaning from the comment above or beside
the key there. So the page is never edited by hand. A test fails when the committed page is out of date.
"""

import re
import textwrap
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from maskcls.config import SCHEMAS, TrainConfig, describe

CHECKOUT = Path(__file__).resolve().parents[1]
CONFIGS = CHECKOUT / "configs"
PAGE = CHECKOUT / "docs" / "configuration.md"
WIDTH = 120

GROUPS = ("model", "optim", "schedule", "data", "augment")
INTRODUCTION = """\
# Configuration

This page lists every key of every command. `python scripts/configuration_reference.py` generates it from the files in
[configs](../configs) and the schema. Do not edit it by hand.

Set a key with `key=value` or `group.key=value`. Choose an option of a group with `group=option`:

    maskcls-train model=mycnn optim=adam optim.lr=0.005 epochs=5

- `--help` shows every key with its default. `--cfg job` shows the configuration that a command line produces.
- `null` means "no value". A list is written as `[a,b]`.
- Type a path as it is, with spaces, `=`, brackets or letters of any language. Quote it as the shell requires:
  `'data.root=my photos (1)'`.
- `hydra.run.dir=FOLDER` chooses the run directory. `hydra.sweep.dir=FOLDER` does so for a sweep (`-m`).
- `--config-dir FOLDER` adds a folder with configuration files of your own. They come after the files of maskcls, so
  give them other names.
- An unknown key, a value of the wrong type or out of range, and keys that contradict each other end with exit
  status 2 and a one-line message. Nothing is written in that case.
"""
GROUP_TEXTS = {
    "model": "The network.",
    "optim": "The optimizer.",
    "schedule": "How the learning rate changes during training.",
    "data": "The data set.",
    "augment": "Random changes of the training images.",
}


class Entry(NamedTuple):
    """A key as its YAML file documents it.

    Attributes:
        key: full name, such as ``early_stopping.patience``, counted from the top of the file.
        default: the value in the file, as text.
        stated: type and range, which the comment gives in parentheses.
        meaning: the rest of the comment.
    """

    key: str
    default: str
    stated: str
    meaning: str


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")
    print(f"wrote {PAGE}")


def render() -> str:
    """The text of the page."""
    parts = [INTRODUCTION, *_training()]
    for command in SCHEMAS:
        if command != "train":
            path = CONFIGS / f"{command}.yaml"
            parts += [f"## maskcls-{command}", _wrapped(_purpose(path)), _keys(path, SCHEMAS[command])]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _training() -> list[str]:
    path = CONFIGS / "train.yaml"
    chosen = {name: option for item in _defaults(path) for name, option in item.items()}
    parts = ["## maskcls-train", _wrapped(_purpose(path)), _keys(path, TrainConfig)]
    for group in GROUPS:
        options = [file for file in sorted((CONFIGS / group).glob("*.yaml")) if file.stem != "base"]
        names = ", ".join(f"`{file.stem}`" + " (default)" * (file.stem == chosen[group]) for file in options)
        parts += [f"### {group}", _wrapped(f"{GROUP_TEXTS[group]} Options: {names}.")]
        base = CONFIGS / group / "base.yaml"
        if base.exists():
            parts += ["Keys of every option:", _keys(base, schema_of(group, options[0].stem), f"{group}.")]
        for file in options:
            parts += [f"#### {group}={file.stem}", _wrapped(_marked(header(file)))]
            parts += [_keys(file, schema_of(group, file.stem), f"{group}.")] if entries(file) else []
    parts += ["### experiment", "An experiment sets several keys at once. A key that you type takes precedence."]
    folder = CONFIGS / "experiment"
    for file in sorted(folder.rglob("*.yaml")):
        parts += _experiment(file, file.relative_to(folder).with_suffix("").as_posix())
    return parts


def _experiment(path: Path, name: str) -> list[str]:
    options = [f"{key.removeprefix('override /')}={option}" for item in _defaults(path) for key, option in item.items()]
    parts = [
        f"#### experiment={name}",
        _wrapped(_marked(header(path))),
        _wrapped(f"Sets {_code([*options, *settings(path)])}."),
    ]
    for recipe in sorted((CONFIGS / "recipe" / name).glob("*.yaml")):
        parts.append(_wrapped(f"With `model={recipe.stem}` it also sets {_code(settings(recipe))}."))
    return parts


def _purpose(path: Path) -> str:
    """What a command does: the first paragraph of its help page."""
    help_page: str = yaml.safe_load(path.read_text(encoding="utf-8"))["hydra"]["help"]["header"]
    return help_page.partition("\n\n")[0]


def _keys(path: Path, schema: type, prefix: str = "") -> str:
    """The list of a file's keys."""
    return "\n".join(_item(entry, schema, prefix) for entry in entries(path))


def _item(entry: Entry, schema: type, prefix: str) -> str:
    default = "required" if entry.default == "???" else f"default {_shown_default(entry.default)}"
    kind = describe(annotation_of(schema, entry.key))
    meaning = entry.meaning if entry.meaning.endswith(".") else f"{entry.meaning}."
    return _wrapped(f"- **`{prefix}{entry.key}`** ({kind}; {default}): {_marked(meaning)}", indent="  ")


def _shown_default(text: str) -> str:
    if match := re.fullmatch(r"\$\{oc\.env:(\w+),'?([^']*?)'?\}", text):
        return f"the environment variable `{match[1]}`, else `{match[2]}`"
    if match := re.fullmatch(r"\$\{([\w.]+)\}", text):
        return f"the value of `{match[1]}`"
    return f"`{text}`"


def _marked(text: str) -> str:
    """The text with file names, keys, ``key=value`` and ``null`` set as code."""
    return re.sub(r"(?<![\w/])([a-z_]+\.[a-z_]+(=\w+)?|[a-z_]+=(\w+|\[[\w,]+\])|null)(?![\w/.]\w)", r"`\1`", text)


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def header(path: Path) -> str:
    """The comment at the top of a file, as one line."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.removeprefix("#").strip())
    return " ".join(lines)


def settings(path: Path) -> list[str]:
    """``key=value`` for each value that a file sets."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = [(key, value) for key, value in _flat(content, "") if not key.startswith("defaults")]
    return [f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in found]


def _flat(content: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in content.items():
        found += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return found


def _defaults(path: Path) -> list[dict[str, Any]]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [item for item in content["defaults"] if isinstance(item, dict)]


_LINE = re.compile(r"(?P<indent> *)(?P<key>\w+):(?: (?P<value>.*?))?(?: +# (?P<comment>.*))?")
_COMMENT = re.compile(r"(\((?P<stated>[^)]*)\) )?(?P<meaning>.*)")


def entries(path: Path) -> list[Entry]:
    """The keys of a file that people set, in order; ``name``, which a group's option sets, is none of them."""
    found: list[Entry] = []
    above: list[str] = []
    parent = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        match = _LINE.fullmatch(line)
        if line.strip().startswith("#"):
            above.append(line.strip().removeprefix("#").strip())
            continue
        if match is None:
            above = []
            continue
        if not match["indent"]:
            parent = match["key"]
        value = (match["value"] or "").strip()
        if value and parent not in ("hydra", "defaults", "name"):
            key = f"{parent}.{match['key']}" if match["indent"] else parent
            comment = _COMMENT.fullmatch(" ".join([*above, *([match["comment"]] if match["comment"] else [])]))
            assert comment is not None
            found.append(Entry(key, value, comment["stated"] or "", comment["meaning"]))
        above = []
    return found


def schema_of(group: str, option: str) -> type:
    """The dataclass of a group's option."""
    union = typing.get_type_hints(TrainConfig)[group]
    (schema,) = [s for s in typing.get_args(union) if option in typing.get_args(typing.get_type_hints(s)["name"])]
    found: type = schema
    return found


def annotation_of(schema: type, key: str) -> Any:
    """The annotation of a key in the schema.

    Raises:
        KeyError: if the schema has no such key.
    """
    annotation: Any = schema
    for name in key.split("."):
        annotation = typing.get_type_hints(annotation, include_extras=True)[name]
    return annotation


if __name__ == "__main__":
    main()
