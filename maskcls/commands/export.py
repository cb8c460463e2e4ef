"""The export command: a checkpoint's network as a file that other programs run, if it gives the same answers there."""

import dataclasses
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskcls.config import ExportConfig
from maskcls.errors import UserError
from maskcls.export.formats import About, write_onnx, write_torch_export
from maskcls.export.graph import Exported
from maskcls.export.parity import TOLERANCE, compare
from maskcls.export.quantization import BATCHES, compare_precisions, write_int8
from maskcls.export.sample import noise_images, validation_images
from maskcls.files import replaced_atomically
from maskcls.inference.predictor import Predictor
from maskcls.models.checkpoint import load_checkpoint
from maskcls.models.cpu import prepare_cpu
from maskcls.models.document import Document
from maskcls.models.network import TrainedNetwork
from maskcls.models.precision import Precision
from maskcls.models.torch_network import restore_network
from maskcls.reporting.model_card import read_model_card
from maskcls.reporting.text import aligned
from maskcls.run import EXPORTED, ONNX_SUFFIX, Run, find_checkpoint
from maskcls.wording import counted, named

log = logging.getLogger(__name__)

FILES = {"onnx": EXPORTED, "torch_export": "model.pt2"}
INT8 = f"model_int8{ONNX_SUFFIX}"
# images of noise that a file is compared on
NOISE = 16
# images on which a file in int8 is measured, at most
MEASURED = 1000


def export(config: ExportConfig, run: Run) -> None:
    """Export a checkpoint as configured; the files are written into the run's directory.

    Raises:
        UserError: if the checkpoint is not what the configuration says, or a package is missing.
        MachineError: if the file's answers are not the checkpoint's. Then no file is written.
    """
    if config.format == "onnx":
        _require_packages()
    checkpoint = load_checkpoint(config.ckpt)
    document = dataclasses.replace(checkpoint.document, training=None)
    classes = ", ".join(map(named, document.classes))
    log.info("checkpoint %s, epoch %d, classes %s", checkpoint.path, document.progress.epoch, classes)
    if document.precision != "float32":
        log.info("it was trained in %s; the exported file computes in float32", document.precision)
    samples = _samples(document, config)
    prepare_cpu(config.threads)
    network = restore_network(checkpoint, Precision("float32", "cpu"), torch.device("cpu"))
    about = About(document, read_model_card(find_checkpoint(config.ckpt)) or "")
    path = run.directory / FILES[config.format]
    write = write_onnx if config.format == "onnx" else write_torch_export
    with replaced_atomically(path) as temporary:
        with run.phase("export"):
            probabilities = write(temporary, Exported(network).eval(), about)
        predictor = Predictor.of(TrainedNetwork(config.ckpt, document, network, ""))
        with run.phase("compare"):
            parity = {name: compare(predictor, probabilities, images) for name, images in samples.items()}
        for name, found in parity.items():
            of = f"{name}, {counted(found.images, 'image')}"
            log.info("%s: probabilities differ by at most %.1e (%g is allowed)", of, found.difference, TOLERANCE)
            found.require(path.name)
    run.record["export"] = {
        "checkpoint": str(checkpoint.path),
        "file": path.name,
        "bytes": path.stat().st_size,
        "parity": {name: found._asdict() for name, found in parity.items()},
    }
    if config.int8:
        with run.phase("int8"):
            run.record["export"]["int8"] = _export_int8(path, document, predictor.batch_size)
    size = document.input_size
    log.info("it takes images, uint8 [batch, %d, %d, 3]; everything is in %s", size, size, run.directory)


def _samples(document: Document, config: ExportConfig) -> dict[str, np.ndarray]:
    """The images that a file is compared on, by what they are.

    Raises:
        UserError: if there are no validation images, which int8 needs.
    """
    images = {"noise": noise_images(document.input_size, NOISE)}
    validation = validation_images(document, config.images).images
    if len(validation):
        return {"validation": validation, **images}
    gone = "the files of the training are gone, or have changed"
    if config.int8:
        raise UserError(f"int8=true needs the validation images of the training: {gone}")
    log.warning("%s: the file is compared on noise alone", gone)
    return images


def _export_int8(source: Path, document: Document, batch_size: int) -> dict[str, Any]:
    """Write a file in int8 beside the one in float32; show and return what that gains and costs."""
    sample, path = validation_images(document, MEASURED), source.with_name(INT8)
    with replaced_atomically(path) as temporary:
        write_int8(temporary, source, sample.images)
        found = compare_precisions(source, temporary, sample, batch_size)
    figures = {"float32": found.float32, "int8": found.int8}
    heading = ("", "accuracy", "size", *(f"an image, {size} at a time" for size in BATCHES))
    rows = [
        (name, f"{one.accuracy:.2%}", f"{one.bytes / 1e6:.1f} MB", *(f"{taken:.2f} ms" for taken in one.milliseconds))
        for name, one in figures.items()
    ]
    log.info("on %s of the validation split:", counted(found.images, "image"))
    for line in aligned([heading, *rows]):
        log.info("%s", line)
    log.info("%s predicted otherwise by int8", counted(found.decisions, "image"))
    return {"file": path.name, **found._asdict(), **{name: one._asdict() for name, one in figures.items()}}


def _require_packages() -> None:
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]:
        raise UserError(f"format=onnx needs {' and '.join(missing)}: pip install 'maskcls[export]'")
