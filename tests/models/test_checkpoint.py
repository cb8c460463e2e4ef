"""Checkpoints: what they hold, what is refused, and that other programs can load them."""

import dataclasses
import errno
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import (
    MODEL,
    SIZE,
    changed,
    inference_checkpoint,
    row,
    training_checkpoint,
    training_document,
    weights,
    write_unchecked,
)
from safetensors.torch import load_file
from torch import Tensor

from maskcls.config import ResNet18Config, as_dictionary
from maskcls.errors import UserError
from maskcls.models.architecture import build_model
from maskcls.models.calibration import Calibration
from maskcls.models.checkpoint import (
    AVERAGE,
    OPTIMIZER,
    RANDOM,
    TRAINING,
    Checkpoint,
    Snapshot,
    load_checkpoint,
    load_training,
    save_checkpoint,
)
from maskcls.models.document import MAX_MESSAGE
from maskcls.models.precision import Precision
from maskcls.models.torch_network import restore_network

CPU = torch.device("cpu")


def assert_same(found: Any, expected: Any) -> None:
    """Assert that two dictionaries of tensors, or of such dictionaries, are the same bit for bit."""
    if isinstance(expected, Tensor):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
        return
    assert found.keys() == expected.keys()
    for name in expected:
        assert_same(found[name], expected[name])


def refusal(path: Path, load: Callable[[Path], object] = load_checkpoint) -> str:
    """The message that refuses a checkpoint, without the file's name."""
    with pytest.raises(UserError) as caught:
        load(path)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(f"ckpt={path}: ")
    return message.removeprefix(f"ckpt={path}: ")


def test_a_network_is_read_as_it_was_saved(tmp_path: Path) -> None:
    checkpoint = inference_checkpoint()
    save_checkpoint(tmp_path / "a" / "best.safetensors", checkpoint)
    found = load_checkpoint(tmp_path / "a" / "best.safetensors")
    assert found.document == checkpoint.document
    assert_same(found.weights, checkpoint.weights)
    assert found.snapshot is None
    assert found.document.calibration == Calibration(1.5, 0.5)


def test_a_training_is_read_as_it_was_saved(tmp_path: Path) -> None:
    checkpoint = training_checkpoint()
    save_checkpoint(tmp_path / "last.safetensors", checkpoint)
    found = load_training(tmp_path / "last.safetensors")
    assert found.document == checkpoint.document
    assert_same(found.weights, checkpoint.weights)
    assert found.snapshot is not None
    assert checkpoint.snapshot is not None
    assert_same(vars(found.snapshot), vars(checkpoint.snapshot))


def test_a_training_without_state_is_read(tmp_path: Path) -> None:
    # of SGD without momentum, before the first step
    checkpoint = Checkpoint(weights(), training_document(), Snapshot({}, {}, {}))
    save_checkpoint(tmp_path / "last.safetensors", checkpoint)
    assert load_training(tmp_path / "last.safetensors").snapshot == Snapshot({}, {}, {})


def test_a_run_stands_for_its_best_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoints" / "best.safetensors", inference_checkpoint(seed=1))
    save_checkpoint(tmp_path / "checkpoints" / "last.safetensors", training_checkpoint())
    assert_same(load_checkpoint(tmp_path).weights, weights(seed=1))
    assert_same(load_checkpoint(tmp_path / "best").weights, weights(seed=1))
    assert load_checkpoint(tmp_path / "last").snapshot is not None


def test_validation_measured_the_average_if_there_is_one() -> None:
    checkpoint = training_checkpoint()
    assert_same(checkpoint.evaluated_weights, weights(seed=1))
    assert checkpoint.snapshot is not None
    without = dataclasses.replace(checkpoint, snapshot=dataclasses.replace(checkpoint.snapshot, average={}))
    assert_same(without.evaluated_weights, weights())
    assert_same(inference_checkpoint().evaluated_weights, weights())


def test_a_checkpoint_for_inference_holds_what_validation_measured_and_no_more(tmp_path: Path) -> None:
    best = training_checkpoint().for_inference()
    assert (best.snapshot, best.document.training) == (None, None)
    assert best.document == dataclasses.replace(training_document(), training=None)
    save_checkpoint(tmp_path / "best.safetensors", best)
    assert_same(load_file(tmp_path / "best.safetensors"), weights(seed=1))


