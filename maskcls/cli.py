"""The console commands, each a Hydra application.

Hydra makes directories and prints errors of several lines before an application runs. So a command line is first
composed and checked here, job by job where it is a sweep; only then does Hydra run it. Hydra ends in this module: what
it calls gets typed configurations. Nothing heavy is imported until the configuration is known to be good.
"""

import errno
import importlib
import itertools
import logging
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from maskcls import __version__
from maskcls.config import PredictConfig, TrainConfig, nearest, parse
from maskcls.data.index import find_images
from maskcls.data.sources import require_dataset
from maskcls.errors import MachineError, MaskclsError, UserError
from maskcls.run import Run, claim_directory, find_checkpoint, read_run

log = logging.getLogger(__name__)

_PACKAGE = Path(__file__).resolve().parent
# a wheel holds the YAML files in the package, a checkout beside it
CONFIG_DIR = _PACKAGE / "configs" if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent / "configs"

# keys whose values are paths, taken as typed: Hydra's grammar would trip over '=', brackets or Korean letters
PATH_KEYS = ("ckpt", "source", "data.root", "data.cache_dir", "hydra.run.dir", "hydra.sweep.dir")

# Hydra's flags, and whether a value follows
FLAGS = {
    **dict.fromkeys(("--help", "-h", "--hydra-help", "--resolve", "--run", "-r", "--multirun", "-m"), False),
    **dict.fromkeys(("--shell-completion", "-sc", "--info", "-i"), False),
    **dict.fromkeys(("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"), True),
    **dict.fromkeys(("--config-dir", "-cd"), True),
}


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
        return self.has("--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i", "--shell-completion", "-sc")

    @property
    def config_dir(self) -> str | None:
        """The user's own folder of configuration files, if one is named."""
        positions = [i for i, flag in enumerate(self.flags) if flag in ("--config-dir", "-cd")]
        return self.flags[positions[-1] + 1] if positions else None


class Job(NamedTuple):
    """One job of a command line, as Hydra composes it and as maskcls reads it."""

    composed: DictConfig
    config: Any


def train() -> int:
    """Entry point of ``maskcls-train``."""
    return main("train", sys.argv[1:])


def evaluate() -> int:
    """Entry point of ``maskcls-eval``."""
    return main("eval", sys.argv[1:])


def predict() -> int:
    """Entry point of ``maskcls-predict``."""
    return main("predict", sys.argv[1:])


