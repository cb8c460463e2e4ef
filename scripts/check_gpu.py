"""Check maskcls on a device: right results first, then speed. About ten minutes on a GPU.

    python scripts/check_gpu.py                  # the device that device=auto takes
    python scripts/check_gpu.py agreement speed --device cuda:1

It prints a table, and ends with status 1 if a result is wrong. Weights, losses and errors are compared with those of
the CPU in float32. Images are noise, brighter for one class: nothing here says anything about masks.
"""

import argparse
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from maskcls.cli.arguments import read_arguments
from maskcls.cli.composition import compose_jobs
from maskcls.config.types import PrecisionName
from maskcls.data.augment import build_augment
from maskcls.data.loaders import Batch, LabelledImages, Loader
from maskcls.data.statistics import Normalization
from maskcls.models.checkpoint import load_training
from maskcls.models.device import choose_device, use_device
from maskcls.models.normalize import Normalize
from maskcls.models.precision import DTYPES, Precision, choose_precision, hardware_for
from maskcls.run import CHECKPOINTS, LAST
from maskcls.training.batches import TrainingBatches
from maskcls.training.build import build_state
from maskcls.training.loop import NotFiniteError, step, train_one_epoch
from maskcls.training.state import TrainingState

MODELS = {"mycnn": 32, "resnet18": 64, "vgg16": 64}
OPTIMIZERS = ("sgd", "adam", "adamw")
# how far losses may be from the CPU's in float32, as a share of them
TOLERANCES: dict[PrecisionName, float] = {"float32": 1e-3, "tf32": 5e-3, "bfloat16": 0.05, "float16": 0.02}
# a multiplication and an addition count as two; forward and backward pass of an image of 224 pixels
RESNET18_FLOPS = 3 * 2 * 1.82e9
CPU = torch.device("cpu")


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        what: what was checked or measured.
        found: the figure, or what is wrong.
        is_right: None if the device cannot be checked for it, and for speeds.
    """

    what: str
    found: str
    is_right: bool | None = None


def config_of(*overrides: str) -> Any:
    """The configuration that ``maskcls-train OVERRIDES`` gives."""
    return compose_jobs("train", read_arguments(["data=synthetic", *overrides], "train"))[0].config


def state_of(device: torch.device, precision: PrecisionName, *overrides: str) -> TrainingState:
    """A new training; the same overrides give the same weights on each device."""
    torch.manual_seed(0)
    normalize = Normalize(Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))).to(device)
    chosen, generator = Precision(precision, device.type), torch.Generator(device)
    return build_state(config_of("compile=false", *overrides), 2, normalize, chosen, generator, 100)


def images_of(count: int, size: int) -> LabelledImages:
    """Noise, uint8 [count, size, size, 3], brighter if the label is 1."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count)
    images = rng.integers(0, 150, (count, size, size, 3), dtype=np.uint8)
    images[labels == 1] += 80
    return LabelledImages(images, labels.tolist())


def batch_of(count: int, size: int, device: torch.device) -> Batch:
    """Images, uint8 [count, 3, size, size] and channels last, and their labels, on a device."""
    (batch,) = Loader(images_of(count, size), count, device)
    return batch


def formats(device: torch.device) -> list[PrecisionName]:
    """The number formats that a device has."""
    return [name for name in DTYPES if hardware_for(name, device).has]


def agreement(device: torch.device) -> Iterator[Row]:
    """Losses of three steps against the CPU's in float32, for each model, optimizer and number format."""
    for model, size in MODELS.items():
        for precision in formats(device):
            worst = 0.0
            for optimizer in OPTIMIZERS:
                overrides = (f"model={model}", f"optim={optimizer}", "optim.lr=0.0001", f"data.input_size={size}",
                             "model.dropout=0" if model != "resnet18" else "optim.clip_norm=1")  # fmt: skip
                losses = []
                reference: tuple[torch.device, PrecisionName] = (CPU, "float32")
                for place, name in (reference, (device, precision)):
                    state = state_of(place, name, *overrides)
                    state.model.train()
                    losses.append([step(state, *batch_of(16, size, place)).loss.item() for _ in range(3)])
                worst = max(worst, max(abs(b / a - 1) for a, b in zip(*losses, strict=True)))
            yield Row(f"{model}, {precision}: losses against the CPU's", f"{worst:.1e}", worst <= TOLERANCES[precision])


