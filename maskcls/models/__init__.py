"""The networks that a configuration can name, their checkpoints, and the number formats that they run in."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from maskcls.models.mycnn import MyCNN
from maskcls.models.torchvision import build_resnet18, build_vgg16


def build_model(config: Mapping[str, Any], classes: int, input_size: int) -> nn.Module:
    """Build the network that ``config`` describes.

    Args:
        config: the ``model`` group as plain values, from a configuration or a checkpoint; ``config["name"]`` is looked
            up here, so that a file can name a network of maskcls and nothing else.
        classes: number of outputs.
        input_size: pixels a side of the images.

    Returns:
        A module from float32 [batch, 3, input_size, input_size] to logits, float32 [batch, classes].

    Raises:
        UserError: where pretrained weights are asked for and cannot be had.
    """
    match config["name"]:
        case "resnet18":
            return build_resnet18(classes, config["pretrained"])
        case "vgg16":
            return build_vgg16(classes, config["pretrained"], config["dropout"])
        case "mycnn":
            return MyCNN(classes, input_size, config["dropout"])
        case name:
            raise ValueError(f"no model named {name!r}")
