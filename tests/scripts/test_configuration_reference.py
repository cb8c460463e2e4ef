"""docs/configuration.md is up to date, and the comments in the YAML files agree with the schema."""

import dataclasses
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import pytest
from configuration_reference import (
    CONFIGS,
    GROUPS,
    PAGE,
    Entry,
    annotation_of,
    entries,
    header,
    render,
    schema_of,
)

from maskcls.config import SCHEMAS, DataConfig, Range


def test_the_committed_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run: python scripts/configuration_reference.py"


def test_no_line_of_the_page_is_too_long() -> None:
    assert max(map(len, render().splitlines())) <= 120


@pytest.mark.parametrize(
    "line",
    [
        "- **`epochs`** (a whole number, at least 1; default `10`): passes over the training images.",
        "- **`optim.lr`** (a number, above 0; default `0.01`): learning rate.",
        "- **`data.root`** (a path; required): folder that holds the split folders or the class folders.",
        "The optimizer. Options: `adam`, `adamw`, `sgd` (default).",
        "Sets `data=synthetic`, `data.input_size=64`, `data.train_images=1600`, `epochs=4`.",
    ],
)
def test_the_page_shows_keys_options_and_experiments(line: str) -> None:
    assert line in render().splitlines()


def test_comments_above_and_beside_a_key_are_read(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text(
        "# @package _global_\n# What this file\n# is for.\ndefaults:\n  - base\nname: some\n"
        "first: 1  # (int, at least 1) number of things (or none)\n\n"
        "group:\n  # (path or null) where it is;\n  # null: nowhere\n  inner: null\n"
        "last: '#'\nhydra:\n  run: here  # (text) not a key of maskcls\n"
    )
    assert header(path) == "What this file is for."
    assert entries(path) == [
        Entry("first", "1", "int, at least 1", "number of things (or none)"),
        Entry("group.inner", "null", "path or null", "where it is; null: nowhere"),
        Entry("last", "'#'", "", ""),
    ]


# every file with keys, and the schema that it has to agree with
FILES = [(CONFIGS / f"{command}.yaml", schema) for command, schema in SCHEMAS.items()] + [
    (path, DataConfig if path.stem == "base" else schema_of(group, path.stem))
    for group in GROUPS
    for path in sorted((CONFIGS / group).glob("*.yaml"))
]
KEYS = [
    pytest.param(entry, schema, id=f"{path.relative_to(CONFIGS).as_posix()}-{entry.key}")
    for path, schema in FILES
    for entry in entries(path)
]


@pytest.mark.parametrize(("entry", "schema"), KEYS)
def test_a_key_has_a_comment_that_agrees_with_the_schema(entry: Entry, schema: type) -> None:
    assert len(entry.meaning.split()) >= (1 if entry.key in ("lr", "momentum") else 2)
    assert entry.stated.removesuffix(", required") == stated(annotation_of(schema, entry.key))
    assert entry.stated.endswith(", required") == (entry.default == "???")


def stated(annotation: Any) -> str:
    """What a comment has to say in its parentheses."""
    is_union = typing.get_origin(annotation) in (Union, types.UnionType)
    members = typing.get_args(annotation) if is_union else (annotation,)
    texts = [stated_member(member) for member in members]
    if all(typing.get_origin(member) is Literal or member is type(None) for member in members):
        return " | ".join(texts)
    return (", or " if "," in texts[0] else " or ").join(texts)


def stated_member(annotation: Any) -> str:
    kind, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if kind is Literal:
        return " | ".join(str(name).lower() if isinstance(name, bool) else name for name in arguments)
    if kind is Annotated:
        number, limits = arguments
        return f"{number.__name__}, {limits}" if isinstance(limits, Range) else str(limits)
    if kind is dict:
        return "dictionary"
    if kind is tuple:
        return f"list of {'paths' if arguments[0] is Path else stated(arguments[0])}"
    return {bool: "true or false", Path: "path", str: "text", type(None): "null"}[annotation]


@pytest.mark.parametrize(
    ("path", "schema"), [pytest.param(*file, id=file[0].stem) for file in FILES if file[0].stem != "base"]
)
def test_every_key_of_the_schema_is_in_the_files(path: Path, schema: type) -> None:
    found = {entry.key for entry in entries(path)}
    if path.parent == CONFIGS / "data":
        found |= {entry.key for entry in entries(path.with_name("base.yaml"))}
    assert found | {"name", *GROUPS} >= keys_of(schema)


def keys_of(schema: type) -> set[str]:
    """All keys of a schema, except for what the options of a group hold."""
    keys = set()
    for name, annotation in typing.get_type_hints(schema).items():
        inner = dataclasses.is_dataclass(annotation)
        keys |= {f"{name}.{key}" for key in keys_of(annotation)} if inner else {name}
    return keys
