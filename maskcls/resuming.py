"""Going on with a run, or a sweep, that was broken off: which configuration that means."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from maskcls.command_line import absolute_paths
from maskcls.config import TrainConfig, nearest, parse
from maskcls.errors import UserError
from maskcls.run import read_run

# what may differ from the run's own configuration: how long it goes on, and where it computes
CHANGEABLE = (
    "epochs",
    "device",
    "threads",
    "plots",
    "checkpoint.every",
    "data.root",
    "data.workers",
    "data.cache_dir",
    "data.cache_gb",
    "data.resident",
)
# Hydra's own record of a sweep
SWEEP_FILE = "multirun.yaml"


def directory_to_resume(overrides: Sequence[Override]) -> Path | None:
    """What ``resume=`` names, None where it is not typed.

    Raises:
        UserError: where it is no directory of a run or a sweep, or a key is typed that may not change.
    """
    typed = [override for override in overrides if override.key_or_group == "resume" and override.value() is not None]
    if not typed:
        return None
    directory = Path(str(typed[-1].value())).expanduser().absolute()
    if not (directory / "run.json").is_file() and not (directory / SWEEP_FILE).is_file():
        raise UserError(f"resume={directory}: no directory of a run, which holds run.json, or of a sweep, {SWEEP_FILE}")
    command = read_run(directory).get("command", "maskcls-train")
    if command != "maskcls-train":
        raise UserError(f"resume={directory}: this is a run of {command}, which is not resumed but run again")
    for override in overrides:
        key = override.key_or_group
        if key not in (*CHANGEABLE, "resume") and not override.is_hydra_override():
            raise UserError(
                f"{override.input_line}: a run that is resumed keeps its {key}; what may change is "
                f"{', '.join(CHANGEABLE)}{nearest(key, CHANGEABLE)}"
            )
        if key in ("hydra.run.dir", "hydra.sweep.dir"):
            raise UserError(f"{override.input_line}: a run that is resumed stays where it is")
    return directory


def resumed_config(directory: Path, composed: DictConfig, overrides: Sequence[Override]) -> TrainConfig:
    """The configuration of a run, with what is typed anew.

    Args:
        composed: the command's configuration with ``overrides``, whose values are taken from it.

    Raises:
        UserError: where the run's configuration cannot be read, or a value is not allowed.
    """
    path = directory / "config.yaml"
    try:
        stored = OmegaConf.create(dict(yaml.safe_load(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, ValueError) as error:
        raise UserError(f"resume={directory}: cannot read {path.name}: {str(error).splitlines()[0]}") from None
    for key in {override.key_or_group for override in overrides} & set(CHANGEABLE):
        OmegaConf.update(stored, key, OmegaConf.select(composed, key))
    values: Any = OmegaConf.to_container(stored, resolve=False)
    try:
        config: TrainConfig = parse("train", values)
    except UserError as error:
        raise UserError(f"resume={directory}: {error}") from None
    return config


def sweep_overrides(directory: Path) -> list[str]:
    """What the sweep of a directory was started with.

    Raises:
        UserError: where Hydra's record of it cannot be read.
    """
    path = directory / SWEEP_FILE
    try:
        recorded = yaml.safe_load(path.read_text(encoding="utf-8"))["hydra"]
        typed = [str(text) for text in (*recorded["overrides"]["hydra"], *recorded["overrides"]["task"])]
        working = Path(recorded["runtime"]["cwd"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"resume={directory}: cannot read {path.name}: {str(error).splitlines()[0]}") from None
    own = ("resume=", "hydra.sweep.dir=", "hydra.run.dir=", "hydra.mode=", "hydra.job.config.override_dirname")
    return [absolute_paths(text, working) for text in typed if not text.startswith(own)]


def is_done(directory: Path, epochs: int) -> bool:
    """Whether a run has finished, and has nothing to do for so many epochs."""
    record = read_run(directory)
    return record.get("status") == "finished" and epochs <= record.get("epochs", 0)
