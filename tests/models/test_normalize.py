"""The normalisation of a network's input, against the formula in NumPy."""

import numpy as np
import pytest
import torch

from maskcls.data.statistics import IMAGENET, STUDY, Normalization
from maskcls.models.normalize import Normalize


@pytest.mark.parametrize("normalization", [STUDY, IMAGENET])
@pytest.mark.parametrize("floating", [False, True])
def test_normalize(normalization: Normalization, *, floating: bool) -> None:
    values = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    expected = ((values / 255 - normalization.mean) / normalization.std).transpose(0, 3, 1, 2)
    images = torch.from_numpy(values).permute(0, 3, 1, 2)
    normalized = Normalize(normalization)(images.float() / 255 if floating else images)
    assert normalized.dtype == torch.float32
    np.testing.assert_allclose(normalized.numpy(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalize_keeps_the_memory_format(memory_format: torch.memory_format, dtype: torch.dtype) -> None:
    images = torch.zeros((4, 3, 5, 6), dtype=dtype).contiguous(memory_format=memory_format)
    assert Normalize(STUDY)(images).is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalize_leaves_its_input_as_it_is(dtype: torch.dtype) -> None:
    images = torch.ones((1, 3, 2, 2), dtype=dtype)
    Normalize(STUDY)(images)
    assert (images == 1).all()