def augmentations(device: torch.device) -> Iterator[Row]:
    """Random changes: values from 0 to 1 whose mean is the CPU's. The numbers that are drawn are the device's own."""
    for name in ("flip", "light", "robust"):
        means = []
        for place in (CPU, device):
            images, _ = batch_of(64, 64, place)
            augment = build_augment(config_of(f"augment={name}").augment, torch.Generator(place))
            assert augment is not None
            changed = augment(images).float() / (255 if name == "flip" else 1)
            means.append(float(changed.mean()) if changed.min() >= 0 and changed.max() <= 1 else math.nan)
        yield Row(f"augment={name}: means", f"{means[0]:.3f}, {means[1]:.3f}", abs(means[0] - means[1]) < 0.05)


def overflow(device: torch.device) -> Iterator[Row]:
    """A gradient that overflows in float16 in the first step: nothing moves until the scale has fallen."""
    if device.type == "mps":
        yield Row("float16: overflow in the first step", "torch's scaler is for CUDA and the CPU")
        return
    state = state_of(device, "float16", "model=mycnn", "data.input_size=32", "optim.lr=0.001", "optim.momentum=0.9")
    images, labels = batch_of(16, 32, device)
    plain, state.loss_function = state.loss_function, lambda logits, labels: 1e4 * plain(logits, labels)
    before = torch.cat([parameter.detach().flatten() for parameter in state.model.parameters()])
    step(state, images, labels)
    after = torch.cat([parameter.detach().flatten() for parameter in state.model.parameters()])
    state.loss_function = plain
    losses = [step(state, images, labels).loss.item() for _ in range(30)]
    is_right = torch.equal(before, after) and math.isfinite(losses[-1]) and losses[-1] < losses[0]
    yield Row("float16: overflow in the first step", f"loss {losses[0]:.3f} to {losses[-1]:.3f}", is_right)


def waits(device: torch.device) -> Iterator[Row]:
    """A step must not wait for the device: CUDA says so."""
    if device.type != "cuda":
        yield Row("a step does not wait for the device", "only CUDA tells")
        return
    for precision in formats(device):
        for optimizer in OPTIMIZERS:
            overrides = ("model=mycnn", "augment=light", "ema_decay=0.9", "optim.clip_norm=1", "data.input_size=32")
            state, batch = state_of(device, precision, *overrides, f"optim={optimizer}"), batch_of(16, 32, device)
            step(state, *batch)
            torch.cuda.set_sync_debug_mode("error")
            try:
                step(state, *batch)
                found = "no wait"
            except RuntimeError as error:
                found = str(error).splitlines()[0]
            finally:
                torch.cuda.set_sync_debug_mode("default")
            yield Row(f"a step does not wait for the device: {precision}, {optimizer}", found, found == "no wait")


def bad_batch(device: torch.device) -> Iterator[Row]:
    """A batch that is not finite ends the training, is named, and leaves the weights finite."""
    state = state_of(device, "float32", "model=mycnn", "data.input_size=32")
    order, changes = torch.Generator(), torch.Generator(device)
    loader = Loader(images_of(160, 32), 16, device, shuffle=order)
    batches = TrainingBatches(loader, order, changes, 0, [str(number) for number in range(160)])
    transform = state.transform
    state.transform = lambda images: transform(images) * (math.nan if state.progress.step == 4 else 1.0)
    found = "not noticed"
    try:
        train_one_epoch(state, batches)
    except NotFiniteError as error:
        found = f"batch {error.batch}"
    is_finite = all(bool(torch.isfinite(parameter).all()) for parameter in state.model.parameters())
    yield Row("the fifth batch is not finite", found, found == "batch 5" and is_finite and not bool(state.is_sound))


def train(run: Path, device: torch.device, *overrides: str, kill: bool = False) -> str:
    """Run maskcls-train in a process of its own; ``kill`` it when its first checkpoint is there. Return its output."""
    command = [sys.executable, "-m", "maskcls", "train", f"device={device}", *overrides]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while kill and process.poll() is None and not (run / CHECKPOINTS / LAST).exists():
            time.sleep(0.01)
        if kill:
            os.kill(process.pid, signal.SIGKILL)
        output = process.communicate()[0]
    return "" if kill or process.returncode == 0 else f"status {process.returncode}: {output[-300:]}"


