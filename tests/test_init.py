"""maskcls.load: from a path to a predictor, or a line that says what is wrong."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import CLASSES, inference_checkpoint, ready, training_checkpoint
from configuration import config_of

import maskcls
from maskcls.config import as_dictionary
from maskcls.errors import UserError
from maskcls.inference.predictor import Predictor
from maskcls.models.checkpoint import Checkpoint, save_checkpoint

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)


def complete(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint with the configuration of its training."""
    data = as_dictionary(config_of("train", "data=synthetic", "data.eval_batch_size=50").data)
    return dataclasses.replace(checkpoint, document=dataclasses.replace(checkpoint.document, config={"data": data}))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory whose last checkpoint has other weights than its best one."""
    folder = tmp_path / "run" / "checkpoints"
    save_checkpoint(folder / "best.safetensors", complete(inference_checkpoint(seed=5)))
    save_checkpoint(folder / "last.safetensors", complete(training_checkpoint()))
    return tmp_path / "run"


def test_a_run_is_loaded(run: Path) -> None:
    predictor = maskcls.load(run, device="cpu")
    assert isinstance(predictor, Predictor)
    assert (predictor.classes, predictor.batch_size, predictor.network.precision) == (CLASSES, 50, "float32")
    found = predictor.predict(IMAGE)
    assert found.label in CLASSES
    assert found == predictor.predict([IMAGE])[0]


def test_a_checkpoint_is_named_in_several_ways(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best, last = (Predictor.of(ready(complete(checkpoint))).predict(IMAGE)
                  for checkpoint in (inference_checkpoint(seed=5), training_checkpoint()))  # fmt: skip
    assert best != last
    for path in (run, str(run), run / "best", f"{run}/best", run / "checkpoints" / "best.safetensors"):
        assert maskcls.load(path, device="cpu").predict(IMAGE) == best
    for path in (run / "last", f"{run}/checkpoints/last.safetensors"):
        assert maskcls.load(path, device="cpu").predict(IMAGE) == last
    monkeypatch.setenv("HOME", str(run.parent))
    assert maskcls.load("~/run", device="cpu").predict(IMAGE) == best
    monkeypatch.chdir(run)
    assert maskcls.load("last", device="cpu").predict(IMAGE) == last


def test_settings_may_be_changed(run: Path) -> None:
    predictor = maskcls.load(run, device="cpu", precision="bfloat16", batch_size=3)
    assert (predictor.network.precision, predictor.batch_size) == ("bfloat16", 3)
    assert maskcls.load(run, device="auto").network.device == maskcls.load(run).network.device
    device: Any = torch.device("cpu")
    assert maskcls.load(run, device=device).network.device == str(device)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "gpu"}, "device=gpu: expected auto, cpu, cuda, cuda:N or mps; cuda is a GPU"),
        ({"device": "cuda:99"}, "device=cuda:99: not on this machine, which has cpu"),
        ({"device": "cpu", "precision": "fp16"}, "precision=fp16: expected auto, float32, tf32, bfloat16, float16"),
    ],
    ids=range(3),
)
def test_settings_that_there_are_not_are_refused(settings: dict[str, Any], message: str, run: Path) -> None:
    with pytest.raises(UserError) as caught:
        maskcls.load(run, **settings)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none", "ckpt=none: no such file; a run writes RUN/checkpoints/best.safetensors and last.safetensors"),
        (Path("none"), "ckpt=none: no such file; "),
        ("", "ckpt=.: no checkpoints/best.safetensors in this folder; expected a checkpoint file or a run directory"),
        ("~nobody-of-this-name/run", "ckpt=~nobody-of-this-name/run: no such file; "),
        ("x" * 300, f"ckpt={'x' * 300}: File name too long"),
        (
            "old.pt",
            "ckpt=old.pt: a zip file, such as what format=torch_export writes, or a checkpoint of an older version of "
            "maskcls; expected a .safetensors file",
        ),
        ("text", "ckpt=text: not a safetensors file, or a damaged one: "),
    ],
    ids=range(7),
)
def test_what_is_no_checkpoint_is_refused(path: str | Path, message: str) -> None:
    torch.save({"format": "maskcls"}, "old.pt")
    Path("text").write_text("text")
    with pytest.raises(UserError) as caught:
        maskcls.load(path)
    assert str(caught.value).startswith(message)


def test_importing_maskcls_imports_no_library() -> None:
    code = "import sys, maskcls; print({'torch', 'numpy', 'cv2', 'hydra', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
