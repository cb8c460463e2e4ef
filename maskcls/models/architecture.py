"""From a model's configuration to its network."""

from typing import assert_never

import torch
from torch import nn

from maskcls.config import ModelConfig, MyCNNConfig, ResNet18Config, TorchvisionConfig, VGG16Config
from maskcls.models.mycnn import MyCNN
from maskcls.models.torchvision import build_torchvision


def build_model(config: ModelConfig, classes: int, input_size: int, *, pretrained: bool) -> nn.Module:
    """Build the network that ``config`` describes. A file can name a network of maskcls and nothing else.

    Args:
        config: architecture of the network.
        classes: number of outputs.
        input_size: pixels a side of the images.
        pretrained: start from pretrained weights if ``config`` says so; otherwise from random ones.

    Returns:
        A module from float32 [batch, 3, input_size, input_size] to logits, float32 [batch, classes].

    Raises:
        UserError: if pretrained weights are asked for and cannot be had.
    """
    match config:
        case ResNet18Config():
            return build_torchvision(config.name, classes, pretrained=pretrained and config.pretrained)
        case VGG16Config():
            name = "vgg16_bn" if config.batch_norm else config.name
            is_pretrained = pretrained and config.pretrained
            return build_torchvision(name, classes, pretrained=is_pretrained, dropout=config.dropout)
        case TorchvisionConfig():
            is_pretrained = pretrained and config.pretrained
            return build_torchvision(config.name, classes, pretrained=is_pretrained, dropout=config.dropout)
        case MyCNNConfig():
            return MyCNN(classes, input_size, config.dropout)
        case _:
            assert_never(config)


def build_on_meta(config: ModelConfig, classes: int, input_size: int) -> nn.Module:
    """Build the same network as `build_model`, on torch's meta device: it has shapes, but no values and no memory."""
    with torch.device("meta"):
        return build_model(config, classes, input_size, pretrained=False)
