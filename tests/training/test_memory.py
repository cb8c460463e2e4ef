"""The batch size that fits in memory."""

import contextlib
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch
import yaml
from configuration import config_of
from runs import load
from schema import names_of
from torch import nn

from maskcls import cli
from maskcls.config import ModelConfig, MyCNNConfig, TrainConfig
from maskcls.config.types import PrecisionName
from maskcls.errors import MachineError, UserError
from maskcls.models.architecture import build_model
from maskcls.models.memory import OVERHEAD, Demand, _Storages
from maskcls.models.precision import Precision
from maskcls.run import read_run
from maskcls.training import memory
from maskcls.training.memory import explained_training, training_demand, with_batch_size

FLOAT32 = Precision("float32", "cpu")


def config(*overrides: str) -> TrainConfig:
    parsed: TrainConfig = config_of(
        "train", "data=folder", "data.root=/faces", "model=mycnn", "data.input_size=32", *overrides
    )
    return parsed


def mycnn(dropout: float = 0.25) -> nn.Module:
    return build_model(MyCNNConfig("mycnn", 32, dropout), 2, 32, pretrained=False)


@pytest.mark.parametrize(
    ("overrides", "copies"),
    [
        (["optim=sgd", "optim.momentum=0"], 0),
        (["optim=sgd", "optim.momentum=0.9"], 1),
        (["optim=adam"], 2),
        (["optim=adamw", "ema_decay=0.99"], 3),
    ],
)
def test_each_state_of_the_optimizer_and_the_average_are_a_copy_of_the_weights(
    overrides: list[str], copies: int
) -> None:
    least = training_demand(config("optim=sgd", "optim.momentum=0"), 2, FLOAT32)
    demand = training_demand(config(*overrides), 2, FLOAT32)
    assert demand.fixed - least.fixed == pytest.approx(
        copies * sum(weight.nbytes for weight in mycnn().parameters()), abs=1
    )
    assert demand.per_image == least.per_image


def test_training_takes_what_autograd_keeps() -> None:
    images = 8
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    model = mycnn()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(torch.zeros(images, 3, 32, 32))
    weights = {weight.data_ptr() for weight in model.parameters()}
    saved = sum(size for address, size in kept.items() if address not in weights) / images
    assert saved <= training_demand(config(), 2, FLOAT32).per_image <= 2 * saved


@pytest.mark.parametrize(
    ("model", "least", "most"),
    # input and gradients of MyCNN's first layer stay float32
    [("mycnn", 0.5, 0.7), ("resnet18", 0.5, 0.6), ("vgg16", 0.5, 0.6)],
)
@pytest.mark.parametrize("device", ["cpu", "cuda"])  # where there is no GPU, either
def test_activations_take_half_in_half_precision(model: str, least: float, most: float, device: str) -> None:
    given = config(f"model={model}", "data.input_size=64", "optim=sgd", "optim.momentum=0")
    full = training_demand(given, 2, Precision("float32", device))
    for name in ("bfloat16", "float16"):
        half = training_demand(given, 2, Precision(name, device))
        assert least <= half.per_image / full.per_image <= most
        # weights stay float32, and each gets a copy in half precision
        assert full.fixed <= half.fixed <= 1.6 * full.fixed


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("model", "images"), [("mycnn", 32), ("resnet18", 4), ("mobilenet_v3_small", 4)])
def test_the_estimate_is_the_peak_of_real_tensors(model: str, images: int, precision: PrecisionName) -> None:
    size, chosen = 64, Precision(precision, "cpu")
    given = config(f"model={model}", f"data.input_size={size}", "optim=sgd", "optim.momentum=0")
    demand = training_demand(given, 2, chosen)
    storages = _Storages()
    with storages:
        network = build_model(given.model, 2, size, pretrained=False)
        with chosen.autocast():
            logits = network(torch.zeros(images, 3, size, size)).float()
        nn.functional.cross_entropy(logits, torch.zeros(images, dtype=torch.int64)).backward()
    assert storages.peak == pytest.approx(demand.fixed + demand.per_image * images, rel=0.15)


