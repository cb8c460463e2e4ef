"""From what was typed to checked configurations.

Hydra prints errors of several lines, with exit status 1, and only when it runs. So a command line is composed here with
Hydra's own API, job by job where it is a sweep, and what is wrong with it ends in a `UserError` of one line.
"""

import itertools
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from maskcls.config import nearest, parse
from maskcls.errors import UserError

_PACKAGE = Path(__file__).resolve().parent
# a wheel holds the YAML files in the package, a checkout beside it
CONFIG_DIR = _PACKAGE / "configs" if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent / "configs"

# keys whose values are paths, taken as typed: Hydra's grammar would trip over '=', brackets or Korean letters
PATH_KEYS = (
    "ckpt",
    "source",
    "data.root",
    "data.groups",
    "resume",
    "data.cache_dir",
    "cache_dir",
    "faces.model",
    "hydra.run.dir",
    "hydra.sweep.dir",
)
# and others whose values are names
NAME_KEYS = ("data.positive_class",)
# and those whose values are lists of paths
PATH_LIST_KEYS = ("runs",)

# Hydra's flags and the values that they take: None for none, () for any. Left out are --config-name and --config-path:
# a command has the one primary configuration that its schema describes
FLAGS: dict[str, tuple[str, ...] | None] = {
    **dict.fromkeys(("--help", "-h", "--hydra-help", "--resolve", "--run", "-r", "--multirun", "-m"), None),
    **dict.fromkeys(("--shell-completion", "-sc"), None),
    **dict.fromkeys(("--package", "-p", "--config-dir", "-cd"), ()),
    **dict.fromkeys(("--cfg", "-c"), ("job", "hydra", "all")),
    **dict.fromkeys(("--info", "-i"), ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")),
}

# what Hydra raises for a command line, or a file, that makes no configuration
COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, ValueError, yaml.YAMLError)


class CommandLine(NamedTuple):
    """Arguments as typed, put in order: Hydra wants its flags first."""

    flags: list[str]
    overrides: list[str]

    def has(self, *names: str) -> bool:
        return any(flag in names for flag in self.flags)

    @property
    def is_sweep(self) -> bool:
        return self.has("--multirun", "-m")

    @property
    def shows_only(self) -> bool:
        """Whether Hydra is asked to print something rather than to run."""
        return self.completes_shell or self.has(
            *("--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i", "--resolve")
        )

    @property
    def completes_shell(self) -> bool:
        return self.has("--shell-completion", "-sc")

    @property
    def config_dir(self) -> str | None:
        """The user's own folder of configuration files, if one is named."""
        positions = [i for i, flag in enumerate(self.flags) if flag in ("--config-dir", "-cd")]
        return self.flags[positions[-1] + 1] if positions else None


class Job(NamedTuple):
    """One job of a command line, as Hydra composes it and as maskcls reads it."""

    composed: DictConfig
    config: Any


def read_arguments(arguments: Sequence[str]) -> CommandLine:
    """Sort arguments into Hydra's flags and overrides; quote paths as Hydra's grammar asks.

    Raises:
        UserError: for a flag that is none of `FLAGS`, or has a value that it does not take.
    """
    line = CommandLine([], [])
    remaining = list(arguments)
    while remaining:
        argument = remaining.pop(0)
        if not argument.startswith("-"):
            line.overrides.append(argument)
            continue
        flag, equals, value = argument.partition("=")
        if flag not in FLAGS:
            hint = nearest(flag, ["--config-dir"]) or f"; did you mean {flag.lstrip('-')}=...?"
            raise UserError(f"{argument} is not an option: values are set as key=value, without dashes{hint}")
        line.flags.append(flag)
        values = FLAGS[flag]
        if values is None:
            if equals:
                raise UserError(f"{argument}: {flag} takes no value")
            continue
        if not equals:
            default = "all" if flag in ("--info", "-i") else None
            value = remaining.pop(0) if remaining and (not default or remaining[0] in values) else default or ""
        if not value or (values and value not in values):
            raise UserError(f"{flag}={value}: expected {', '.join(values) or 'a value'}")
        line.flags.append(value)
    return CommandLine(line.flags, [_quote_path(override, line.is_sweep) for override in line.overrides])


