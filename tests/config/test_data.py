"""Data sets: all have common keys, and some have keys of their own."""

from pathlib import Path

import pytest
from configuration import config_of
from schema import COMMON_DATA, DATA

from maskcls.config.data import (
    AnyDataConfig,
    FaceMask12KConfig,
    FolderConfig,
    SyntheticConfig,
    TableConfig,
    public_root,
)
from maskcls.config.engine import as_dictionary, convert
from maskcls.errors import UserError


@pytest.mark.parametrize(
    ("name", "kind", "own"),
    [
        ("folder", FolderConfig, set()),
        ("table", TableConfig, {"table", "columns"}),
        ("facemask12k", FaceMask12KConfig, {"download"}),
        ("synthetic", SyntheticConfig, {"seed", "train_images", "val_images", "test_images"}),
    ],
)
def test_a_data_set_has_the_common_keys_and_its_own(name: str, kind: type, own: set[str]) -> None:
    config = convert(DATA[name], AnyDataConfig, "data")
    assert isinstance(config, kind)
    assert set(as_dictionary(config)) == {*COMMON_DATA, "name", *own}


@pytest.mark.parametrize("variable", [None, "/sets/masks", "~/masks"])
def test_the_public_data_set_has_one_place(variable: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if variable:
        monkeypatch.setenv("MASKCLS_DATA", variable)
    root = config_of("train", "data=facemask12k").data.root
    assert public_root() == root == Path(variable or "data/facemask12k").expanduser().absolute()
    assert config_of("eval", "ckpt=a", "data=facemask12k").data.root == root
    assert config_of("eval", "ckpt=a", "data=facemask12k", "data.root=/mine").data.root == Path("/mine")


def test_only_the_published_data_set_can_be_fetched() -> None:
    with pytest.raises(UserError, match=r"^data\.download is not a key of data=folder: allowed are root, "):
        convert({**DATA["folder"], "download": True}, AnyDataConfig, "data")
