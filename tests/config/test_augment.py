"""Augmentations: each takes its own keys and no other's."""

from pathlib import Path
from typing import Any

import pytest
from schema import AUGMENT

from maskcls.config.augment import (
    AugmentConfig,
    FlipAugmentConfig,
    LightAugmentConfig,
    NoAugmentConfig,
    RobustAugmentConfig,
)
from maskcls.config.engine import convert
from maskcls.errors import UserError


@pytest.mark.parametrize(
    ("name", "kind"), [("none", NoAugmentConfig), ("flip", FlipAugmentConfig), ("light", LightAugmentConfig)]
)
def test_the_name_chooses_the_keys(name: str, kind: type) -> None:
    assert convert(AUGMENT[name], AugmentConfig, "augment") == kind(**AUGMENT[name])


def test_the_detector_of_the_robust_augmentation_is_a_path() -> None:
    config = convert(AUGMENT["robust"], AugmentConfig, "augment")
    assert config == RobustAugmentConfig(**{**AUGMENT["robust"], "detector": Path("/models/yunet.onnx")})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {**AUGMENT["none"], "flip_probability": 0.5},
            "augment.flip_probability is not a key of augment=none: allowed are name",
        ),
        ({**AUGMENT["flip"], "zoom": 0.1}, "augment.zoom is not a key of augment=flip: allowed are name, flip_prob"),
        ({**AUGMENT["light"], "shift": 0.6}, "augment.shift=0.6: expected a number, at least 0 and at most 0.5"),
    ],
)
def test_a_change_that_an_augmentation_does_not_make_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        convert(values, AugmentConfig, "augment")
    assert str(caught.value).startswith(message)
