"""Reads what was typed: Hydra's flags, and overrides whose paths are quoted as Hydra's grammar asks."""

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import hydra.errors
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from maskcls.config import nearest
from maskcls.errors import UserError

# keys whose values are paths and taken as typed, because Hydra's grammar does not read '=', brackets or Korean letters
PATH_KEYS = (
    *("ckpt", "init", "source", "data.root", "data.groups", "data.table", "resume", "data.cache_dir", "cache_dir"),
    "faces.model",
    *("hydra.run.dir", "hydra.sweep.dir"),
)
NAME_KEYS = ("data.positive_class",)  # names are taken as typed, too
PATH_LIST_KEYS = ("runs",)
# in training, ``data`` is a group; these commands have a key instead, which takes the group's names
DATA_NAME = {"eval": "data.name"}
# dictionaries are taken as typed, too: Hydra's grammar has no quotes around their names
DICTIONARY_KEYS = ("data.class_map", "data.splits", "data.columns")
MODEL_SUFFIXES, TABLE_SUFFIXES = (".safetensors", ".onnx"), (".csv", ".tsv")

# Hydra's flags and the values that they take: None for none, () for any. --config-name and --config-path are missing,
# because each command has one primary configuration, which its schema describes
FLAGS: dict[str, tuple[str, ...] | None] = {
    **dict.fromkeys(("--help", "-h", "--hydra-help", "--resolve", "--run", "-r", "--multirun", "-m"), None),
    **dict.fromkeys(("--shell-completion", "-sc"), None),
    **dict.fromkeys(("--package", "-p", "--config-dir", "-cd"), ()),
    **dict.fromkeys(("--cfg", "-c"), ("job", "hydra", "all")),
    **dict.fromkeys(("--info", "-i"), ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")),
}


@dataclass(frozen=True)
class CommandLine:
    """Arguments as typed, sorted because Hydra wants its flags first."""

    flags: tuple[str, ...]
    overrides: tuple[str, ...]

    def adding(self, *overrides: str) -> "CommandLine":
        """Return this command line with more overrides at its end."""
        return replace(self, overrides=(*self.overrides, *overrides))

    @property
    def is_sweep(self) -> bool:
        """Whether several jobs are to run."""
        return self._has("--multirun", "-m")

    @property
    def shows_only(self) -> bool:
        """Whether something is to be printed and nothing to be run."""
        shown = ("--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i", "--resolve")
        return self.completes_shell or self._has(*shown)

    @property
    def completes_shell(self) -> bool:
        """Whether a shell asks for completions; the other arguments are then not overrides."""
        return self._has("--shell-completion", "-sc")

    @property
    def config_dir(self) -> str | None:
        """The user's own folder of configuration files, if there is one."""
        positions = [i for i, flag in enumerate(self.flags) if flag in ("--config-dir", "-cd")]
        return self.flags[positions[-1] + 1] if positions else None

    @property
    def search_path(self) -> list[str]:
        """The override that makes Hydra look for files in that folder, too; an empty list if there is none."""
        folder = self.config_dir
        return [f"hydra.searchpath=[{quote(f'file://{Path(folder).absolute()}')}]"] if folder else []

    def _has(self, *names: str) -> bool:
        return any(flag in names for flag in self.flags)


def read_arguments(arguments: Sequence[str], command: str = "train") -> CommandLine:
    """Sort arguments into Hydra's flags and overrides.

    Args:
        arguments: what was typed.
        command: name of the command.

    Raises:
        UserError: for a flag that is not in `FLAGS`, or has a value that it does not take.
    """
    flags: list[str] = []
    overrides: list[str] = []
    remaining = list(arguments)
    while remaining:
        argument = remaining.pop(0)
        if argument.startswith("-"):
            flags += _read_flag(argument, remaining)
        else:
            overrides.append(re.sub(r"^\+{0,2}data=", f"{DATA_NAME.get(command, 'data')}=", argument))
    line = CommandLine(tuple(flags), ())
    return line.adding(*(_quote_path(override, is_sweep=line.is_sweep) for override in overrides))


def refuse_repeated(arguments: Sequence[str]) -> None:
    """Check that no key is set twice: the last value would count, and nobody would notice.

    Raises:
        UserError: one is.
    """
    typed: dict[str, str] = {}
    for argument in arguments:
        key, equals, _ = argument.partition("=")
        key = key.lstrip("+")
        if not equals or key.startswith("-"):
            continue
        if key in typed:
            raise UserError(f"{typed[key]} and {argument}: {key} is given twice; give it once")
        typed[key] = argument


def refuse_bare(command: str, overrides: Sequence[str]) -> None:
    """Check that no path is typed without its key, as in ``maskcls-predict photos``.

    Raises:
        UserError: one is; the message says which key it seems to be meant for.
    """
    bare = [text for text in overrides if "=" not in text and (command == "compare" or _is_path(text))]
    if not bare:
        return
    if command == "compare":
        given = [one.value() for one in parse_overrides([text for text in overrides if text.startswith("runs=")])]
        named = [str(path) for value in given for path in (value if isinstance(value, list) else [value])]
        meant = [f"runs=[{','.join([*named, *bare])}]"]
    else:
        meant = [part for text in bare for part in _with_key(command, text)]
    sources = [text.partition("=")[2] for text in meant if text.startswith("source=")]
    limit = ""
    if len(sources) > 1:
        meant = [*(text for text in meant if not text.startswith("source=")), f"source={_one_source(sources)}"]
        limit = " It takes one source: a file, a folder, or a pattern such as photos/*.jpg"
    raise UserError(f"cannot read '{bare[0]}': expected key=value; did you mean {shlex.join(meant)}?{limit}")


def _one_source(sources: Sequence[str]) -> str:
    """Return the pattern that a shell seems to have expanded to several sources; the first one if it is none."""
    patterns = {str(path.with_name(f"*{path.suffix}")) for path in map(Path, sources)}
    return patterns.pop() if len(patterns) == 1 and Path(sources[0]).suffix else sources[0]


def _is_path(text: str) -> bool:
    if re.match(r"~\w", text):  # Hydra's deletion, such as ~hydra/launcher: the shell has expanded ~user
        return False
    return "/" in text or Path(text).suffix.lower() in (*MODEL_SUFFIXES, *TABLE_SUFFIXES) or os.path.exists(text)


def _with_key(command: str, text: str) -> list[str]:
    """Return what sets the key that a path seems to be meant for."""
    path = Path(text).expanduser()
    is_model, is_run = path.suffix.lower() in MODEL_SUFFIXES, os.path.isfile(path / "run.json")
    is_table = path.suffix.lower() in TABLE_SUFFIXES
    if command == "export" or is_model or (is_run and command in ("train", "eval", "predict")):
        key = {"train": "resume" if is_run else "init"}.get(command, "ckpt")
        return [f"{key}={text}"]
    if command == "predict":
        return [f"source={text}"]
    named = [f"data={'table' if is_table else 'folder'}"] if command == "train" else []
    return [*named, f"data.{'table' if is_table else 'root'}={text}"]


def _read_flag(argument: str, remaining: list[str]) -> list[str]:
    """Return a flag and its value, which is taken off the remaining arguments if it stands there."""
    flag, equals, value = argument.partition("=")
    if flag in ("--config-name", "-cn", "--config-path", "-cp"):
        raise UserError(
            f"{argument} is not an option: each command has its own configuration, as maskcls-eval has that of eval; "
            "--config-dir FOLDER adds files of yours"
        )
    if argument == "-":
        raise UserError("- is not an option: source=- reads a picture or a video from standard input")
    if flag not in FLAGS:
        hint = nearest(flag, ["--config-dir"]) or f"; did you mean {flag.lstrip('-')}=...?"
        raise UserError(f"{argument} is not an option: values are set as key=value, without dashes{hint}")
    values = FLAGS[flag]
    if values is None:
        if equals:
            raise UserError(f"{argument}: {flag} takes no value")
        return [flag]
    if not equals:
        default = "all" if flag in ("--info", "-i") else ""
        value = remaining.pop(0) if remaining and (not default or remaining[0] in values) else default
    if not value or (values and value not in values):
        expected = f"one of {', '.join(values)}" if values else "a value"
        raise UserError(f"{flag}={value}: expected {expected}")
    return [flag, value]


def _quote_path(override: str, *, is_sweep: bool) -> str:
    key, equals, value = override.partition("=")
    if key.lstrip("+") in PATH_LIST_KEYS and value[:1] == "[" and value[-1:] == "]" and not set("'\"") & set(value):
        return f"{key}=[{','.join(quote(path.strip()) for path in value[1:-1].split(',') if path.strip())}]"
    if key.lstrip("+") in DICTIONARY_KEYS and value[:1] == "{":
        return f"{key}={quote(value)}"
    if key.lstrip("+") not in (*PATH_KEYS, *NAME_KEYS) or not equals or value == "null" or value[:1] in ("'", '"'):
        return override
    # Hydra's own keys cannot be swept
    values = value.split(",") if is_sweep and not key.startswith("hydra.") else [value]
    return f"{key}={','.join(map(quote, values))}"


def quote(value: str) -> str:
    """Return a text in quotes, so that Hydra's grammar reads it back unchanged."""
    # inside quotes a backslash is special only before a quote and at the end
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"'{escaped}'"


def parse_overrides(texts: Sequence[str]) -> list[Override]:
    """Read overrides by Hydra's grammar.

    Raises:
        UserError: naming the first that does not follow it.
    """
    parser = OverridesParser.create()
    overrides = []
    for text in texts:
        try:
            overrides.append(parser.parse_override(text))
        except hydra.errors.HydraException:
            reason = " (an '=' is missing, or has a space beside it)"
            if "=" in text:
                reason = " without spaces around the '='" if re.search(r"\s=|=\s", text) else ""
            raise UserError(f"cannot read '{text}': expected key=value{reason}; quote special characters") from None
    return overrides
