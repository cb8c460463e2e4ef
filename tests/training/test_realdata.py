"""The study's smallest row on real images."""

import json
from pathlib import Path

import pytest

from maskcls import cli


@pytest.mark.realdata
def test_mycnn_learns_real_masks(shared: Path) -> None:
    root = shared / "data" / "facemask12k"
    arguments = ["experiment=study/mycnn_adam", f"data.root={root}", "epochs=2", "device=cpu", "hydra.run.dir=run"]
    assert cli.main("train", arguments) == 0
    record = json.loads(Path("run/run.json").read_text(encoding="utf-8"))
    assert record["data"]["images"]["train"] == {"WithMask": 5000, "WithoutMask": 5000}
    # the study's first two epochs: 93.38 and 96.75 % on validation
    assert record["best"]["val_accuracy"] > 0.88
