"""MyCNN, the study's own small network."""

from torch import Tensor, nn

CHANNELS = 32


class MyCNN(nn.Module):
    """Three blocks of 3x3 convolution, ReLU and 2x2 max-pooling; then dropout and one linear layer.

    Args:
        classes: number of outputs.
        input_size: pixels a side, a multiple of 8; 32 in the study.
        dropout: share of the linear layer's inputs that are dropped in training.
    """

    def __init__(self, classes: int, input_size: int, dropout: float) -> None:
        super().__init__()
        self.features = nn.Sequential(*_block(3), *_block(CHANNELS), *_block(CHANNELS))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(CHANNELS * (input_size // 8) ** 2, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map float [batch, 3, input_size, input_size] to logits [batch, classes]."""
        logits: Tensor = self.classifier(self.dropout(self.features(images).flatten(1)))
        return logits


def _block(in_channels: int) -> list[nn.Module]:
    # pooling before the ReLU gives the same outputs and gradients as the study's order, for a quarter of the work
    return [nn.Conv2d(in_channels, CHANNELS, kernel_size=3, padding=1), nn.MaxPool2d(2), nn.ReLU(inplace=True)]