def test_torchvision_loads_a_network_that_maskcls_saved(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    torch.manual_seed(0)
    model = ResNet18Config(name="resnet18", default_input_size=224, pretrained=False)
    network = build_model(model, 2, 32, pretrained=False)
    network(torch.randn(8, 3, 32, 32))  # running statistics that are not those of a new network
    document = dataclasses.replace(inference_checkpoint().document, model=model, input_size=32)
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, Checkpoint(network.state_dict(), document))

    other = resnet18(num_classes=2)
    other.load_state_dict(load_file(path))
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in vars(document.normalization).values())
    with torch.inference_mode():
        logits = other.eval()((images / 255 - mean) / std)
    ours = restore_network(load_checkpoint(path), Precision("float32", "cpu"), CPU).logits(
        images.permute(0, 2, 3, 1).numpy()
    )
    assert logits.std() > 0.01
    np.testing.assert_allclose(ours, logits, rtol=1e-4, atol=1e-5)


def test_pretrained_weights_are_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", lambda *a, **k: pytest.fail("fetched"))
    model = ResNet18Config(name="resnet18", default_input_size=224, pretrained=True)
    state = build_model(dataclasses.replace(model, pretrained=False), 2, 32, pretrained=False).state_dict()
    document = dataclasses.replace(inference_checkpoint().document, model=model, input_size=32)
    save_checkpoint(tmp_path / "best.safetensors", Checkpoint(state, document))
    assert_same(load_checkpoint(tmp_path / "best.safetensors").weights, state)


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder" / "last.safetensors"
    save_checkpoint(path, training_checkpoint())

    def fail(_: object, file: Path, __: object) -> None:
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("maskcls.models.tensor_file.save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, inference_checkpoint())
    assert load_training(path).document == training_document()
    assert os.listdir(path.parent) == ["last.safetensors"]


def test_what_was_replaced_is_kept(tmp_path: Path) -> None:
    path, previous = tmp_path / "last.safetensors", tmp_path / "previous.safetensors"
    for seed in (1, 2, 3):
        save_checkpoint(path, inference_checkpoint(seed), previous=previous)
    assert_same(load_checkpoint(path).weights, weights(3))
    assert_same(load_checkpoint(previous).weights, weights(2))


def test_no_training_resumes_from_a_checkpoint_for_inference(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best.safetensors", inference_checkpoint())
    assert refusal(tmp_path / "best.safetensors", load_training) == (
        "holds a network for inference only; a training resumes from last.safetensors"
    )


NO_FIT = "its weights do not fit the model that it names: "


def without(name: str) -> dict[str, Tensor]:
    return {key: value for key, value in weights().items() if key != name}


def nonfinite(value: float, name: str = "features.0.weight") -> dict[str, Tensor]:
    """Weights of which one number is not finite."""
    state = weights()
    state[name].view(-1)[-1] = value
    return state


@pytest.mark.hostile
@pytest.mark.parametrize("part", ["network", "average"])
@pytest.mark.parametrize(
    ("state", "message"),
    [
        (without("classifier.bias"), NO_FIT + "'classifier.bias' is missing"),
        ({**weights(), "more": torch.zeros(1)}, NO_FIT + "'more' is superfluous"),
        ({**weights(), "a\x1b[2J\n": torch.zeros(1)}, NO_FIT + r"'a\x1b[2J\n' is superfluous"),
        ({**weights(), "classifier.bias": torch.zeros(3)},
         NO_FIT + "classifier.bias is (3,) torch.float32, expected (2,) torch.float32"),
        ({**weights(), "classifier.bias": torch.zeros(2, 1)}, NO_FIT + "classifier.bias is (2, 1) torch.float32"),
        ({**weights(), "classifier.bias": torch.tensor(0.0)}, NO_FIT + "classifier.bias is () torch.float32"),
        ({**weights(), "classifier.bias": torch.zeros(0)}, NO_FIT + "classifier.bias is (0,) torch.float32"),
        ({**weights(), "classifier.bias": torch.zeros([1] * 500)}, NO_FIT + "classifier.bias is (1, 1, 1"),
        ({name: value.double() for name, value in weights().items()}, "torch.float64, expected"),
        ({name: value.bfloat16() for name, value in weights().items()}, "torch.bfloat16, expected"),
        ({name: value.int() for name, value in weights().items()}, "torch.int32, expected"),
        (nonfinite(math.nan), "its weights are not finite numbers: features.0.weight"),
        (nonfinite(math.inf), "its weights are not finite numbers: features.0.weight"),
        (nonfinite(-math.inf, "classifier.bias"), "its weights are not finite numbers: classifier.bias"),
    ],
    ids=range(14),
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused(state: dict[str, Tensor], message: str, part: str, tmp_path: Path) -> None:
    path, document = tmp_path / "x.safetensors", as_dictionary(training_document())
    if part == "network":
        write_unchecked(path, state, document)
    else:
        write_unchecked(path, {**weights(), **{AVERAGE + name: value for name, value in state.items()}}, document)
    assert message in refusal(path)


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["A", "B", "C"]}, NO_FIT + "classifier.weight is (2, 128) torch.float32, expected (3, 128)"),
        ({"classes": list(map(str, range(100_000)))}, NO_FIT + "classifier.weight is (2, 128)"),
        ({"input_size": 32}, NO_FIT + "classifier.weight is (2, 128) torch.float32, expected (2, 512)"),
        ({"input_size": 4096}, NO_FIT + "classifier.weight is (2, 128) torch.float32, expected (2, 8388608)"),
        ({"model": {"name": "vgg16", "default_input_size": 224, "pretrained": True, "dropout": 0.5}, "input_size": 32},
         NO_FIT + "'classifier.0.bias' is missing"),
        ({"version": 2}, "has format version 2; this version of maskcls reads 3"),
        ({"classes": ["A", "A"]}, "'classes' must be at least two different names"),
        ({"temperature": math.nan}, "temperature=nan: expected a number, above 0"),
        # what is quoted from the file is printable, and short
        ({"precision": "a\nb\x1b[2J"}, "precision=a?b?[2J: expected one of float32"),
        ({"x\r\ny": 1}, "x??y is not a key: allowed are model, classes"),
        ({"precision": "a" * 10**6}, "precision=aaa"),
        ({"model.name": {"a": [0] * 10**5}}, "model.name={'a': [0, 0"),
    ],
    ids=range(12),
)  # fmt: skip
def test_a_document_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_unchecked(path, weights(), changed(inference_checkpoint().document, changes))
    found = refusal(path)
    assert found.startswith(message)
    assert len(found) <= MAX_MESSAGE


