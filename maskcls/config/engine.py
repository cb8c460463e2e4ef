"""Turns plain values, as YAML and JSON give them, into frozen dataclasses, or refuses them in one line.

Nothing here knows which keys maskcls has. The annotation of a dataclass's field may be:

    bool, int, float             a number that is whole is taken for int, too
    str, Path                    may not be empty; a path becomes absolute
    Literal["auto", True]        one of these values
    Annotated[int, Range(1)]     a number within bounds
    Annotated[str, Text(...)]    a text of some form
    tuple[X, ...]                a list; a single value stands for a list of one
    tuple[X, Y]                  a list of this length
    dict[str, X]                 a dictionary, or text such as {a: b}, as typed
    a dataclass                  a group of keys, each of which has to be there
    A | B                        one of several dataclasses, told apart by their field name; or of several simple types
    X | None                     null as well
"""

import dataclasses
import difflib
import math
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from maskcls.errors import UserError


@dataclass(frozen=True)
class Range:
    """Bounds of a number, inclusive unless said otherwise. A number of 2^63 or more is in no range."""

    low: float
    high: float = math.inf
    above_low: bool = False
    below_high: bool = False

    def __contains__(self, value: float) -> bool:
        is_above = value > self.low if self.above_low else value >= self.low
        return is_above and (value < self.high if self.below_high else value <= self.high) and abs(value) < 2**63

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.above_low else f"at least {self.low:g}"
        if self.high == math.inf:
            return low
        return f"{low} and {'below' if self.below_high else 'at most'} {self.high:g}"


@dataclass(frozen=True)
class Text:
    """The form of a text: a regular expression, and a description of it for people."""

    pattern: str
    description: str

    def __contains__(self, value: str) -> bool:
        return re.fullmatch(self.pattern, value) is not None

    def __str__(self) -> str:
        return self.description


_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    None: "null",
    Any: "anything",
}


def convert(value: Any, annotation: Any, key: str) -> Any:
    """Return a plain value as the type that an annotation names.

    Args:
        value: null, a boolean, a number, text, a list or a dictionary with text as keys.
        annotation: a dataclass, or whatever the annotation of its fields may be.
        key: what messages call the value, such as ``optim.lr``; empty for the whole document.

    Raises:
        UserError: naming the first key that is unknown, missing, of a wrong type or out of range.
    """
    if annotation is Any:
        return value
    members = _members(annotation)
    if value is None and NoneType in members:
        return None
    members = [member for member in members if member is not NoneType]
    kind, arguments = get_origin(members[0]), get_args(members[0])
    if kind in (dict, Mapping) and isinstance(value, str):
        value = _read_mapping(value, key)
    if dataclasses.is_dataclass(members[0]) and isinstance(value, Mapping):
        return _convert_group(value, members, key)
    if kind in (dict, Mapping) and isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: convert(item, arguments[1], _join(key, name)) for name, item in value.items()}
    if kind is tuple and arguments[-1] is Ellipsis:
        return tuple(convert(item, arguments[0], key) for item in (value if isinstance(value, list) else [value]))
    if kind is tuple and isinstance(value, list) and len(value) == len(arguments):
        return tuple(convert(item, argument, key) for item, argument in zip(value, arguments, strict=True))
    for member in members:
        if (converted := _convert_scalar(value, member)) is not None:
            return converted
    raise UserError(f"{key}={_shown(value)}: expected {describe(annotation)}{_hint(value, members)}")


def describe(annotation: Any) -> str:
    """Say what an annotation allows, in the words of the error messages: ``a whole number, at least 1, or null``."""
    members = _members(annotation)
    if len(groups := [member for member in members if dataclasses.is_dataclass(member)]) > 1:
        members = [Literal[tuple(_groups_by_name(groups))], *(member for member in members if member not in groups)]
    texts = [_describe_member(member) for member in members]
    return (", or " if "," in texts[0] else " or ").join(texts)


def as_dictionary(config: Any) -> dict[str, Any]:
    """Return a dataclass as `convert` takes it: plain nested dictionaries and lists, paths as text."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ``; did you mean 'X'?`` for the most similar of ``names``, or nothing."""
    candidates = list(names)
    close = difflib.get_close_matches(name, candidates, n=9, cutoff=0.6)
    # whole words count more than letters: image_size is input_size, not resize
    words = set(re.split("[._]", name))

    def likeness(candidate: str) -> tuple[float, bool]:
        ratio = difflib.SequenceMatcher(None, candidate, name).ratio()
        return ratio + 0.1 * bool(words & set(re.split("[._]", candidate))), candidate[:1] == name[:1]

    matches = sorted(close, key=likeness, reverse=True)
    # 'lr' for 'optim.lr': a key typed without its group
    matches = matches or [c for c in candidates if c.rpartition(".")[2] == name.rpartition(".")[2]]
    return f"; did you mean '{matches[0]}'?" if matches else ""


def _members(annotation: Any) -> list[Any]:
    is_union = get_origin(annotation) in (Union, UnionType)
    return list(get_args(annotation)) if is_union else [annotation]


