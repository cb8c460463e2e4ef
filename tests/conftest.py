"""Fixtures that all tests share."""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from images import write_dataset


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a cache, a working directory and a data folder of its own."""
    monkeypatch.setenv("MASKCLS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MASKCLS_DATA", raising=False)
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)


@pytest.fixture(autouse=True)
def unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hydra reads sys.argv and sets up logging for the whole process, and every job torch's threads and numbers."""
    monkeypatch.setattr(sys, "argv", ["pytest"])
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    assert not GlobalHydra.instance().is_initialized()


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with Train (2 x 24), Validation (2 x 8) and Test (2 x 6) images."""
    return write_dataset(tmp_path_factory.mktemp("data") / "set", {"Train": 24, "Validation": 8, "Test": 6})


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images; the test is skipped where it is absent."""
    folder = Path(os.environ.get("MASKCLS_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data" / "facemask12k").is_dir():
        pytest.skip(f"no real images in {folder}; MASKCLS_SHARED names another folder")
    return folder
