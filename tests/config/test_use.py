"""The keys of the commands that use a model. tests/config/test_commands.py tests the range of each."""

import pytest
from configuration import config_of

from maskcls.config import DemoConfig, ExportConfig, PredictConfig


@pytest.mark.parametrize(
    ("command", "overrides", "kind"),
    [("predict", ["source=a"], PredictConfig), ("demo", [], DemoConfig), ("export", [], ExportConfig)],
)
def test_a_checkpoint_is_all_that_a_model_needs(command: str, overrides: list[str], kind: type) -> None:
    assert isinstance(config_of(command, "ckpt=run", *overrides), kind)


def test_predict_writes_a_table_of_whole_pictures_unless_asked_for_more() -> None:
    config = config_of("predict", "ckpt=run", "source=a")
    assert (config.faces.mode, config.format, config.save, config.report, config.explain) == (
        "none", "csv", False, False, False,
    )  # fmt: skip


def test_the_demo_is_for_this_computer_alone_and_finds_faces() -> None:
    config = config_of("demo", "ckpt=run")
    assert (config.host, config.faces.mode) == ("127.0.0.1", "auto")
