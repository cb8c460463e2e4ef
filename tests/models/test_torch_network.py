"""A network that is restored from a checkpoint, and what it computes."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import MODEL, SIZE, inference_checkpoint, training_checkpoint, weights
from torch import Tensor, nn

from maskcls.config.types import PrecisionName, Threads
from maskcls.data.statistics import Normalization
from maskcls.models.architecture import build_model
from maskcls.models.checkpoint import save_checkpoint
from maskcls.models.cpu import default_threads
from maskcls.models.normalize import Normalize
from maskcls.models.precision import Precision
from maskcls.models.torch_network import Forward, open_checkpoint, predict_tensors, restore_network

CPU = torch.device("cpu")
FLOAT32 = Precision("float32", "cpu")


def images(count: int, seed: int = 0) -> np.ndarray:
    """Noise, uint8 [count, 16, 16, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


class Means(nn.Module):
    """Returns the mean and the maximum of each image, and what type it computed in."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Map float32 [batch, 3, height, width] to [batch, 2], in the type of a matrix product."""
        assert inputs.dtype == torch.float32
        flat = inputs.flatten(1)
        return torch.stack((flat.mean(dim=1), flat.amax(dim=1)), dim=1) @ torch.eye(2)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_logits_are_those_of_normalized_images_and_float32(precision: PrecisionName) -> None:
    normalize = Normalize(Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)))
    forward = Forward(Means(), normalize, Precision(precision, "cpu"))
    batch = torch.stack((torch.zeros(3, 4, 4), torch.full((3, 4, 4), 255.0))).to(torch.uint8)
    logits = forward(batch)
    assert logits.dtype == torch.float32
    assert logits.tolist() == [[-2.0, -2.0], [2.0, 2.0]]
    third = forward(torch.full((1, 3, 4, 4), 170, dtype=torch.uint8))[0, 0].item()
    assert third == pytest.approx(2 / 3, abs=1e-6 if precision == "float32" else 4e-3)
    assert (abs(third - 2 / 3) > 1e-6) == (precision == "bfloat16")


def test_tensors_give_the_logits_of_arrays_without_a_gradient() -> None:
    network = restore_network(inference_checkpoint(), FLOAT32, CPU)
    whole = torch.from_numpy(images(10)).permute(0, 3, 1, 2)
    found = predict_tensors(network.forward, iter(whole.split(4)))
    assert found.shape == (10, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, network.logits(images(10)), rtol=1e-5, atol=1e-6)
    assert len(np.unique(found, axis=0)) == 10


def test_the_precision_and_the_device_are_named() -> None:
    network = restore_network(inference_checkpoint(), Precision("bfloat16", "cpu"), CPU)
    assert (network.precision, network.device) == ("bfloat16", "cpu")


def test_a_batch_that_does_not_fit_is_explained_by_what_was_free() -> None:
    network = dataclasses.replace(restore_network(inference_checkpoint(), FLOAT32, CPU), free=1e6)
    message = str(network.out_of_memory("data.batch_size", 4096))
    assert re.fullmatch(
        r"out of memory at data\.batch_size=4096: it takes some \d+\.\d GB, and 0\.0 GB were free; "
        r"data\.batch_size=\d+ should fit",
        message,
    )


def test_predicting_takes_the_memory_of_its_network() -> None:
    demand = restore_network(inference_checkpoint(), FLOAT32, CPU).demand()
    assert demand.fixed == pytest.approx(sum(value.nbytes for value in weights().values()), rel=0.1)
    assert demand.per_image >= 3 * SIZE * SIZE * 4


def test_a_restored_network_computes_what_its_checkpoint_was_trained_to() -> None:
    checkpoint = inference_checkpoint(seed=3)
    network = restore_network(checkpoint, FLOAT32, CPU)
    model = build_model(MODEL, 2, SIZE, pretrained=False)
    model.load_state_dict(weights(seed=3))
    normalization = checkpoint.document.normalization
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (normalization.mean, normalization.std))
    with torch.inference_mode():
        expected = model.eval()((torch.from_numpy(images(5)).permute(0, 3, 1, 2) / 255 - mean) / std)
    np.testing.assert_allclose(network.logits(images(5)), expected, rtol=1e-5, atol=1e-6)


def test_a_restored_network_does_not_drop_anything() -> None:
    network = restore_network(inference_checkpoint(), FLOAT32, CPU)
    assert not network.forward.model.training
    assert np.array_equal(network.logits(images(3)), network.logits(images(3)))


