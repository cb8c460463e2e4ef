"""Exported networks in whole numbers of 8 bits, which are smaller and faster, and what that costs in accuracy."""

import contextlib
import io
import logging
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from maskcls.cores import usable_cores
from maskcls.export.sample import Sample, batches_of
from maskcls.inference.predictor import Predictor
from maskcls.models.network import TrainedNetwork
from maskcls.models.onnx_file import DIGEST, INPUT, PRECISION, read_sealed, write_sealed
from maskcls.models.onnx_network import OnnxNetwork, read_network

# images on which the range of each layer's output is measured, and how many of them at a time
CALIBRATION, AT_A_TIME = 128, 8
# layers that are computed in 8 bits: all the work is in these
OPERATORS = ["Conv", "Gemm", "MatMul"]
# batch sizes that are timed, and how often
BATCHES, REPEATS = (1, 32), 15


class Figures(NamedTuple):
    """How good, how large and how fast a file is.

    Attributes:
        accuracy: share of the images that are predicted right, 0..1.
        bytes: size of the file.
        milliseconds: time for an image, for each batch size of `BATCHES`.
    """

    accuracy: float
    bytes: int
    milliseconds: tuple[float, ...]


class Comparison(NamedTuple):
    """A file in float32 and the same in int8, on the same images.

    Attributes:
        images: number of images.
        float32: figures of the one.
        int8: figures of the other.
        difference: largest difference in a probability.
        decisions: images that are predicted otherwise.
    """

    images: int
    float32: Figures
    int8: Figures
    difference: float
    decisions: int


class _Reader:
    """Gives images to ONNX Runtime, which asks for them part by part, so that not all outputs are in memory at once."""

    def __init__(self, images: np.ndarray) -> None:
        self.parts = [{INPUT: images[start : start + AT_A_TIME]} for start in range(0, len(images), AT_A_TIME)]
        self.remaining = iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Give the parts at these positions next."""
        self.remaining = iter(self.parts[start_index:end_index])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next part, None at the end."""
        return next(self.remaining, None)


def write_int8(path: Path, source: Path, images: np.ndarray) -> None:
    """Write an exported network in whole numbers of 8 bits: static quantization, with a scale for each channel.

    Args:
        path: the file to write.
        source: the file in float32.
        images: uint8 [images, size, size, 3], of which `CALIBRATION` at equal distances are used.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    chosen = np.unique(np.linspace(0, len(images) - 1, CALIBRATION).round().astype(int))
    with TemporaryDirectory(dir=path.parent, prefix=".") as folder, _without_advice():
        quantized = Path(folder) / "quantized.onnx"
        quantize_static(
            source,
            quantized,
            _Reader(images[chosen]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            per_channel=True,
            activation_type=QuantType.QUInt8,  # three times as fast as with signs, on x86
            # one odd pixel must not widen the range of all
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibStridedMinMax": 1},
        )
        model = onnx.load(quantized)
    texts = {member.key: member.value for member in onnx.load_from_string(read_sealed(source)).metadata_props}
    del model.metadata_props[:]
    for name, text in (texts | {PRECISION: "int8"}).items():
        if name != DIGEST:
            model.metadata_props.add(key=name, value=text)
    write_sealed(path, model.SerializeToString())


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Keep ONNX Runtime from printing its progress, and from advising a step that these graphs do not need."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def compare_precisions(float32: Path, int8: Path, sample: Sample, batch_size: int) -> Comparison:
    """Measure two files of one network, in turn.

    Args:
        float32: the one.
        int8: the other.
        sample: images with their classes; at least one.
        batch_size: images at a time, for the accuracy.
    """
    networks = [read_network(path, "cpu", usable_cores()) for path in (float32, int8)]
    answers = [
        Predictor.of(TrainedNetwork(path, network.document, network, ""), batch_size).answer(
            batches_of(sample.images, batch_size)
        )
        for path, network in zip((float32, int8), networks, strict=True)
    ]
    times = _milliseconds(networks, sample.images)
    figures = [
        Figures(float((answer.predicted == sample.labels).mean()), path.stat().st_size, taken)
        for path, answer, taken in zip((float32, int8), answers, times, strict=True)
    ]
    difference = np.abs(answers[0].probabilities - answers[1].probabilities).max()
    decisions = (answers[0].predicted != answers[1].predicted).sum()
    return Comparison(len(sample.images), figures[0], figures[1], float(difference), int(decisions))


def _milliseconds(networks: Sequence[OnnxNetwork], images: np.ndarray) -> list[tuple[float, ...]]:
    """The median time for an image, for each batch size. The networks take turns, so that a busy machine is fair."""
    medians = []
    for size in BATCHES:
        batch = images[np.arange(size) % len(images)]
        taken: list[list[float]] = [[] for _ in networks]
        for _ in range(REPEATS):
            for network, seconds in zip(networks, taken, strict=True):
                start = time.perf_counter()
                network.logits(batch)
                seconds.append(time.perf_counter() - start)
        medians.append([round(1000 * statistics.median(seconds) / size, 3) for seconds in taken])
    return list(zip(*medians, strict=True))