def main(command: str, arguments: Sequence[str]) -> int:
    """Run a command and return its exit status (0, 1, 2, 3, 5 or 130)."""
    if "--version" in arguments:
        print(f"maskcls {__version__}")
        return 0
    try:
        line = read_arguments(arguments)
        if line.shows_only:
            check(command, line, partial=True)
            return _enter_hydra(command, line)
        jobs = check(command, line)
        for job in jobs:
            require_files(job.config)
        return _run(command, line, directory_of(line, jobs[0].composed))
    except MaskclsError as error:
        print(f"maskcls-{command}: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130


def read_arguments(arguments: Sequence[str]) -> CommandLine:
    """Sort arguments into Hydra's flags and overrides; quote paths as Hydra's grammar asks.

    Raises:
        UserError: for a flag that Hydra does not have.
    """
    line = CommandLine([], [])
    remaining = iter(arguments)
    for argument in remaining:
        if not argument.startswith("-"):
            line.overrides.append(argument)
            continue
        flag, equals, value = argument.partition("=")
        if flag not in FLAGS:
            hint = f"; did you mean {flag.lstrip('-')}=...?" if flag not in FLAGS else ""
            raise UserError(f"{argument} is not an option: values are set as key=value, without dashes{hint}")
        line.flags.append(flag)
        if FLAGS[flag]:
            value = value if equals else next(remaining, "")
            if not value:
                raise UserError(f"{flag} needs a value")
            line.flags.append(value)
    return CommandLine(line.flags, [_quote_path(override, line.is_sweep) for override in line.overrides])


def _quote_path(override: str, is_sweep: bool) -> str:
    key, equals, value = override.partition("=")
    if key.lstrip("+") not in PATH_KEYS or not equals or value == "null" or value[:1] in ("'", '"'):
        return override
    values = value.split(",") if is_sweep else [value]
    return f"{key}={','.join(map(_quote, values))}"


def _quote(value: str) -> str:
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
    overrides = _parse_overrides(line.overrides)
    if not line.is_sweep:
        for override in overrides:
            if override.is_sweep_override():
                raise UserError(f"{override.input_line}: several values are a sweep, which needs -m")
    jobs = []
    with hydra.initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        for texts in _expand(overrides) if line.is_sweep else [line.overrides]:
            composed = _compose(command, line, texts)
            jobs.append(Job(composed, parse(command, _plain(composed, partial))))
    return jobs


def require_files(config: Any) -> None:
    """Look for the files that a job starts from, before anything is made and before torch is imported.

    Raises:
        UserError: where the data set, the checkpoint or the source is not there.
    """
    if isinstance(config, TrainConfig):
        require_dataset(config.data)
    else:
        find_checkpoint(config.ckpt)
    if isinstance(config, PredictConfig):
        find_images(config.source)


def _parse_overrides(texts: Sequence[str]) -> list[Override]:
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
            values.append([f"{override.get_key_element()}={v}" for v in override.sweep_string_iterator()])
        elif not override.is_sweep_override():
            values.append([str(override.input_line)])
        # else: a range that only a sweeper plugin can draw from
    return [list(combination) for combination in itertools.product(*values)]


def _compose(command: str, line: CommandLine, overrides: list[str]) -> DictConfig:
    added = (
        [f"hydra.searchpath=[{_quote('file://' + str(Path(line.config_dir).absolute()))}]"] if line.config_dir else []
    )
    if line.config_dir and not Path(line.config_dir).is_dir():
        raise UserError(f"--config-dir {line.config_dir}: no such folder")
    try:
        return hydra.compose(command, overrides=[*added, *overrides], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise _explain(command, added, overrides, error) from None


def _explain(command: str, added: list[str], overrides: list[str], error: Exception) -> UserError:
    """Find the override that broke the composition, and say what would be right."""
    groups = {path.parent.relative_to(CONFIG_DIR).as_posix() for path in CONFIG_DIR.rglob("*/*.yaml")}
    choices: list[Override] = []
    values: list[Override] = []
    for override in _parse_overrides(overrides):
        (choices if override.key_or_group in groups or override.key_or_group == "experiment" else values).append(
            override
        )
    for choice in choices:
        folder = CONFIG_DIR / choice.key_or_group
        options = sorted(p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.yaml"))
        options = [option for option in options if option != "base"]
        value = str(choice.value())
        if not added and value not in (*options, "null", "None"):
            names = ", ".join(options)
            return UserError(f"{choice.key_or_group}={value}: expected one of {names}{nearest(value, options)}")
    try:
        base = hydra.compose(command, overrides=[*added, *(str(choice.input_line) for choice in choices)])
        known = list(_keys(base))
    except (HydraException, OmegaConfBaseException):
        known = []
    for override in values:
        key = override.key_or_group
        if known and key not in known and not key.startswith("hydra"):
            group, _, name = key.rpartition(".")
            if group in groups and group in known:
                keys = [k.rpartition(".")[2] for k in known if k.startswith(f"{group}.")]
                expected = f"has no key '{name}', it has {', '.join(keys)}{nearest(name, keys)}"
                return UserError(f"{override.input_line}: {group}={base[group].get('name')} {expected}")
            hint = nearest(key, [*known, *groups])
            return UserError(f"{override.input_line}: no key or group '{key}' in maskcls-{command}{hint}")
        if override.is_add():
            return UserError(f"{override.input_line}: the key is there already, write it without the '+'")
    return UserError(" ".join(str(error).split()))


def _keys(config: DictConfig, prefix: str = "") -> Iterable[str]:
    for key in map(str, config):
        yield f"{prefix}{key}"
        child = config._get_node(key)
        if isinstance(child, DictConfig):
            yield from _keys(child, f"{prefix}{key}.")


def _plain(config: DictConfig, partial: bool = False) -> dict[str, Any]:
    """The application's part of a composed configuration, resolved."""
    config = config.copy()
    OmegaConf.set_struct(config, False)
    config.pop("hydra", None)
    if partial:
        for key in OmegaConf.missing_keys(config):
            OmegaConf.update(config, key, "PATH")
    try:
        values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise UserError(" ".join(str(error).split())) from None
    return values


def directory_of(line: CommandLine, config: DictConfig) -> Path:
    """Where the run, or the whole sweep, is to be written."""
    try:
        return Path(config.hydra.sweep.dir if line.is_sweep else config.hydra.run.dir).expanduser()
    except OmegaConfBaseException as error:
        raise UserError(f"hydra.run.dir: {' '.join(str(error).split())}") from None


def _run(command: str, line: CommandLine, wanted: Path) -> int:
    typed = any(o.startswith(("hydra.run.dir=", "hydra.sweep.dir=")) for o in line.overrides)
    directory = claim_directory(wanted, rename=not typed)
    overrides = [*line.overrides, f"hydra.{'sweep' if line.is_sweep else 'run'}.dir={_quote(str(directory))}"]
    if line.is_sweep:
        fixed = [o.key_or_group for o in _parse_overrides(overrides) if not o.is_sweep_override()]
        # a job's directory is named after what varies
        overrides.append(f"hydra.job.config.override_dirname.exclude_keys=[{','.join(fixed)}]")
    status = _enter_hydra(command, CommandLine(line.flags, overrides))
    if line.is_sweep:
        runs = [path for path in sorted(directory.iterdir()) if path.is_dir()]
        return max((read_run(path).get("exit_status", 1) for path in runs), default=status)
    status = read_run(directory).get("exit_status", status or 1)
    if status == UserError.exit_status and not (directory / "checkpoints").exists():
        _remove(directory)
    return status


def _remove(directory: Path) -> None:
    """Take back a run directory in which nothing was made, and the folders above it that held nothing else."""
    logging.shutdown()
    shutil.rmtree(directory)
    for parent in directory.parents[:2]:
        if parent == Path.cwd() or any(parent.iterdir()):
            break
        parent.rmdir()


def _enter_hydra(command: str, line: CommandLine) -> int:
    sys.argv = [f"maskcls-{command}", *line.flags, *line.overrides]
    application = hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name=command)(COMMANDS[command])
    try:
        application()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def _train_job(config: DictConfig) -> float | None:
    return _job("train", config, "maskcls.training.job", "train")


def _eval_job(config: DictConfig) -> float | None:
    return _job("eval", config, "maskcls.evaluation.job", "evaluate")


def _predict_job(config: DictConfig) -> float | None:
    return _job("predict", config, "maskcls.inference.job", "predict")


# the functions that Hydra calls, at module level so that a launcher plugin can send them to another process
COMMANDS = {"train": _train_job, "eval": _eval_job, "predict": _predict_job}


def _job(command: str, config: DictConfig, module: str, function: str) -> float | None:
    """Run one job in its directory; record and show how it ended, so that a sweep goes on after a failure.

    Args:
        module, function: what does the work, imported here because that imports torch.

    Returns:
        The figure that a sweeper maximizes, None where there is none.
    """
    hydra_config = HydraConfig.get()
    typed = parse(command, _plain(config))
    run = Run.start(Path(hydra_config.runtime.output_dir), command, typed, list(hydra_config.overrides.task))
    is_sweep = hydra_config.mode == RunMode.MULTIRUN
    try:
        score: float | None = getattr(importlib.import_module(module), function)(typed, run)
        run.finish("finished", 0)
        return score
    except KeyboardInterrupt:
        run.finish("interrupted", 130, "interrupted")
        raise
    except MaskclsError as error:
        _fail(run, command, str(error), error.exit_status)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        _fail(run, command, f"{error.strerror}: {error.filename or run.directory}", MachineError.exit_status)
    except Exception as error:
        log.exception("a defect in maskcls")
        _fail(run, command, f"{type(error).__name__}: {error}", 1)
    finally:
        if is_sweep:
            from maskcls.reporting.leaderboard import write_leaderboard

            write_leaderboard(run.directory.parent)
    return None


def _fail(run: Run, command: str, message: str, exit_status: int) -> None:
    log.error("maskcls-%s: %s", command, message)
    run.finish("failed", exit_status, message)


class ConsoleHandler(logging.Handler):
    """Writes records between progress bars: information to stdout, warnings and errors to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        tqdm.write(self.format(record), file=stream)
        stream.flush()


def _slug(number: int, overrides: str) -> str:
    """The name of a job's directory: its number and what varies, in letters that every file system takes."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", overrides.replace(",", "_"))
    return f"{number}_{name}"[:100].rstrip("_-.")


OmegaConf.register_new_resolver("maskcls.slug", _slug, replace=True)
