"""A faster weight gradient for convolutions whose output is small, in bfloat16 on the CPU.

Where an output has few pixels, oneDNN's gradient of the weights takes longer than all the rest of the layer. As one
matrix product it takes a quarter to a half of that time. A step of ResNet-18 takes 1.2 times as long without it at 48
and 64 pixels, 1.4 times at 32. For larger outputs, and in float32, oneDNN is faster.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

# pixels of an output up to which the matrix product is faster; measured with 128 to 512 channels, batches of 32 to 128
LARGEST_MAP = 9


class SmallMapConvolution(nn.Conv2d):
    """A convolution like any other, except that the gradient of its weights is a matrix product if its output is small.

    It computes in the format of autocast.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Map [batch, channels, height, width] to [batch, filters, rows, columns]."""
        if not torch.is_grad_enabled() or self._pixels(images) > LARGEST_MAP:
            return super().forward(images)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else images.dtype
        tensors = [None if tensor is None else tensor.to(dtype) for tensor in (images, self.weight, self.bias)]
        result: Tensor = _Convolution.apply(*tensors, self.stride, self.padding)
        return result

    def _pixels(self, images: Tensor) -> int:
        """Number of pixels of the output."""
        (down, across), (height, width) = cast("tuple[int, int]", self.padding), images.shape[2:]
        rows = (height + 2 * down - self.kernel_size[0]) // self.stride[0] + 1
        columns = (width + 2 * across - self.kernel_size[1]) // self.stride[1] + 1
        return rows * columns


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(images, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        wants_images, _, wants_bias = ctx.needs_input_grad[:3]
        wanted = [wants_images, False, wants_bias]
        sizes = [len(weight)] if wants_bias else None
        by_images, _, by_bias = torch.ops.aten.convolution_backward(
            gradient, images, weight, sizes, ctx.stride, ctx.padding, (1, 1), transposed=False, output_padding=(0, 0),
            groups=1, output_mask=wanted,
        )  # fmt: skip
        by_weight = weight_gradient(gradient, images, weight.shape[2:], ctx.stride, ctx.padding)
        return by_images, by_weight, by_bias, None, None


def weight_gradient(
    gradient: Tensor, images: Tensor, kernel: torch.Size, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """The gradient of a convolution's weights as one matrix product.

    Args:
        gradient: that of the output, [batch, filters, rows, columns].
        images: the input, [batch, channels, height, width]; of the same type.
        kernel: height and width of the kernel.
        stride, padding: of the convolution, down and across.

    Returns:
        [filters, channels, *kernel], of the same type, channels last in memory.
    """
    (down, across), (height, width) = padding, kernel
    padded = functional.pad(images.permute(0, 2, 3, 1), (0, 0, across, across, down, down))
    # [batch, rows, columns, height, width, channels]
    patches = padded.unfold(1, height, stride[0]).unfold(2, width, stride[1]).permute(0, 1, 2, 4, 5, 3)
    filters, channels = gradient.shape[1], images.shape[1]
    flat = gradient.permute(0, 2, 3, 1).reshape(-1, filters).t() @ patches.reshape(-1, height * width * channels)
    return flat.view(filters, height, width, channels).permute(0, 3, 1, 2)


def use_matrix_products(model: nn.Module) -> None:
    """Make a model's convolutions those of this module, where they can be. Parameters and their names stay."""
    for module in model.modules():
        is_plain = type(module) is nn.Conv2d and module.groups == 1 and module.dilation == (1, 1)
        if is_plain and module.padding_mode == "zeros" and not isinstance(module.padding, str):
            module.__class__ = SmallMapConvolution