def _quote_path(override: str, is_sweep: bool) -> str:
    key, equals, value = override.partition("=")
    if key.lstrip("+") in PATH_LIST_KEYS and value[:1] == "[" and value[-1:] == "]" and not set("'\"") & set(value):
        return f"{key}=[{','.join(quote(path.strip()) for path in value[1:-1].split(','))}]"
    if key.lstrip("+") not in (*PATH_KEYS, *NAME_KEYS) or not equals or value == "null" or value[:1] in ("'", '"'):
        return override
    # Hydra's own keys cannot be swept
    values = value.split(",") if is_sweep and not key.startswith("hydra.") else [value]
    return f"{key}={','.join(map(quote, values))}"


def absolute_paths(override: str, working: Path) -> str:
    """An override that was typed in the folder ``working``, for use in any: a path of one value is made absolute."""
    (parsed,) = parse_overrides([override])
    is_path = parsed.key_or_group in PATH_KEYS and not parsed.is_sweep_override()
    if not is_path or not isinstance(value := parsed.value(), str):
        return override
    return f"{parsed.key_or_group}={quote(str(working / Path(value).expanduser()))}"


def quote(value: str) -> str:
    """``value`` as Hydra's grammar reads it back unchanged."""
    # inside quotes a backslash is special only before a quote and at the end
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"'{escaped}'"


def check(command: str, line: CommandLine, partial: bool = False) -> list[Job]:
    """Compose and validate every job of a command line.

    Args:
        partial: let mandatory keys be missing.

    Raises:
        UserError: for the first thing that is wrong.
    """
    jobs = []
    with hydra.initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        overrides = parse_overrides(line.overrides)
        for override in overrides:
            if override.is_sweep_override() and not line.is_sweep:
                raise UserError(f"{override.input_line}: several values are a sweep, which needs -m")
            if override.is_sweep_override() and override.is_hydra_override():
                raise UserError(f"{override.input_line}: expected one value, Hydra's own keys cannot be swept")
            if override.key_or_group == "hydra.mode":
                raise UserError(f"{override.input_line}: leave this key alone, -m makes a sweep")
        for texts in _expand(overrides) if line.is_sweep else [line.overrides]:
            composed = _compose(command, line, texts)
            if composed.hydra.job.chdir:
                raise UserError("hydra.job.chdir=true: not supported, relative paths would change their meaning")
            jobs.append(Job(composed, parse(command, plain(composed, partial))))
    for override in overrides:
        if override.is_interval_sweep() and jobs[0].composed.hydra.sweeper._target_.endswith(".BasicSweeper"):
            raise UserError(f"{override.input_line}: only a sweeper plugin draws from an interval; list the values")
    return jobs


def describe(line: CommandLine, composed: DictConfig) -> str | None:
    """What ``--help`` or ``--cfg job`` prints; None for flags that are left to Hydra, which composes once more."""
    if line.flags not in (["--help"], ["-h"], ["--cfg", "job"], ["-c", "job"]):
        return None
    config = composed.copy()
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    shown = OmegaConf.to_yaml(config)
    return (
        Template(composed.hydra.help.template).safe_substitute(CONFIG=shown)
        if line.has("--help", "-h")
        else shown.removesuffix("\n")
    )


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
        except HydraException:
            reason = "" if "=" in text else " (an '=' is missing)"
            raise UserError(f"cannot read '{text}': expected key=value{reason}; quote special characters") from None
    return overrides


def _expand(overrides: Iterable[Override]) -> list[list[str]]:
    """The overrides of each job of a sweep: every combination of the listed values."""
    values = []
    for override in overrides:
        if override.is_sweep_override() and override.is_discrete_sweep():
            override.config_loader = GlobalHydra.instance().config_loader()  # knows what glob(*) means
            values.append([f"{override.get_key_element()}={v}" for v in override.sweep_string_iterator()])
            if not values[-1]:
                raise UserError(f"{override.input_line}: this gives no value")
        elif not override.is_sweep_override():
            values.append([str(override.input_line)])
        # else: a range that only a sweeper plugin can draw from
    return [list(combination) for combination in itertools.product(*values)]


