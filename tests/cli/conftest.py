"""Fixtures for tests of the command line: commands, of which the work is replaced."""

import logging
from collections.abc import Callable

import pytest
from jobs import Command, Job, Result, failing

from maskcls import cli


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process."""

    def call(name: str, *arguments: str) -> Result:
        return Result(cli.main(name, arguments), *capsys.readouterr())

    return call


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Callable[[Job], None]:
    """Puts a function in the place of what the commands do, so that nothing is trained."""

    def replace(function: Job) -> None:
        monkeypatch.setattr("maskcls.cli.job.function_of", lambda command: function)

    return replace


@pytest.fixture
def real_job() -> None:
    """Lets a test run what the commands do."""


@pytest.fixture(autouse=True)
def _no_job(request: pytest.FixtureRequest, job: Callable[[Job], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)  # which the commands set
    if "real_job" not in request.fixturenames:
        job(failing(AssertionError("this job was not to run")))