def test_estimating_draws_no_random_number() -> None:
    before = torch.get_rng_state()
    training_demand(config(), 2, FLOAT32)
    assert torch.equal(torch.get_rng_state(), before)


def test_half_the_pixels_take_a_quarter() -> None:
    large, small = training_demand(config(), 2, FLOAT32), training_demand(config("data.input_size=16"), 2, FLOAT32)
    assert small.per_image == pytest.approx(large.per_image / 4, rel=0.05)


@pytest.mark.parametrize(
    ("images", "free", "chosen"),
    [
        (100_000, 1e12, 256),  # no more than that
        (8192, 1e12, 256),
        (8191, 1e12, 128),  # 32 steps an epoch at least
        (31, 1e12, 1),
        (100_000, OVERHEAD * (1000 + 10 * 200), 128),
    ],
)
def test_auto_takes_what_fits(
    images: int, free: float, chosen: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "training_demand", lambda *_: Demand(1000, 10))
    with caplog.at_level(logging.INFO):
        found = with_batch_size(config("data.batch_size=auto"), images, 2, FLOAT32, free)
    assert found == config(f"data.batch_size={chosen}")
    assert caplog.messages[0].startswith(f"data.batch_size=auto: {chosen}, which takes some 0.0 GB of the ")


@pytest.mark.parametrize(("images", "chosen"), [(65, 3), (1025, 31), (8193, 255), (8192, 256), (31, 4)])
def test_auto_leaves_no_single_image_that_cannot_be_trained_on(
    images: int, chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "training_demand", lambda *_: Demand(1000, 10))
    found = with_batch_size(config("model=resnet18", "data.batch_size=auto"), images, 2, FLOAT32, 1e12)
    assert found.data.batch_size == chosen
    assert (images % chosen or chosen) != 1


def test_a_batch_of_a_single_image_is_refused_where_it_cannot_be_trained_on() -> None:
    with pytest.raises(UserError, match=r"data.batch_size=32 leaves one of 65 training images"):
        with_batch_size(config("model=resnet18", "data.batch_size=32"), 65, 2, FLOAT32, 1e12)


@pytest.mark.parametrize(("name", "size", "fails"), [
    ("resnet18", 32, True), ("mobilenet_v3_small", 32, True), ("efficientnet_b0", 32, True), ("vgg16", 32, False),
    ("resnet18", 33, False), ("mobilenet_v3_small", 33, False), ("efficientnet_b0", 33, False), ("mycnn", 32, False),
])  # fmt: skip
def test_batch_normalization_refuses_a_single_image_of_one_pixel(name: str, size: int, *, fails: bool) -> None:
    model = build_model(config(f"model={name}").model, 2, size, pretrained=False).train()
    with pytest.raises(ValueError, match="more than 1 value per channel") if fails else contextlib.nullcontext():
        model(torch.zeros(1, 3, size, size))
    given = config(f"model={name}", "data.batch_size=32", f"data.input_size={size}")
    with pytest.raises(UserError, match=f"which {name} cannot train on") if fails else contextlib.nullcontext():
        with_batch_size(given, 65, 2, FLOAT32, 1e12)


@pytest.mark.parametrize(
    "model",
    [*(f"model={name}" for kind in get_args(ModelConfig) for name in names_of(kind)),
     "model=vgg16 model.batch_norm=true"],
)  # fmt: skip
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_network_takes_less_than_what_is_taken_for_granted(model: str, precision: PrecisionName) -> None:
    demand = training_demand(config(*model.split(), "data.input_size=64"), 2, Precision(precision, "cpu"))
    assert OVERHEAD * demand.per_image <= memory.BYTES_PER_PIXEL * 64**2


def test_auto_says_where_nothing_fits() -> None:
    message = r"^data.batch_size=auto: a single image takes 0\.\d GB, and 0.0 GB are free; a smaller data.input_size"
    with pytest.raises(MachineError, match=message):
        with_batch_size(config("data.batch_size=auto"), 1000, 2, FLOAT32, 1e6)


