"""The keys of each network, as in ``configs/model``."""

from dataclasses import dataclass
from typing import Annotated, Literal

from maskcls.config.engine import Range
from maskcls.config.types import FractionBelowOne, ImageSize
from maskcls.errors import UserError


@dataclass(frozen=True)
class ResNet18Config:
    """torchvision's ResNet-18, which has no dropout."""

    name: Literal["resnet18"]
    default_input_size: Annotated[int, Range(32)]
    pretrained: bool


@dataclass(frozen=True)
class VGG16Config:
    """torchvision's VGG-16, with or without batch normalization."""

    name: Literal["vgg16"]
    default_input_size: Annotated[int, Range(32)]
    pretrained: bool
    dropout: FractionBelowOne
    batch_norm: bool = False  # checkpoints of older versions lack it


@dataclass(frozen=True)
class TorchvisionConfig:
    """A network of torchvision with dropout before its last layer. The names are torchvision's."""

    name: Literal["mobilenet_v3_small", "efficientnet_b0"]
    default_input_size: Annotated[int, Range(32)]
    pretrained: bool
    dropout: FractionBelowOne


@dataclass(frozen=True)
class MyCNNConfig:
    """The study's small network."""

    name: Literal["mycnn"]
    default_input_size: ImageSize
    dropout: FractionBelowOne


ModelConfig = ResNet18Config | VGG16Config | TorchvisionConfig | MyCNNConfig


def check_input_size(model: ModelConfig, size: int) -> None:
    """Check that a network takes images of a size, in pixels a side.

    Raises:
        UserError: if it does not.
    """
    if isinstance(model, MyCNNConfig) and size % 8:
        raise UserError(
            f"data.input_size={size} contradicts model=mycnn: three 2x2 poolings need a multiple of 8, "
            f"such as {max(8, round(size / 8) * 8)}"
        )
    if not isinstance(model, MyCNNConfig) and size < 32:
        raise UserError(f"data.input_size={size} contradicts model={model.name}: it needs at least 32")
