"""Where in an image a network saw its answer: Grad-CAM (Selvaraju et al. 2017, https://doi.org/10.1109/ICCV.2017.74).

Grad-CAM weighs each channel of the last feature map by how much it raises the score of a class, adds the channels up,
and keeps what is positive. It says which coarse regions spoke for the class: one value for each place of that map, such
as 7 x 7 for ResNet-18 at 224 pixels. It is not an outline of what the network looked at, and no proof that the network
would answer differently without it. It does not show what spoke against the class. Each map is scaled to its own
largest value, so a strong colour does not mean a certain answer, and maps of two images cannot be compared in strength.
"""

import copy
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from maskcls.data.decode import square_image
from maskcls.errors import UserError, explained
from maskcls.inference.predictor import Predictor
from maskcls.models.torch_network import TorchNetwork

# how much of the picture the strongest colour hides
STRONGEST = 0.65


class Explainer:
    """Explains the answers of a predictor. It works on a copy of the network, so the predictor stays as it is."""

    def __init__(self, predictor: Predictor) -> None:
        """Copy the network and find its last feature map.

        Raises:
            UserError: if the network is not torch's, or captum is not installed.
        """
        network = predictor.network
        if not isinstance(network, TorchNetwork):
            raise UserError(
                "explain=true: Grad-CAM needs gradients, which only the checkpoint of a training gives; give "
                "ckpt=RUN, or set explain=false"
            )
        try:
            from captum.attr import LayerGradCam
        except ImportError as error:
            raise UserError(
                f"explain=true: captum cannot be imported ({error}): pip install 'maskcls[explain]'"
            ) from error
        self._predictor, self._network = predictor, network
        forward = network.forward._replace(model=_frozen_copy(network.forward.model))
        image = torch.zeros(1, 3, predictor.input_size, predictor.input_size, dtype=torch.uint8, device=network.target)
        self._cam = LayerGradCam(forward, last_feature_map(forward.model, forward.normalize(image)))

    def heatmaps(self, images: Sequence[np.ndarray], labels: Sequence[int] | None = None) -> np.ndarray:
        """Say where each image speaks for a class.

        Args:
            images: RGB, uint8 [height, width, 3] each, of any sizes: what `Predictor.answer_images` takes.
            labels: position of the class to explain for each image; None for the class that the predictor answers,
                which is computed once more.

        Returns:
            float32 [images, input_size, input_size] over the square that the network sees. The largest value of each
            is 1; all are 0 where nothing speaks for the class.

        Raises:
            MachineError: if a batch does not fit in memory.
        """
        predictor, size = self._predictor, self._predictor.batch_size
        maps = [np.zeros((0, predictor.input_size, predictor.input_size), dtype=np.float32)]
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            classes = predictor.answer_images(batch).predicted if labels is None else labels[start : start + size]
            with explained(lambda: self._network.out_of_memory(predictor.batch_size_key, size)):
                maps.append(self._maps(batch, classes))
        return np.concatenate(maps)

    def _maps(self, images: Sequence[np.ndarray], classes: Sequence[int] | np.ndarray) -> np.ndarray:
        size = self._predictor.input_size
        squares = np.stack([square_image(image, size, self._predictor.resize) for image in images])
        inputs = torch.from_numpy(squares).to(self._network.target).permute(0, 3, 1, 2)
        targets = torch.as_tensor(np.asarray(classes), device=inputs.device)
        with self._network.forward.precision.products():  # the backward pass, too
            coarse: Tensor = self._cam.attribute(inputs, targets, relu_attributions=True)
        maps = nn.functional.interpolate(coarse.detach().float(), (size, size), mode="bilinear")[:, 0]
        largest = maps.amax((1, 2), keepdim=True)
        scaled: np.ndarray = (maps / largest.where(largest > 0, 1.0)).cpu().numpy()
        return scaled


def _frozen_copy(model: nn.Module) -> nn.Module:
    """Copy a network. The copy shares the weights, and keeps no activations of what comes before the explained part."""
    shared = {id(one): nn.Parameter(one.detach(), requires_grad=False) for one in model.parameters()}
    frozen = copy.deepcopy(model, shared)
    for module in frozen.modules():
        if hasattr(module, "inplace"):  # it would write over the map that the gradient is taken at
            module.inplace = False  # type: ignore[assignment]
    return frozen


def last_feature_map(model: nn.Module, inputs: Tensor) -> nn.Module:
    """Find the part of a network that gives its last map of features that has places.

    That is the outermost module around the last convolution: ``layer4`` of ResNet-18, ``features`` of the others. If a
    small image leaves it a single place, it is the last part before whose map has more.

    Args:
        model: a network with convolutions, in evaluation mode.
        inputs: what it takes, float32 [1, 3, height, width].
    """
    found: list[nn.Module] = []

    def remember(module: nn.Module, _inputs: object, output: Tensor) -> None:
        if output.ndim == 4 and output.shape[2:].numel() > 1:
            found.append(module)

    convolutional = [part for part in model.modules() if any(isinstance(p, nn.Conv2d) for p in part.modules())]
    hooks = [part.register_forward_hook(remember) for part in convolutional]
    try:
        with torch.no_grad():
            model(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found[-1]


def overlay(image: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """Lay a map of `Explainer.heatmaps` over the square that the network saw.

    Args:
        image: that square, RGB, uint8 [height, width, 3], or what was squeezed into it.
        heatmap: float32 [input_size, input_size], 0 to 1.

    Returns:
        RGB, uint8 [height, width, 3]: strong places are yellow and hide most of the image, weak ones leave it as it is.
    """
    strength = cv2.resize(heatmap, image.shape[1::-1])
    levels = (strength * 255).round().astype(np.uint8)
    # viridis is perceptually uniform, colour-blind people can read it, and no face has its colours
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    weight = STRONGEST * strength[..., None]
    return (image * (1 - weight) + colours * weight).round().astype(np.uint8)