def test_a_batch_that_will_not_fit_is_said_before_it_fails(caplog: pytest.LogCaptureFixture) -> None:
    given = config("data.batch_size=4096")
    assert with_batch_size(given, 10_000, 2, FLOAT32, 1e9) == given
    assert len(caplog.messages) == 1
    assert "data.batch_size=4096 may not fit: it takes some 3." in caplog.messages[0]
    assert "1.0 GB were free; data.batch_size=1024 should fit" in caplog.messages[0]
    caplog.clear()
    with_batch_size(given, 100, 2, FLOAT32, 1e9)  # there is no batch of more than all images
    assert caplog.messages == ["data.batch_size=4096: there are 100 training images, so each epoch is a single step"]
    caplog.clear()
    with_batch_size(config("data.batch_size=100"), 100, 2, FLOAT32, 1e9)
    assert not caplog.messages


def test_nothing_is_measured_where_there_is_plenty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "training_demand", None)
    assert with_batch_size(config(), 10_000, 2, FLOAT32, 8e9) == config()


SMALL = ("model=mycnn", "data=folder", "data.input_size=16", "epochs=1", "plots=false", "device=cpu")


def test_auto_is_a_number_in_everything_that_is_written(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    where = (f"data.root={dataset}", f"hydra.run.dir={run}")
    assert cli.main("train", [*SMALL, "data.batch_size=auto", *where]) == 0
    assert yaml.safe_load((run / "config.yaml").read_text())["data"]["batch_size"] == 1  # of 48 images
    assert load(run).document.config["data"]["batch_size"] == 1
    assert cli.main("train", [f"resume={run}", "epochs=2"]) == 0
    assert cli.main("eval", [f"ckpt={run}", f"hydra.run.dir={tmp_path / 'eval'}"]) == 0


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ("maskcls.training.loop.step", "data.batch_size"),
        ("maskcls.training.validation.predict_tensors", "data.eval_batch_size"),
    ],
)
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_training_without_memory_ends_in_a_line(
    where: str,
    key: str,
    error: Exception,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(where, fail)
    arguments = [*SMALL, f"data.root={dataset}", "data.batch_size=32", "data.eval_batch_size=32"]
    assert cli.main("train", [*arguments, f"hydra.run.dir={tmp_path / 'run'}"]) == 5
    message = capsys.readouterr().err
    assert message.startswith(f"maskcls-train: out of memory at {key}=32: it takes some 0.0 GB, and ")
    assert message.endswith(f"; {key}=16 should fit\n")
    assert read_run(tmp_path / "run")["exit_status"] == 5


def test_other_errors_are_not_explained() -> None:
    with pytest.raises(ZeroDivisionError), explained_training(config(), mycnn(), 2, FLOAT32, 1e9):
        raise ZeroDivisionError


LIMITED = """
import resource, sys
import psutil, torch
import maskcls.commands.train
from maskcls import cli
resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 1_500_000_000,) * 2)
sys.exit(cli.main("train", sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory hold on Linux")
def test_a_limit_on_memory_is_hit_and_kept(tmp_path: Path) -> None:
    def train(batch_size: str) -> subprocess.CompletedProcess[str]:
        where = (f"hydra.run.dir={tmp_path / batch_size}", f"data.batch_size={batch_size}")
        small = ("data=synthetic", "data.train_images=2048", "data.val_images=8", "data.test_images=8", "threads=1")
        more = ("data.input_size=64", "data.eval_batch_size=8", "epochs=1", "test=none", "plots=false", "device=cpu")
        return subprocess.run(
            [sys.executable, "-c", LIMITED, *small, *more, *where], capture_output=True, text=True, check=False
        )

    too_large = train("1024")
    assert too_large.returncode == 5
    assert "data.batch_size=1024 may not fit: it takes some " in too_large.stderr
    last = too_large.stderr.splitlines()[-1]
    assert last.startswith("maskcls-train: out of memory at data.batch_size=1024: it takes some ")
    advised = re.search(r"data\.batch_size=(\d+) should fit$", last)
    assert advised is not None, last
    assert 8 <= int(advised[1]) < 1024
    for size in (advised[1], "auto"):
        fitting = train(size)
        assert (fitting.returncode, fitting.stderr.count("memory")) == (0, 0), fitting.stderr
    assert yaml.safe_load((tmp_path / "auto" / "config.yaml").read_text())["data"]["batch_size"] >= 8
