"""From the file of a trained network to the back end that runs it, whose libraries are imported here and not before."""

from pathlib import Path

from maskcls.config.types import PrecisionChoice, Threads
from maskcls.models.network import TrainedNetwork
from maskcls.run import ONNX_SUFFIX, find_checkpoint


def open_network(
    path: Path,
    *,
    device: str = "auto",
    precision: PrecisionChoice | None = None,
    threads: Threads | None = None,
) -> TrainedNetwork:
    """Open a trained network.

    Args:
        path: as `find_checkpoint` takes it; the suffix .onnx says that it is an exported network.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto, float32, tf32, bfloat16 or float16; None for the precision of the training, or float32 where
            the device would have to emulate that one, which a warning says.
        threads: CPU threads that compute; auto for as many as the process may use. With a number or auto, PyTorch is
            set up for the whole process, as `prepare_cpu` and `use_device` do it; None leaves it as it is.
            ONNX Runtime takes None for auto.

    Raises:
        UserError: if the file is missing, damaged or of another version of maskcls, or the device is missing
            or cannot be used.
    """
    path = find_checkpoint(path)
    if path.suffix.lower() == ONNX_SUFFIX:
        from maskcls.models.onnx_network import open_onnx

        return open_onnx(path, device=device, precision=precision, threads=threads)
    from maskcls.models.torch_network import open_checkpoint

    return open_checkpoint(path, device=device, precision=precision, threads=threads)