def _compose(command: str, line: CommandLine, overrides: list[str]) -> DictConfig:
    added = (
        [f"hydra.searchpath=[{quote('file://' + str(Path(line.config_dir).absolute()))}]"] if line.config_dir else []
    )
    if line.config_dir and not Path(line.config_dir).is_dir():
        raise UserError(f"--config-dir {line.config_dir}: no such folder")
    try:
        return hydra.compose(command, overrides=[*added, *overrides], return_hydra_config=True)
    except Exception as error:  # of Hydra's own in many kinds: TypeError for optim=[1]
        raise _explain(command, line, added, overrides, error) from None


def _explain(command: str, line: CommandLine, added: list[str], overrides: list[str], error: Exception) -> UserError:
    """Find the override that broke the composition, and say what would be right."""
    groups = _groups(command)
    choices: list[Override] = []
    values: list[Override] = []
    for override in parse_overrides(overrides):
        (choices if override.key_or_group in groups else values).append(override)
    for choice in choices:
        if choice.is_add():
            return _already_there(choice)
        value, options = str(choice.value()), _options(choice.key_or_group, line.config_dir)
        if value not in options and not choice.is_delete():
            return UserError(f"{choice.input_line}: expected one of {', '.join(options)}{nearest(value, options)}")
    try:
        base = hydra.compose(command, overrides=[*added, *(str(choice.input_line) for choice in choices)])
    except Exception:
        return UserError(one_line(error))
    known = list(_keys(base))
    for override in values:
        key = override.key_or_group
        if key in known and override.is_add():
            return _already_there(override)
        if key in known or override.is_hydra_override():
            continue
        group, _, name = key.rpartition(".")
        keys = [k.rpartition(".")[2] for k in known if k.rpartition(".")[0] == group]
        if group in known and keys:
            owner = f"{group}={base[group].name}" if group in groups else group
            hint = nearest(name, keys)
            return UserError(f"{override.input_line}: {owner} has no key '{name}', it has {', '.join(keys)}{hint}")
        hint = nearest(key, [*known, *groups]) or f"; it has {', '.join(map(str, base))}"
        return UserError(f"{override.input_line}: no key or group '{key}' in maskcls-{command}{hint}")
    return UserError(one_line(error))


def _groups(command: str) -> list[str]:
    """The groups that a command's file chooses from."""
    defaults = yaml.safe_load((CONFIG_DIR / f"{command}.yaml").read_text(encoding="utf-8"))["defaults"]
    names = [name for item in defaults if isinstance(item, dict) for name in item]
    return [name for name in names if not name.startswith(("hydra/", "override ", "optional "))]


def _options(group: str, config_dir: str | None) -> list[str]:
    """The names of a group's files, the user's own included."""
    folders = [Path(top, group) for top in (CONFIG_DIR, config_dir) if top]
    paths = [path.relative_to(folder).with_suffix("") for folder in folders for path in folder.rglob("*.yaml")]
    return sorted({path.as_posix() for path in paths} - {"base"})


def _already_there(override: Override) -> UserError:
    return UserError(f"{override.input_line}: the key is there already, write it without the '+'")


def _keys(config: DictConfig, prefix: str = "") -> Iterable[str]:
    for key in map(str, config):
        yield f"{prefix}{key}"
        child = config._get_node(key)
        if isinstance(child, DictConfig):
            yield from _keys(child, f"{prefix}{key}.")


def plain(config: DictConfig, partial: bool = False) -> dict[str, Any]:
    """The application's part of a composed configuration, resolved."""
    config = config.copy()
    OmegaConf.set_struct(config, False)
    config.pop("hydra", None)
    try:
        if partial:
            for key in OmegaConf.missing_keys(config):
                OmegaConf.update(config, key, "PATH")
        values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise _unresolved(error) from None
    return values


def _unresolved(error: OmegaConfBaseException) -> UserError:
    return UserError(f"{error.full_key}: {str(error).partition(chr(10))[0]}")


def one_line(text: object) -> str:
    """A message of several lines as one."""
    return " ".join(line.strip() for line in str(text).splitlines())


def directory_of(line: CommandLine, config: DictConfig) -> Path:
    """Where the run, or the whole sweep, is to be written."""
    kind = "sweep" if line.is_sweep else "run"
    try:
        directory = config.hydra[kind].dir
    except OmegaConfBaseException as error:
        raise _unresolved(error) from None
    if not directory:
        raise UserError(f"hydra.{kind}.dir=: expected a path")
    return Path(os.path.expanduser(directory)).absolute()
