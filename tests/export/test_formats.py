"""Each format, read back by the library that reads it, and each network in it."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from checkpoints import CLASSES, SIZE, inference_checkpoint, ready
from exported import about, traced

from maskcls.config import ModelConfig, MyCNNConfig, ResNet18Config, TorchvisionConfig, VGG16Config, as_dictionary
from maskcls.export.formats import write_onnx, write_torch_export
from maskcls.models.architecture import build_model
from maskcls.models.checkpoint import Checkpoint
from maskcls.models.document import read_document

MODELS: list[ModelConfig] = [
    MyCNNConfig("mycnn", 32, 0.5),
    ResNet18Config("resnet18", 224, pretrained=False),
    VGG16Config("vgg16", 224, pretrained=False, dropout=0.5),
    VGG16Config("vgg16", 224, pretrained=False, dropout=0.5, batch_norm=True),
    TorchvisionConfig("mobilenet_v3_small", 224, pretrained=False, dropout=0.2),
    TorchvisionConfig("efficientnet_b0", 224, pretrained=False, dropout=0.2),
]
formats = pytest.mark.parametrize("write", [write_onnx, write_torch_export])


def images(count: int, size: int = SIZE) -> np.ndarray:
    """Noise, uint8 [count, size, size, 3]."""
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def untrained(model: ModelConfig, size: int) -> Checkpoint:
    """A network of random weights, whose answers differ from image to image."""
    torch.manual_seed(0)
    network = build_model(model, 2, size, pretrained=False)
    network.train()(torch.randn(4, 3, size, size))  # running statistics that are not those of a new network
    document = dataclasses.replace(inference_checkpoint().document, model=model, input_size=size)
    return Checkpoint(network.state_dict(), document)


@formats
@pytest.mark.parametrize("count", [1, 3])
def test_a_file_gives_the_probabilities_of_its_checkpoint(write: type, count: int, tmp_path: Path) -> None:
    checkpoint = inference_checkpoint()
    probabilities = write(tmp_path / "model", traced(checkpoint), about(checkpoint.document))
    logits = ready(checkpoint).network.logits(images(count)) / checkpoint.document.temperature
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities(images(count)), expected, atol=1e-6)


@formats
@pytest.mark.parametrize("model", [pytest.param(m, id=f"{m.name}{getattr(m, 'batch_norm', '')}") for m in MODELS])
@pytest.mark.slow
def test_every_network_is_exported(write: type, model: ModelConfig, tmp_path: Path) -> None:
    checkpoint = untrained(model, 32)
    probabilities = write(tmp_path / "model", traced(checkpoint), about(checkpoint.document))
    for count in (1, 3):
        logits = ready(checkpoint).network.logits(images(count, 32)) / checkpoint.document.temperature
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(probabilities(images(count, 32)), expected, atol=1e-5)


def test_an_onnx_file_is_one_that_onnx_runtime_alone_can_use(tmp_path: Path) -> None:
    checkpoint = inference_checkpoint()
    probabilities = write_onnx(tmp_path / "model.onnx", traced(checkpoint), about(checkpoint.document, "# the card"))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [(value.name, value.type, value.shape) for value in session.get_inputs()] == [
        ("images", "tensor(uint8)", ["batch", SIZE, SIZE, 3])
    ]
    assert [(value.name, value.shape) for value in session.get_outputs()] == [
        ("probabilities", ["batch", 2]),
        ("logits", ["batch", 2]),
    ]
    texts = session.get_modelmeta().custom_metadata_map
    assert set(texts) == {"maskcls", "model_card", "sha256"}
    assert texts["model_card"] == "# the card"
    assert json.loads(texts["maskcls"])["classes"] == list(CLASSES)
    assert read_document(texts["maskcls"]) == checkpoint.document
    (found,) = session.run(["probabilities"], {"images": images(3)})
    np.testing.assert_array_equal(found, probabilities(images(3)))


def test_an_onnx_file_is_whole_valid_and_tells_nothing_of_this_machine(tmp_path: Path) -> None:
    checkpoint = inference_checkpoint()
    write_onnx(tmp_path / "model.onnx", traced(checkpoint), about(checkpoint.document))
    model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert (model.producer_name, [opset.version for opset in model.opset_import]) == ("maskcls", [18])
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["model.onnx"]
    assert b".py" not in (tmp_path / "model.onnx").read_bytes()
    assert {member.key for member in model.metadata_props} == {"maskcls", "sha256"}


def test_torch_reads_what_torch_export_wrote(tmp_path: Path) -> None:
    checkpoint = inference_checkpoint()
    probabilities = write_torch_export(tmp_path / "model.pt2", traced(checkpoint), about(checkpoint.document, "카드"))
    texts = {"maskcls": "", "model_card": ""}
    program = torch.export.load(io.BytesIO((tmp_path / "model.pt2").read_bytes()), extra_files=texts)
    assert json.loads(texts["maskcls"]) == json.loads(json.dumps(as_dictionary(checkpoint.document)))
    assert texts["model_card"] == "카드"
    with torch.inference_mode():
        found, _ = program.module()(torch.from_numpy(images(3)))
    np.testing.assert_array_equal(found, probabilities(images(3)))
