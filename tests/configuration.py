"""Typed configurations from command lines, for tests that start below the command line."""

from pathlib import Path
from typing import Any

from maskcls.cli.arguments import read_arguments
from maskcls.cli.composition import compose_jobs
from maskcls.run import Run


def config_of(command: str, *overrides: str) -> Any:
    """The configuration that ``maskcls-COMMAND OVERRIDES`` gives."""
    return compose_jobs(command, read_arguments(overrides, command))[0].config


def small(root: Path, *overrides: str) -> Any:
    """A training of MyCNN on tiny images that takes a second."""
    return config_of(
        "train", "model=mycnn", "data=folder", f"data.root={root}", "data.input_size=16", "data.batch_size=8",
        "epochs=2", "device=cpu", "precision=float32", "plots=false", *overrides,
    )  # fmt: skip


def start_run(directory: Path, config: Any, command: str = "train") -> Run:
    """A run in a directory, as the command line would start it."""
    return Run.start(directory, command, config, [])
