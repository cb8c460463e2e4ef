"""Networks and the sizes of images that they take."""

import pytest
from schema import MODEL

from maskcls.config.engine import convert
from maskcls.config.model import ModelConfig, check_input_size
from maskcls.errors import UserError


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("mycnn", 30, "contradicts model=mycnn: three 2x2 poolings need a multiple of 8, such as 32"),
        ("mycnn", 9, "contradicts model=mycnn: three 2x2 poolings need a multiple of 8, such as 8"),
        ("mycnn", 3, "contradicts model=mycnn: three 2x2 poolings need a multiple of 8, such as 8"),
        ("vgg16", 31, "contradicts model=vgg16: it needs at least 32"),
        ("resnet18", 31, "contradicts model=resnet18: it needs at least 32"),
    ],
)
def test_a_size_that_a_network_does_not_take_is_refused(name: str, size: int, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_input_size(convert(MODEL[name], ModelConfig, "model"), size)
    assert str(caught.value) == f"data.input_size={size} {message}"


@pytest.mark.parametrize(("name", "size"), [("mycnn", 8), ("vgg16", 32), ("vgg16", 33), ("resnet18", 32)])
def test_the_smallest_sizes_are_taken(name: str, size: int) -> None:
    check_input_size(convert(MODEL[name], ModelConfig, "model"), size)
