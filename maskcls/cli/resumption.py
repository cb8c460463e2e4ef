"""Reads what a run, or a sweep, that was interrupted was started with."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from maskcls.cli.arguments import PATH_KEYS, parse_overrides, quote
from maskcls.cli.console import printable
from maskcls.config import TrainConfig, nearest, parse
from maskcls.errors import UserError
from maskcls.run import read_run

# keys that may change when a run is resumed: how long it trains, where it computes, and what it writes besides
CHANGEABLE = (
    *("epochs", "device", "threads", "plots", "test", "checkpoint.every"),
    *("data.root", "data.table", "data.workers", "data.cache_dir", "data.cache_gb", "data.resident"),
)
# and these, with schedule=constant
RATE_KEYS = ("schedule", "optim.lr")
SWEEP_FILE = "multirun.yaml"  # Hydra's own record of a sweep


def directory_to_resume(overrides: Sequence[Override]) -> Path | None:
    """Return the directory that ``resume=`` names, None if it is not typed.

    Raises:
        UserError: if it is not the directory of a training or a sweep, or a key is typed that may not change.
    """
    typed = [override for override in overrides if override.key_or_group == "resume" and override.value() is not None]
    if not typed:
        return None
    directory = Path(str(typed[-1].value())).expanduser().absolute()
    if not (directory / "run.json").is_file() and not (directory / SWEEP_FILE).is_file():
        raise UserError(f"resume={directory}: expected the directory of a run (run.json) or of a sweep ({SWEEP_FILE})")
    command = read_run(directory).get("command", "maskcls-train")
    if command != "maskcls-train":
        raise UserError(f"resume={directory}: this is a run of {command}, which cannot be resumed; run it again")
    is_constant = any(override.input_line == "schedule=constant" for override in overrides)
    for override in overrides:
        key = override.key_or_group
        may_change = key in (*CHANGEABLE, "resume") or (is_constant and key in RATE_KEYS)
        if not may_change and not override.is_hydra_override():
            allowed = (
                f"only these keys may change: {', '.join(CHANGEABLE)}; with schedule=constant, optim.lr may change, too"
            )
            allowed += nearest(key, CHANGEABLE)
            raise UserError(f"{override.input_line}: a resumed run keeps its {key}; {allowed}")
        if key in ("hydra.run.dir", "hydra.sweep.dir"):
            raise UserError(f"{override.input_line}: a resumed run stays in its directory")
    return directory


def resumed_config(directory: Path, composed: DictConfig, overrides: Sequence[Override]) -> TrainConfig:
    """Return the configuration of a run, with the values that were typed to resume it.

    Args:
        composed: the command's configuration with ``overrides``, whose values are taken from it.

    Raises:
        UserError: if the run's configuration cannot be read, or a value is not allowed.
    """
    path = directory / "config.yaml"
    try:
        stored = OmegaConf.create(dict(yaml.safe_load(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from None
    typed = {override.key_or_group for override in overrides} & {*CHANGEABLE, *RATE_KEYS}
    if "data.table" in typed and _is_beside_its_table(stored):
        typed.add("data.root")  # whose default is the folder of the table
    for key in typed:
        OmegaConf.update(stored, key, OmegaConf.select(composed, key), merge=False)
    values: Any = OmegaConf.to_container(stored, resolve=False)
    try:
        config: TrainConfig = parse("train", values)
    except UserError as error:
        raise UserError(f"resume={directory}: {error}") from None
    return config


def _is_beside_its_table(config: DictConfig) -> bool:
    """Whether the images of a run's configuration are in the folder of their table."""
    table, root = (OmegaConf.select(config, key, default="") for key in ("data.table", "data.root"))
    return bool(table) and Path(str(table)).parent == Path(str(root))


def sweep_overrides(directory: Path) -> list[str]:
    """Return the overrides that a sweep was started with.

    Raises:
        UserError: if Hydra's record of it cannot be read.
    """
    path = directory / SWEEP_FILE
    try:
        recorded = yaml.safe_load(path.read_text(encoding="utf-8"))["hydra"]
        typed = [str(text) for text in (*recorded["overrides"]["hydra"], *recorded["overrides"]["task"])]
        working = Path(recorded["runtime"]["cwd"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from None
    own = ("resume=", "hydra.sweep.dir=", "hydra.run.dir=", "hydra.mode=", "hydra.job.config.override_dirname")
    return [_with_absolute_path(text, working) for text in typed if not text.startswith(own)]


def _with_absolute_path(override: str, working: Path) -> str:
    """An override that was typed in the folder ``working``, for use in any folder."""
    (parsed,) = parse_overrides([override])
    is_path = parsed.key_or_group in PATH_KEYS and not parsed.is_sweep_override()
    if not is_path or not isinstance(value := parsed.value(), str):
        return override
    return f"{parsed.key_or_group}={quote(str(working / Path(value).expanduser()))}"


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"resume={path.parent}: cannot read {path.name}: {str(error).splitlines()[0]}")


def is_done(directory: Path, epochs: int) -> bool:
    """Whether a run has finished and was trained for so many epochs."""
    record = read_run(directory)
    return record.get("status") == "finished" and epochs <= record.get("epochs", 0)


def how_to_continue(directory: Path) -> str:
    """Return what to tell about a training that was interrupted."""
    return printable(f"interrupted; continue with: maskcls-train resume={shlex.quote(str(directory))}")