@pytest.mark.hostile
@pytest.mark.parametrize(
    "name",
    ["x/exp_avg", "0", "0/", "/exp_avg", "-1/exp_avg", "+1/exp_avg", "1.0/exp_avg", "٣/exp_avg", "9" * 5000],
    ids=range(9),
)
def test_a_name_that_no_optimizer_has_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_unchecked(path, {**weights(), OPTIMIZER + name: torch.zeros(1)}, as_dictionary(training_document()))
    assert refusal(path).endswith(" is not a name of the optimizer's state")


@pytest.mark.hostile
@pytest.mark.parametrize("name", [f"{TRAINING}more", TRAINING, f"{TRAINING}Optimizer/0/step", "training"])
@pytest.mark.parametrize("kind", ["best", "last"])
def test_a_tensor_that_has_no_meaning_is_refused(kind: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    document = training_document() if kind == "last" else inference_checkpoint().document
    write_unchecked(path, {**weights(), name: torch.zeros(1)}, as_dictionary(document))
    assert refusal(path) == f"{NO_FIT}{name!r} is superfluous"


@pytest.mark.hostile
@pytest.mark.parametrize("prefix", [OPTIMIZER + "0/", AVERAGE, RANDOM])
def test_a_checkpoint_for_inference_holds_no_training(prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_unchecked(path, {**weights(), prefix + "x": torch.zeros(1)}, as_dictionary(inference_checkpoint().document))
    assert refusal(path) == f"{NO_FIT}{prefix + 'x'!r} is superfluous"


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: torch.save({"version": 2}, path), "a zip file, such as what format=torch_export writes"),
        (lambda path: path.write_text("hello"), "not a safetensors file, or a damaged one: "),
        (lambda path: path.write_bytes(b""), "not a safetensors file, or a damaged one: "),
        (lambda path: write_unchecked(path, {}, "[]"), "has format version None; this version of maskcls reads 3"),
        (lambda path: write_unchecked(path, {}, ""), "a damaged file: its JSON document cannot be read"),
        (lambda path: write_unchecked(path, {}, as_dictionary(inference_checkpoint().document)),
         NO_FIT + "'classifier.bias' is missing"),
    ],
    ids=range(6),
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(make: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    make(tmp_path / "x")
    assert refusal(tmp_path / "x").startswith(message)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, training_checkpoint())
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert refusal(path) == "a damaged file: the digest does not match its content"


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^ckpt={re.escape(str(tmp_path))}/x: no such file; a run writes "):
        load_checkpoint(tmp_path / "x")


def test_the_files_of_these_tests_are_what_maskcls_writes(tmp_path: Path) -> None:
    # else what is refused above might be refused for another reason
    path = write_unchecked(tmp_path / "x.safetensors", weights(), as_dictionary(training_document()))
    found = load_training(path)
    assert found.document.training is not None
    assert (found.document.model, found.document.input_size) == (MODEL, SIZE)
    assert found.document.training.rows == (row(1), row(2))
