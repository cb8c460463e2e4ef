"""The console commands, each a Hydra application.

Hydra makes directories and prints errors of several lines before an application runs. So a command line is first
composed and checked here, job by job where it is a sweep; only then does Hydra run it. Hydra ends in this module: what
it calls gets typed configurations. Nothing heavy is imported until the configuration is known to be good.
"""

import contextlib
import errno
import importlib
import itertools
import logging
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
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
            *("--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i", "--resolve", "--package", "-p")
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
            if not line.completes_shell:  # what follows that flag are no overrides
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
    except BrokenPipeError:
        # as in maskcls-train --help | head; Python would complain once more when it flushes stdout at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


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
    if key.lstrip("+") not in PATH_KEYS or not equals or value == "null" or value[:1] in ("'", '"'):
        return override
    # Hydra's own keys cannot be swept
    values = value.split(",") if is_sweep and not key.startswith("hydra.") else [value]
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
    jobs = []
    with hydra.initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        overrides = _parse_overrides(line.overrides)
        for override in overrides:
            if override.is_sweep_override() and not line.is_sweep:
                raise UserError(f"{override.input_line}: several values are a sweep, which needs -m")
            if override.is_sweep_override() and override.is_hydra_override():
                raise UserError(f"{override.input_line}: expected one value, Hydra's own keys cannot be swept")
            if override.key_or_group == "hydra.mode":
                raise UserError(f"{override.input_line}: leave this key alone, -m makes a sweep")
        for texts in _expand(overrides) if line.is_sweep else [line.overrides]:
            composed = _compose(command, line, texts)
            jobs.append(Job(composed, parse(command, _plain(composed, partial))))
    for override in overrides:
        if override.is_interval_sweep() and jobs[0].composed.hydra.sweeper._target_.endswith(".BasicSweeper"):
            raise UserError(f"{override.input_line}: only a sweeper plugin draws from an interval; list the values")
    return jobs


def require_files(config: Any) -> None:
    """Look for the files that a job starts from, before anything is made and before torch is imported.

    Raises:
        UserError: where the data set, the checkpoint or the source is not there.
    """
    try:
        if isinstance(config, TrainConfig):
            require_dataset(config.data)
        else:
            find_checkpoint(config.ckpt)
        if isinstance(config, PredictConfig):
            find_images(config.source)
    except OSError as error:  # no permission, or a name that is too long
        raise UserError(f"{error.filename}: {error.strerror}") from None


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
        [f"hydra.searchpath=[{_quote('file://' + str(Path(line.config_dir).absolute()))}]"] if line.config_dir else []
    )
    if line.config_dir and not Path(line.config_dir).is_dir():
        raise UserError(f"--config-dir {line.config_dir}: no such folder")
    try:
        return hydra.compose(command, overrides=[*added, *overrides], return_hydra_config=True)
    except COMPOSITION_ERRORS as error:
        raise _explain(command, line, added, overrides, error) from None


def _explain(command: str, line: CommandLine, added: list[str], overrides: list[str], error: Exception) -> UserError:
    """Find the override that broke the composition, and say what would be right."""
    shipped = hydra.compose(command, overrides=added, return_hydra_config=True)
    groups = [group for group in shipped.hydra.runtime.choices if not group.startswith("hydra/")]
    choices: list[Override] = []
    values: list[Override] = []
    for override in _parse_overrides(overrides):
        (choices if override.key_or_group in groups else values).append(override)
    for choice in choices:
        if choice.is_add():
            return _already_there(choice)
        value, options = str(choice.value()), _options(choice.key_or_group, line.config_dir)
        if value not in options and not choice.is_delete():
            return UserError(f"{choice.input_line}: expected one of {', '.join(options)}{nearest(value, options)}")
    try:
        base = hydra.compose(command, overrides=[*added, *(str(choice.input_line) for choice in choices)])
    except COMPOSITION_ERRORS:
        return UserError(_one_line(error))
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
    return UserError(_one_line(error))


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
        raise _unresolved(error) from None
    return values


