"""What all contenders have: the same arguments and networks, and a line of JSON that each prints last."""

import json
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torchvision.models import resnet18

MEAN, STD = (0.5685, 0.4648, 0.4162), (0.2430, 0.2229, 0.2187)
LEARNING_RATE, MOMENTUM = 0.01, 0.9
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass
class Epoch:
    """How long an epoch's training and evaluation took, and the validation accuracy after it."""

    train_seconds: float
    eval_seconds: float
    val_accuracy: float


def parse_arguments(description: str | None) -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=description)
    parser.add_argument("--data", required=True, help="folder that holds Train and Validation, each with class folders")
    parser.add_argument("--model", choices=["resnet18", "mycnn"], default="resnet18")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--optim", choices=["sgd", "adam"], default="sgd")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="loader processes")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    return parser.parse_args()


def build_model(name: str, size: int) -> nn.Module:
    """The network of that name, with new weights, for two classes."""
    return resnet18(num_classes=2) if name == "resnet18" else mycnn(size)


def build_optimizer(name: str, model: nn.Module) -> torch.optim.Optimizer:
    """SGD with momentum or Adam, in torch's default form."""
    if name == "adam":
        return torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    return torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)


def mycnn(size: int) -> nn.Sequential:
    """The study's small network, in the study's order of layers, for images of ``size`` pixels a side."""
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(32 * (size // 8) ** 2, 2)),
    )


def summarize(
    precision: str, train_images: int, val_images: int, epochs: list[Epoch], preparation_seconds: float = 0.0
) -> dict[str, Any]:
    """The result of a contender. Each list in it has an item for each epoch.

    Args:
        precision: number format of the computation.
        train_images: how many images an epoch trained on.
        val_images: how many images an epoch was evaluated on.
        epochs: what was measured.
        preparation_seconds: time for reading all images once, before the first epoch.
    """
    return {
        "precision": precision,
        "train_images": train_images,
        "val_images": val_images,
        "preparation_seconds": preparation_seconds,
        "train_seconds": [epoch.train_seconds for epoch in epochs],
        "eval_seconds": [epoch.eval_seconds for epoch in epochs],
        "train_images_per_second": [train_images / epoch.train_seconds for epoch in epochs],
        "eval_images_per_second": [val_images / epoch.eval_seconds for epoch in epochs],
        "val_accuracy": [epoch.val_accuracy for epoch in epochs],
    }


def report(*args: Any) -> None:
    """Print the result of `summarize`, which takes the same arguments, as a line of JSON."""
    print(json.dumps(summarize(*args)), flush=True)
