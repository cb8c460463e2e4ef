"""From a path to a network that is ready to run."""

from pathlib import Path

import numpy as np
import pytest
from checkpoints import SIZE, inference_checkpoint, ready
from exported import write_exported

from maskcls.errors import UserError
from maskcls.models.checkpoint import save_checkpoint
from maskcls.models.onnx_network import OnnxNetwork
from maskcls.models.opening import open_network


def test_a_run_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "best.safetensors"
    save_checkpoint(path, inference_checkpoint(seed=2))
    opened = open_network(tmp_path, device="cpu")
    images = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    assert opened.path == path
    assert np.array_equal(opened.network.logits(images), ready(inference_checkpoint(seed=2)).network.logits(images))


@pytest.mark.parametrize("name", ["model.onnx", "OTHER.ONNX"])
def test_an_exported_network_is_told_by_its_suffix(name: str, tmp_path: Path) -> None:
    path = write_exported(tmp_path / name)
    opened = open_network(path, device="cpu", threads=1)
    assert isinstance(opened.network, OnnxNetwork)
    assert (opened.path, opened.document) == (path, inference_checkpoint().document)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^ckpt=.*/none: no such file"):
        open_network(tmp_path / "none")
