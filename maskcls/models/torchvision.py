"""torchvision's networks, with a last layer that has one output for each class.

torchvision is imported only when one is built: that takes a second, which MyCNN need not wait for.
"""

from pickle import UnpicklingError

from torch import nn

from maskcls.errors import UserError

# torch's default, for all networks: with MobileNet's own, 0.01, validation would lag hundreds of steps behind
MOMENTUM = 0.1


def build_torchvision(name: str, classes: int, *, pretrained: bool, **options: float) -> nn.Module:
    """Build a network of torchvision.

    Args:
        name: its name in torchvision.
        classes: number of outputs.
        pretrained: start from torchvision's first ImageNet weights, except for the last layer.
        options: further arguments of the network.

    Raises:
        UserError: if pretrained weights are asked for and cannot be had.
    """
    from torchvision import models

    weights = models.get_model_weights(name)["IMAGENET1K_V1"] if pretrained else None
    try:
        model: nn.Module = models.get_model(name, weights=weights, **options)
    except (OSError, EOFError, RuntimeError, UnpicklingError) as error:  # no network, or a damaged file
        if weights is None:
            raise
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"model.pretrained=true: cannot get the weights from {weights.url} ({reason}); "
            "put that file into $TORCH_HOME/hub/checkpoints, or set model.pretrained=false"
        ) from None
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = MOMENTUM
    last, layer = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
    model.set_submodule(last, nn.Linear(layer.in_features, classes))
    return model
