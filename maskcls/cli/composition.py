"""From a command line to checked configurations.

Hydra prints errors of several lines, with exit status 1, and only when it runs. So every job is first composed here,
with Hydra's own API, and whatever is wrong ends in a `UserError` of one line.
"""

import itertools
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from maskcls.cli.arguments import CommandLine, parse_overrides
from maskcls.cli.explanation import explain, explain_experiment, groups_of
from maskcls.config import CONFIG_DIR, parse
from maskcls.errors import UserError


class Job(NamedTuple):
    """One job of a command line, as Hydra composes it and as maskcls reads it."""

    composed: DictConfig
    config: Any


def compose_jobs(command: str, line: CommandLine, *, partial: bool = False) -> list[Job]:
    """Compose and check every job of a command line.

    Args:
        partial: whether mandatory keys may be missing.

    Raises:
        UserError: for the first thing that is wrong.
    """
    if line.config_dir and not Path(line.config_dir).is_dir():
        raise UserError(f"--config-dir {line.config_dir}: no such folder")
    jobs = []
    with hydra.initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        overrides = parse_overrides(line.overrides)
        for override in overrides:
            _check_override(command, override, is_sweep=line.is_sweep)
        for texts in _expand(overrides) if line.is_sweep else [line.overrides]:
            composed = _compose(command, line, texts)
            if composed.hydra.job.chdir:
                raise UserError(
                    "hydra.job.chdir=true: not supported, because relative paths would change their meaning"
                )
            try:
                config = parse(command, plain(composed, partial=partial))
            except UserError as error:
                raise UserError(explain_experiment(command, line, texts) or str(error)) from None
            jobs.append(Job(composed, config))
    for override in overrides:
        if override.is_interval_sweep() and jobs[0].composed.hydra.sweeper._target_.endswith(".BasicSweeper"):
            raise UserError(f"{override.input_line}: only a sweeper plugin can draw from an interval; list the values")
    return jobs


def _check_override(command: str, override: Override, *, is_sweep: bool) -> None:
    key, value = override.key_or_group, str(override.input_line).partition("=")[2]
    if override.is_delete():
        raise UserError(f"{override.input_line}: keys and groups cannot be removed; give {key} another value")
    if override.package is not None:
        raise UserError(f"{override.input_line}: write {key}={value}; an '@' has no meaning in maskcls")
    if key.endswith(".name") and (group := key.removesuffix(".name")) in groups_of(command):
        raise UserError(f"{override.input_line}: {group}={value} chooses it, with the keys that belong to it")
    if override.is_sweep_override() and not is_sweep and key in ("runs", "fail_on"):
        raise UserError(f"{override.input_line}: a list stands in brackets, as in {key}=[{value}]")
    if override.is_sweep_override() and not is_sweep:
        raise UserError(f"{override.input_line}: several values make a sweep, which needs -m")
    if override.is_sweep_override() and override.is_hydra_override():
        raise UserError(f"{override.input_line}: expected one value; Hydra's own keys cannot be swept")
    if override.key_or_group == "hydra.mode":
        raise UserError(f"{override.input_line}: this key cannot be set; -m makes a sweep")


def _expand(overrides: Iterable[Override]) -> list[Sequence[str]]:
    """The overrides of each job of a sweep: every combination of the listed values."""
    values = []
    for override in overrides:
        if override.is_sweep_override() and override.is_discrete_sweep():
            override.config_loader = GlobalHydra.instance().config_loader()  # knows what glob(*) means
            try:
                values.append([f"{override.get_key_element()}={v}" for v in override.sweep_string_iterator()])
            except ValueError as error:  # range(1,3,0)
                raise UserError(f"{override.input_line}: {error}") from None
            if not values[-1]:
                raise UserError(f"{override.input_line}: this gives no value")
        elif not override.is_sweep_override():  # else a range that only a sweeper plugin can draw from
            values.append([str(override.input_line)])
    return list(itertools.product(*values))


def _compose(command: str, line: CommandLine, overrides: Sequence[str]) -> DictConfig:
    try:
        return hydra.compose(command, [*line.search_path, *overrides], return_hydra_config=True)
    except Exception as error:  # Hydra raises errors of many kinds: TypeError for optim=[1]
        raise UserError(explain(command, line, overrides, error)) from None


def plain(composed: DictConfig, *, partial: bool = False) -> dict[str, Any]:
    """Return maskcls's part of a composed configuration, with interpolations resolved.

    Args:
        partial: whether mandatory keys may be missing.

    Raises:
        UserError: if an interpolation cannot be resolved.
    """
    config = _without_hydra(composed)
    try:
        if partial:
            for key in OmegaConf.missing_keys(config):
                OmegaConf.update(config, key, "PATH")
        values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise _unresolved(error) from None
    return values


def help_text(composed: DictConfig) -> str:
    """Return what ``--help`` prints."""
    return Template(composed.hydra.help.template).safe_substitute(CONFIG=configuration_text(composed))


def configuration_text(composed: DictConfig) -> str:
    """Return what ``--cfg job`` prints."""
    return OmegaConf.to_yaml(_without_hydra(composed))


def directory_of(composed: DictConfig, *, is_sweep: bool) -> Path:
    """Return where a run, or the whole sweep, is to be written.

    Raises:
        UserError: if the configuration names no directory.
    """
    kind = "sweep" if is_sweep else "run"
    try:
        directory = composed.hydra[kind].dir
    except OmegaConfBaseException as error:
        raise _unresolved(error) from None
    if not directory:
        raise UserError(f"hydra.{kind}.dir=: expected a path")
    return Path(os.path.expanduser(directory)).absolute()


def _without_hydra(composed: DictConfig) -> DictConfig:
    config = composed.copy()
    OmegaConf.set_struct(config, value=False)
    config.pop("hydra", None)
    return config


def _unresolved(error: OmegaConfBaseException) -> UserError:
    if found := re.search(r"Missing mandatory value: ([\w.]+)", str(error)):  # a key that another one refers to
        return UserError(f"{found[1]} is missing: give it as {found[1]}=PATH")
    text = str(error).partition("\n")[0]
    for pattern, plain_words in (
        (r"Interpolation key '(.*)' not found", r"${\1} names no key"),
        (r".*Environment variable '(.*)' not found.*", r"the environment variable \1 is not set"),
        (
            r"Unsupported interpolation type (.*)",
            r"${\1:...} has no meaning; ${oc.env:NAME} is a variable of the shell",
        ),
        (r"Recursive interpolation detected", r"this value refers to itself"),
    ):
        if re.fullmatch(pattern, text):
            text = re.sub(pattern, plain_words, text)
    return UserError(f"{error.full_key}: {text}")