def resuming(device: torch.device) -> Iterator[Row]:
    """A killed training that is resumed gives the same bits; a checkpoint goes from device to device."""
    with tempfile.TemporaryDirectory() as folder:
        whole, killed, moved = (Path(folder) / name for name in ("whole", "killed", "moved"))
        settings = ("data=synthetic", "model=mycnn", "augment=light", "epochs=3", "deterministic=true", "plots=false",
                    "test=none", f"data.cache_dir={folder}", "checkpoint.every=5steps")  # fmt: skip
        wrong = train(whole, device, *settings, f"hydra.run.dir={whole}")
        train(killed, device, *settings, f"hydra.run.dir={killed}", kill=True)
        wrong = wrong or train(killed, device, f"resume={killed}")
        found = wrong or ("the same bits" if weights_of(whole) == weights_of(killed) else "other weights")
        yield Row("killed and resumed", found, found == "the same bits")
        wrong = train(moved, device, *settings[:3], *settings[4:], "epochs=1", f"hydra.run.dir={moved}")
        for number, place in enumerate((CPU, device), 2):
            wrong = wrong or train(moved, place, f"resume={moved}", f"epochs={number}")
        yield Row("a checkpoint moved to the CPU and back", wrong or "resumed", not wrong)


def weights_of(run: Path) -> dict[str, bytes]:
    """The bytes of the weights in a run's last checkpoint."""
    weights = load_training(run / CHECKPOINTS / LAST).weights
    return {name: value.contiguous().numpy().tobytes() for name, value in weights.items()}


def seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """The least time that some work takes, of several tries, after a first one."""
    best = math.inf
    for number in range(repeats + 1):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if number:
            best = min(best, time.perf_counter() - started)
    return best


def speed(device: torch.device) -> Iterator[Row]:
    """Images a second, against what a large matrix product gives in the same format; and what surrounds a step."""
    precision = choose_precision("auto", device)[0].name
    side, repeats = (8192, 10) if device.type == "cuda" else (1024, 2)
    factor = torch.rand(side, side, device=device).to(DTYPES[precision])
    peak = 2 * side**3 / seconds(lambda: factor @ factor, device, repeats)
    yield Row(f"matrix product, {precision}", f"{peak / 1e12:.2f} TFLOP/s")
    size, count = (224, 64) if device.type == "cuda" else (64, 16)
    for compiled in (False, True) if device.type == "cuda" else (False,):
        state = state_of(device, precision, "model=resnet18", f"data.input_size={size}")
        if compiled:
            state.forward = torch.compile(state.model, dynamic=False, mode="max-autotune")
        batch = batch_of(count, size, device)
        rate = count / seconds(lambda state=state, batch=batch: step(state, *batch), device, repeats)  # type: ignore[misc]
        share = rate * RESNET18_FLOPS * (size / 224) ** 2 / peak
        name = f"ResNet-18, {size} pixels, batches of {count}, {'compiled' if compiled else 'eager'}"
        yield Row(name, f"{rate:,.0f} images/s, {share:.0%} of the matrix product")
    small = state_of(device, precision, "model=mycnn", "data.input_size=32")
    batch = batch_of(32, 32, device)
    milliseconds = 1000 * seconds(lambda: step(small, *batch), device, repeats)
    yield Row("MyCNN, 32 pixels, batches of 32", f"{milliseconds:.2f} ms a step")
    for resident in (False, True):
        loader = Loader(images_of(512, size), 32, device, resident=resident)
        rate = 512 / seconds(lambda loader=loader: [*loader], device, 3)  # type: ignore[misc]
        yield Row(f"batches, {'resident' if resident else 'copied from the host'}", f"{rate:,.0f} images/s")


CHECKS: dict[str, Callable[[torch.device], Iterator[Row]]] = {
    "agreement": agreement,
    "augmentations": augmentations,
    "overflow": overflow,
    "waits": waits,
    "bad_batch": bad_batch,
    "resuming": resuming,
    "speed": speed,
}


def main() -> int:
    """Print the table; return 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", help=f"any of {', '.join(CHECKS)}; default: all")
    parser.add_argument("--device", default="auto", help="as the key device")
    options = parser.parse_args()
    if unknown := set(options.checks) - set(CHECKS):
        parser.error(f"no check {', '.join(sorted(unknown))}; expected any of {', '.join(CHECKS)}")
    device = choose_device(options.device)
    use_device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    print(f"{name}, torch {torch.__version__}\n\n| what | found | |\n| --- | --- | --- |", flush=True)
    is_right = True
    for check in options.checks or CHECKS:
        for row in CHECKS[check](device):
            verdict = {None: "", True: "right", False: "WRONG"}[row.is_right]
            print(f"| {row.what} | {row.found} | {verdict} |", flush=True)
            is_right &= row.is_right is not False
    return int(not is_right)


if __name__ == "__main__":
    sys.exit(main())