def test_a_restored_network_has_the_average_of_the_weights_if_there_is_one() -> None:
    network = restore_network(training_checkpoint(), FLOAT32, CPU)
    assert network.forward.model.state_dict().keys() == weights().keys()
    for name, value in network.forward.model.state_dict().items():
        assert torch.equal(value, weights(seed=1)[name])


def test_a_restored_network_is_channels_last_and_where_it_is_asked_to_be() -> None:
    network = restore_network(inference_checkpoint(), FLOAT32, CPU)
    assert network.device == "cpu"
    convolution = network.forward.model.get_submodule("features.3")
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
    assert {value.device for value in network.forward.model.state_dict().values()} == {CPU}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_network_on_a_gpu_gives_the_logits_of_the_cpu() -> None:
    device = torch.device("cuda:0")
    network = restore_network(inference_checkpoint(), Precision("float32", "cuda"), device)
    expected = restore_network(inference_checkpoint(), FLOAT32, CPU).logits(images(6))
    np.testing.assert_allclose(network.logits(images(6)), expected, rtol=1e-2, atol=1e-2)


def test_a_checkpoint_is_opened_as_it_was_trained_or_as_it_is_asked_for(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best.safetensors", inference_checkpoint(seed=3))
    opened = open_checkpoint(tmp_path / "best.safetensors", device="cpu", precision=None, threads=None)
    assert (opened.path, opened.document) == (tmp_path / "best.safetensors", inference_checkpoint().document)
    own = torch.get_num_threads()
    assert re.fullmatch(rf"device cpu, {own} CPU threads?, precision float32 \(as in training\)", opened.about)
    expected = restore_network(inference_checkpoint(seed=3), FLOAT32, CPU).logits(images(3))
    assert np.array_equal(opened.network.logits(images(3)), expected)
    other = open_checkpoint(tmp_path / "best.safetensors", device="cpu", precision="bfloat16", threads=None)
    assert (other.network.precision, other.about.endswith("precision bfloat16 (as configured)")) == ("bfloat16", True)


def saved_in(precision: PrecisionName, folder: Path) -> Path:
    """Save a checkpoint that was trained in a precision."""
    checkpoint = inference_checkpoint()
    document = dataclasses.replace(checkpoint.document, precision=precision)
    save_checkpoint(folder / "best.safetensors", dataclasses.replace(checkpoint, document=document))
    return folder / "best.safetensors"


@pytest.mark.parametrize("trained", ["bfloat16", "float16", "tf32"])
def test_a_precision_that_would_be_emulated_becomes_float32_and_a_line_says_so(
    trained: PrecisionName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True})
    path = saved_in(trained, tmp_path)
    opened = open_checkpoint(path, device="cpu", precision=None, threads=None)
    assert opened.network.precision == "float32"
    assert opened.about.endswith(f"precision float32 (trained in {trained})")
    assert opened.document.precision == trained
    (line,) = caplog.messages
    assert line.startswith(f"{path} was trained in {trained} and computes in float32 here: ")
    assert ("this CPU has no AMX or AVX-512 " if trained != "tf32" else "cpu has no TF32") in line


def test_a_precision_that_the_hardware_has_stays_and_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    opened = open_checkpoint(saved_in("bfloat16", tmp_path), device="cpu", precision=None, threads=None)
    assert (opened.network.precision, caplog.messages) == ("bfloat16", [])
    assert opened.about.endswith("precision bfloat16 (as in training)")


@pytest.mark.parametrize("asked", ["bfloat16", "float16"])
def test_a_precision_that_is_typed_is_obeyed(
    asked: PrecisionName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True})
    opened = open_checkpoint(saved_in("bfloat16", tmp_path), device="cpu", precision=asked, threads=None)
    assert (opened.network.precision, caplog.messages) == (asked, [])


@pytest.mark.parametrize(("threads", "expected"), [(1, ["cpu"]), (None, [])])
def test_a_process_that_is_set_up_has_the_device_as_its_current_one(
    threads: int | None, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[torch.device] = []
    monkeypatch.setattr("maskcls.models.torch_network.use_device", used.append)
    open_checkpoint(saved_in("float32", tmp_path), device="cpu", precision=None, threads=threads)
    assert used == [torch.device(name) for name in expected]


def test_threads_are_set_for_the_process_if_they_are_asked_for(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best.safetensors", inference_checkpoint())
    choices: list[tuple[Threads, int]] = [(3, 3), ("auto", default_threads())]
    for threads, expected in choices:
        opened = open_checkpoint(tmp_path / "best.safetensors", device="cpu", precision=None, threads=threads)
        assert torch.get_num_threads() == expected
        assert f", {expected} CPU thread" in opened.about
