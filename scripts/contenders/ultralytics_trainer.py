"""The same with Ultralytics' trainer of classifiers, its images cached in memory.

Augmentations, plots, telemetry and automatic installation are switched off. The network is one of its YAML files. Some
things cannot be switched off: Nesterov momentum, the moving average of the weights, the clipping of gradients, a
checkpoint after each epoch, and an evaluation of the best checkpoint at the end. Only the time of the whole process
includes that evaluation. Its bfloat16 needs CUDA; on a CPU it trains in float32.
"""

import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contenders.common import DEVICE, LEARNING_RATE, MOMENTUM, Epoch, parse_arguments, report

THREADS = torch.get_num_threads()


def main() -> None:
    """Train, and report the speed."""
    args = parse_arguments(__doc__)
    with TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.update(YOLO_CONFIG_DIR=name, YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false")
        data = folder / "data"
        data.mkdir()
        (data / "train").symlink_to(Path(args.data, "Train").absolute())
        (data / "val").symlink_to(Path(args.data, "Validation").absolute())
        network = folder / f"{args.model}.yaml"
        network.write_text(json.dumps({"nc": 2, "backbone": layers(args.model, args.size), "head": []}))
        precision = args.precision if DEVICE.type == "cuda" else "float32"
        trainer = train(
            model=str(network),
            data=str(data),
            project=name,
            imgsz=args.size,
            batch=args.batch,
            epochs=args.epochs,
            workers=args.workers,
            optimizer={"sgd": "SGD", "adam": "Adam"}[args.optim],
            amp="bf16" if precision == "bfloat16" else False,
        )
        report(
            precision,
            len(trainer.train_loader.dataset),
            len(trainer.test_loader.dataset),
            trainer.timed_epochs,
            trainer.preparation_seconds,
        )


def layers(model: str, size: int) -> list[list[Any]]:
    """The network in the notation of Ultralytics: input layer, repeats, module and arguments of each layer."""
    if model == "resnet18":  # torchvision's, without weights, all but its last layer
        modules = [("TorchVision", [512, model, None, True, 1]), ("nn.Flatten", []), ("nn.Linear", [512, 2])]
    else:
        features = [
            layer
            for channels in (3, 32, 32)
            for layer in (("nn.Conv2d", [channels, 32, 3, 1, 1]), ("nn.ReLU", []), ("nn.MaxPool2d", [2]))
        ]
        classifier = [("nn.Flatten", []), ("nn.Dropout", [0.5]), ("nn.Linear", [32 * (size // 8) ** 2, 2])]
        modules = features + classifier
    return [[-1, 1, module, arguments] for module, arguments in modules]


def settings(batch: int, epochs: int) -> dict[str, Any]:
    """The settings that make it train as the others do."""
    return {
        "device": "cpu" if DEVICE.type == "cpu" else "0",
        "pretrained": False,
        "cache": "ram",
        "lr0": LEARNING_RATE,
        "lrf": 1.0,
        "momentum": MOMENTUM,
        "weight_decay": 0.0,
        "warmup_epochs": 0,
        "nbs": batch,
        "patience": epochs,
        "deterministic": False,
        "plots": False,
        "auto_augment": None,
        **dict.fromkeys(("scale", "fliplr", "erasing", "hsv_h", "hsv_s", "hsv_v"), 0.0),
    }


def train(**overrides: Any) -> Any:
    """Train, and return the trainer, which has ``timed_epochs`` and ``preparation_seconds``."""
    # here, because it reads the environment when it is imported
    from ultralytics.models.yolo.classify import ClassificationTrainer

    class TimedTrainer(ClassificationTrainer):
        """Measures the caching of images, and the training and evaluation of each epoch."""

        timed_epochs: list[Epoch]
        preparation_seconds = 0.0

        def get_dataloader(self, *args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            loader = super().get_dataloader(*args, **kwargs)
            self.preparation_seconds += time.perf_counter() - start
            return loader

        def validate(self) -> tuple[Any, Any]:
            trained = time.perf_counter()
            metrics, fitness = super().validate()
            accuracy = float(metrics["metrics/accuracy_top1"])
            self.timed_epochs.append(Epoch(trained - self.start, time.perf_counter() - trained, accuracy))
            return metrics, fitness

    def start_epoch(trainer: TimedTrainer) -> None:
        trainer.start = time.perf_counter()

    trainer = TimedTrainer(overrides=overrides | settings(overrides["batch"], overrides["epochs"]))
    torch.set_num_threads(THREADS)  # it leaves a core idle
    trainer.timed_epochs = []
    trainer.add_callback("on_train_epoch_start", start_epoch)
    trainer.train()
    return trainer


if __name__ == "__main__":
    main()