def _unresolved(error: OmegaConfBaseException) -> UserError:
    return UserError(f"{error.full_key}: {str(error).partition(chr(10))[0]}")


def _one_line(text: object) -> str:
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


def _run(command: str, line: CommandLine, wanted: Path) -> int:
    typed = any(o.startswith(("hydra.run.dir=", "hydra.sweep.dir=")) for o in line.overrides)
    existing = {folder for folder in (wanted, *wanted.parents) if folder.exists()}
    directory = claim_directory(wanted, rename=not typed)
    overrides = [*line.overrides, f"hydra.{'sweep' if line.is_sweep else 'run'}.dir={_quote(str(directory))}"]
    if line.is_sweep:
        fixed = [o.key_or_group for o in _parse_overrides(overrides) if not o.is_sweep_override()]
        # a job's directory is named after what varies
        overrides.append(f"hydra.job.config.override_dirname.exclude_keys=[{','.join(fixed)}]")
    status = 1
    try:
        status = _enter_hydra(command, CommandLine(line.flags, overrides))
        folders = [path for path in directory.iterdir() if path.is_dir()] if line.is_sweep else [directory]
        # the end of a job is not recorded where the disk was full, or its process was killed
        ends = [run.get("exit_status", MachineError.exit_status) for folder in folders if (run := read_run(folder))]
        status = max(status, *ends) if ends else status or 1
    finally:
        is_refused = status == UserError.exit_status and not line.is_sweep and not (directory / "checkpoints").exists()
        if is_refused or not any(directory.iterdir()):
            _remove(directory, existing)
    return status


def _remove(directory: Path, existing: Collection[Path]) -> None:
    """Take back a run directory in which nothing was made, and the folders above it that were made for it."""
    logging.shutdown()
    for entry in directory.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for folder in (directory, *directory.parents):
        if folder in existing:
            break
        try:
            folder.rmdir()
        except OSError:  # another run is in there
            break


def _enter_hydra(command: str, line: CommandLine) -> int:
    sys.argv = [f"maskcls-{command}", *line.flags, *line.overrides]
    application = hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name=command)(COMMANDS[command])
    try:
        application()
    except SystemExit as stop:
        return int(stop.code or 0)
    except COMPOSITION_ERRORS as error:  # of flags that do not go together; a job's errors end in _job
        raise UserError(_one_line(error)) from None
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
    except Exception as error:
        _fail(run, command, error)
    finally:
        if is_sweep:
            from maskcls.reporting.leaderboard import write_leaderboard

            with contextlib.suppress(OSError):  # the disk is full, as the job has said
                write_leaderboard(run.directory.parent)
    return None


def _fail(run: Run, command: str, error: Exception) -> None:
    """Show and record in one line what ended a job; the traceback of a defect goes to its log."""
    message, status = _one_line(error), 1
    if isinstance(error, MaskclsError):
        status = error.exit_status
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        message, status = f"{error.strerror}: {error.filename or run.directory}", MachineError.exit_status
    else:
        message = f"{type(error).__name__}: {message} (a defect in maskcls; more in {run.directory / command}.log)"
    log.error("maskcls-%s: %s", command, message, exc_info=error if status == 1 else None)
    with contextlib.suppress(OSError):  # the disk is full
        run.finish("failed", status, message)


class ConsoleHandler(logging.Handler):
    """Writes records between progress bars, without tracebacks: information to stdout, the rest to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        tqdm.write(record.getMessage(), file=stream)
        stream.flush()


def _slug(number: int, overrides: str) -> str:
    """The name of a job's directory: its number and what varies, in letters that every file system takes."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", overrides.replace(",", "_"))
    return f"{number}_{name}"[:100].rstrip("_-.")


OmegaConf.register_new_resolver("maskcls.slug", _slug, replace=True)
