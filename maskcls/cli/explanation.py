"""Finds what is wrong with overrides that Hydra cannot compose, and says what would be right."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from maskcls.cli.arguments import CommandLine, parse_overrides
from maskcls.cli.console import one_line
from maskcls.config import CONFIG_DIR, nearest

# what to install for Hydra's own plugins, by the name of their option
PLUGINS = {
    **{name: f"hydra-{name}-sweeper" for name in ("optuna", "ax", "nevergrad")},
    **{name: f"hydra-{name}-launcher" for name in ("joblib", "ray", "rq")},
    **dict.fromkeys(("submitit_local", "submitit_slurm"), "hydra-submitit-launcher"),
}
# what commands without a data set take in its place
INPUTS = {"predict": "source=FOLDER", "compare": "runs=[A,B]", "audit": "data.root=FOLDER or data.table=FILE"}


def explain(command: str, line: CommandLine, overrides: Sequence[str], error: Exception) -> str:
    """Say in one line what is wrong with the overrides of a job.

    Args:
        line: the whole command line, which may be that of a sweep.
        error: what Hydra raised; its message is the last resort.
    """
    groups = groups_of(command)
    parsed = parse_overrides(overrides)
    for override in parsed:
        if override.key_or_group.startswith(("hydra.", "hydra/")) and (message := _explain_hydras(override, error)):
            return message
    choices = [override for override in parsed if override.key_or_group in groups]
    for choice in choices:
        if message := _explain_choice(choice, line.config_dir):
            return message
    try:
        base = hydra.compose(command, [*line.search_path, *(str(choice.input_line) for choice in choices)])
    except Exception as other:
        return _first_line(other)
    for override in parsed:
        is_value = override.key_or_group not in groups
        if is_value and (message := _explain_value(command, override, base, groups)):
            return message
    return _first_line(error)


def explain_experiment(command: str, line: CommandLine, overrides: Sequence[str]) -> str | None:
    """Say that an experiment sets keys of another option than the one that was typed; None if it does not."""
    groups = groups_of(command)
    typed = {o.key_or_group: str(o.input_line) for o in parse_overrides(overrides) if o.key_or_group in groups}
    experiment = typed.pop("experiment", None)
    if experiment is None:
        return None
    whole, plain, alone = (
        hydra.compose(command, [*line.search_path, *texts])
        for texts in ([*typed.values(), experiment], [*typed.values()], [experiment])
    )
    own = set(_keys(plain))
    for group in typed:
        keys = [key for key in _keys(whole) if key.startswith(f"{group}.") and key not in own]
        if keys:
            return (
                f"{experiment} sets {', '.join(keys)}, of {group}={alone[group].name}, which {typed[group]} does not "
                f"have: leave out {experiment}, or leave out {typed[group]} and what belongs to it"
            )
    return None


def _first_line(error: Exception) -> str:
    """The first line of an error of Hydra; the others describe where Hydra looked."""
    return one_line(error).partition("  Available options")[0]


def _explain_hydras(override: Override, error: Exception) -> str | None:
    """What is wrong with an override of Hydra's own, if ``error`` is about it."""
    key, value = override.key_or_group, str(override.value())
    if "/" in key:
        options = GlobalHydra.instance().config_loader().get_group_options(key)
        if value in options or not options:
            return None if options else f"{override.input_line}: Hydra has no group '{key}'"
        plugin = f"; pip install {PLUGINS[value]} adds it" if value in PLUGINS else nearest(value, options)
        return f"{override.input_line}: not installed; there is {', '.join(options)}{plugin}"
    if str(error).startswith(f"Could not override '{key}'"):
        return f"{override.input_line}: Hydra has no key '{key}'"
    if str(error).startswith("Error merging override") and str(override.input_line) in str(error):
        return f"{override.input_line}: {str(error.__cause__).partition(chr(10))[0]}"
    return None


def _explain_choice(choice: Override, config_dir: str | None) -> str | None:
    """What is wrong with an override such as ``model=resnet81``."""
    if choice.is_add() or choice.is_force_add():
        return _already_there(choice)
    value, options = str(choice.value()), _options(choice.key_or_group, config_dir)
    if value in options or choice.is_delete():
        return None
    return f"{choice.input_line}: expected one of {', '.join(options)}{nearest(value, options)}"


def _explain_value(command: str, override: Override, base: DictConfig, groups: list[str]) -> str | None:
    """What is wrong with an override such as ``optim.lrr=1``; ``base`` is the configuration without it."""
    key, known = override.key_or_group, list(_keys(base))
    if key in known and override.is_add():
        return _already_there(override)
    if (key in known and key != "data") or override.is_hydra_override():
        return None
    if key in ("data", "data.root", "data.table") and command in INPUTS:
        return f"{override.input_line}: maskcls-{command} takes {INPUTS[command]} instead"
    if command in ("eval", "predict") and key in _keys(hydra.compose("train", ["data.root=PATH"])):
        return f"{override.input_line}: a key of maskcls-train; maskcls-{command} takes it from the checkpoint"
    group, _, name = key.rpartition(".")
    keys = [k.rpartition(".")[2] for k in known if k.rpartition(".")[0] == group]
    if group in known and keys:
        owner = f"{group}={base[group].name}" if group in groups else group
        return f"{override.input_line}: {owner} has no key '{name}', it has {', '.join(keys)}{nearest(name, keys)}"
    hint = nearest(key, [*known, *groups]) or f"; it has {', '.join(map(str, base))}"
    return f"{override.input_line}: no key or group '{key}' in maskcls-{command}{hint}"


def _already_there(override: Override) -> str:
    return f"{override.input_line}: this key exists already; write it without the '+'"


def groups_of(command: str) -> list[str]:
    """The groups that a command's file chooses from."""
    defaults = yaml.safe_load((CONFIG_DIR / f"{command}.yaml").read_text(encoding="utf-8"))["defaults"]
    names = [name for item in defaults if isinstance(item, dict) for name in item]
    return [name for name in names if not name.startswith(("hydra/", "override ", "optional "))]


def _options(group: str, config_dir: str | None) -> list[str]:
    """The names of a group's files, the user's own included."""
    folders = [Path(top, group) for top in (CONFIG_DIR, config_dir) if top]
    paths = [path.relative_to(folder).with_suffix("") for folder in folders for path in folder.rglob("*.yaml")]
    return sorted({path.as_posix() for path in paths} - {"base"})


def _keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, config):
        yield f"{prefix}{key}"
        child = config._get_node(key)
        if isinstance(child, DictConfig):
            yield from _keys(child, f"{prefix}{key}.")


# the option lists in help texts
OmegaConf.register_new_resolver("maskcls.options", lambda group: " ".join(_options(group, None)), replace=True)
