"""Fixtures that all tests share, and what keeps tests independent of each other."""

import logging
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra


def pytest_configure() -> None:
    """Give each worker of pytest-xdist one core. PyTorch and OpenCV read this when the tests first import them."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ |= {"OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Worker processes can only send text that is UTF-8, which captured file names need not be."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@contextmanager
def process_restored() -> Iterator[None]:
    """Undo what Hydra does to logging and what a job does to PyTorch, both for the whole process."""
    import torch

    root = logging.getLogger()
    handlers, level, threads = root.handlers[:], root.level, torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    """Restore the process after a fixture of several tests, too: it is set up before the fixtures of a test."""
    if fixturedef.scope == "function":
        return (yield)
    with process_restored():
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def isolated_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep fixtures of several tests away from the user's cache and data, and Hydra away from pytest's arguments.

    Nothing is flushed to the disk; tests/test_files.py checks what is.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASKCLS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("MASKCLS_DATA", raising=False)
        patch.setattr(sys, "argv", ["pytest"])
        # a fifth of a short training's time is waiting for the disk, which only a loss of power makes worth it
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(os, "sync", lambda: None)
        yield


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give every test its own cache, its own working directory, and the process as it was."""
    monkeypatch.setenv("MASKCLS_CACHE", str(tmp_path / "cache"))
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    with process_restored():
        yield
    assert not GlobalHydra.instance().is_initialized()


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, each with 24 images in Train, 8 in Validation and 6 in Test. Tests must not change it."""
    from images import write_dataset

    return write_dataset(tmp_path_factory.mktemp("data") / "set", {"Train": 24, "Validation": 8, "Test": 6})


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images. A test that needs it is skipped if there is none."""
    folder = Path(os.environ.get("MASKCLS_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data" / "facemask12k").is_dir():
        pytest.skip(f"no real images in {folder}; MASKCLS_SHARED names another folder")
    return folder