def _groups_by_name(groups: Iterable[Any]) -> dict[str, Any]:
    """The dataclasses of a union, by the values that their field ``name`` allows."""
    return {name: group for group in groups for name in get_args(get_type_hints(group)["name"])}


def _convert_group(value: Mapping[Any, Any], groups: list[Any], key: str) -> Any:
    group = groups[0]
    if len(groups) > 1:
        by_name = _groups_by_name(groups)
        group = by_name[convert(value.get("name"), Literal[tuple(by_name)], _join(key, "name"))]
    annotations = get_type_hints(group, include_extras=True)
    for name in value:
        if name not in annotations:
            where = f" of {key}={value['name']}" if len(groups) > 1 else ""
            allowed = f"allowed are {', '.join(annotations)}{nearest(str(name), annotations)}"
            raise UserError(f"{_join(key, name)} is not a key{where}: {allowed}")
    defaults = {field.name for field in dataclasses.fields(group) if field.default is not dataclasses.MISSING}
    for name in annotations:
        if name not in value and name not in defaults:
            raise UserError(f"{_join(key, name)} is missing")
    return group(**{name: convert(item, annotations[name], _join(key, str(name))) for name, item in value.items()})


def _join(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _read_mapping(text: str, key: str) -> dict[str, str | None]:
    """Read a dictionary as it is typed, in YAML's notation: ``{a: b, "c, d": null}``. All names are text.

    Raises:
        UserError: this is no such dictionary.
    """
    import yaml

    quoted_or_colon = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')|:(?=[^\s])""")
    try:
        # YAML wants a space after the colon
        node = yaml.compose(quoted_or_colon.sub(lambda found: found[1] or ": ", text), Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        node = None
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    # YAML reads {a} as {a: null}, which would leave a out
    is_flat = all(isinstance(part, yaml.ScalarNode) and part.value for pair in pairs for part in pair)
    if not text.startswith("{") or not isinstance(node, yaml.MappingNode) or not is_flat:
        raise UserError(f'{key}={text}: expected a dictionary such as {{NAME: VALUE, "OTHER NAME": null}}')
    read: dict[str, str | None] = {}
    for name, value in pairs:
        if name.value in read:
            raise UserError(f"{key}={text}: '{name.value}' is there twice")
        read[name.value] = None if value.tag.endswith(":null") else value.value
    return read


def _convert_scalar(value: Any, annotation: Any) -> Any:
    """Return a value as a simple type, None if the annotation does not allow it."""
    if get_origin(annotation) is Literal:
        is_allowed = any(value == name and type(value) is type(name) for name in get_args(annotation))  # 1 is not true
        return value if is_allowed else None
    kind, limits = get_args(annotation) if get_origin(annotation) is Annotated else (annotation, None)
    if kind is bool:
        return value if isinstance(value, bool) else None
    if isinstance(limits, Text) and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)  # evaluation.threshold=0.5
    converted = _as_text(value, kind) if kind in (str, Path) else _as_number(value, kind)
    return converted if converted is None or limits is None or converted in limits else None


def _as_text(value: Any, kind: type) -> str | Path | None:
    if not isinstance(value, str) or not value:
        return None
    # absolute, because a configuration is also read in other folders, by maskcls-eval for example
    if kind is str:
        return value
    path = Path(os.path.expanduser(value)).absolute()
    return Path(os.path.realpath(path)) if ".." in path.parts else path


def _as_number(value: Any, kind: type) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:  # NaN
        return None
    if kind is int:
        return int(value) if value == int(value) else None  # epochs=1e2 arrives as 100.0
    return float(value) if kind is float else None


def _describe_member(annotation: Any) -> str:
    kind, arguments = get_origin(annotation), get_args(annotation)
    if dataclasses.is_dataclass(annotation):
        return f"a group with the keys {', '.join(field.name for field in dataclasses.fields(annotation))}"
    if kind is Literal:
        names = ", ".join(map(_shown, arguments))
        return f"one of {names}" if len(arguments) > 1 else names
    if kind is Annotated:
        return str(arguments[1]) if isinstance(arguments[1], Text) else f"{_WORDS[arguments[0]]}, {arguments[1]}"
    if kind in (dict, Mapping):
        return f"a dictionary, each value {describe(arguments[1])}"
    if kind is tuple and arguments[-1] is Ellipsis:
        return f"a list, each item {describe(arguments[0])}"
    if kind is tuple:
        return f"a list of {len(arguments)}: {', then '.join(map(describe, arguments))}"
    return _WORDS[None if annotation is NoneType else annotation]


def _hint(value: Any, members: Iterable[Any]) -> str:
    """What a refused value may have been meant as, or the limit of all numbers."""
    bounds = [limits.high for member in members for limits in get_args(member)[1:] if isinstance(limits, Range)]
    if bounds == [math.inf] and isinstance(value, int | float) and math.inf > abs(value) >= 2**63:
        return "; numbers stay below 9.2e18"
    if isinstance(value, int | float) and {str, Path} & set(members):
        return "; quote it if it is meant as text"
    names = [_shown(name) for member in members if get_origin(member) is Literal for name in get_args(member)]
    return nearest(str(value), [name for name in names if name != value])


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return as_dictionary(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
