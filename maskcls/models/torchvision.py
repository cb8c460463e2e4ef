"""torchvision's networks, with a last layer that has one output for each class.

torchvision is imported only when one is built: that takes a second, which MyCNN need not wait for.
"""

from collections.abc import Callable
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from torch import nn

from maskcls.errors import UserError

if TYPE_CHECKING:
    from torchvision import models


def build_resnet18(classes: int, *, pretrained: bool) -> nn.Module:
    """ResNet-18; ``pretrained`` starts from torchvision's ImageNet weights."""
    from torchvision import models

    model = _build(models.resnet18, models.ResNet18_Weights.IMAGENET1K_V1 if pretrained else None)
    model.fc = nn.Linear(model.fc.in_features, classes)
    return model


def build_vgg16(classes: int, dropout: float, *, pretrained: bool) -> nn.Module:
    """VGG-16 without batch normalization; ``pretrained`` starts from torchvision's ImageNet weights."""
    from torchvision import models

    model = _build(models.vgg16, models.VGG16_Weights.IMAGENET1K_V1 if pretrained else None, dropout=dropout)
    model.classifier[-1] = nn.Linear(model.classifier[-1].in_features, classes)
    return model


def _build(factory: Callable[..., Any], weights: "models.WeightsEnum | None", **options: Any) -> Any:
    try:
        return factory(weights=weights, **options)
    except (OSError, EOFError, RuntimeError, UnpicklingError) as error:  # no network, or a damaged file
        if weights is None:
            raise
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"model.pretrained=true: cannot get the weights from {weights.url} ({reason}); "
            "put that file into $TORCH_HOME/hub/checkpoints, or set model.pretrained=false"
        ) from None
