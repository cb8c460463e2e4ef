"""The colours of the classes: neighbours differ in lightness, so that they can be told apart without hue."""

import numpy as np

from maskcls.reporting.palette import CLASS_COLOURS


def lightness(colour: str) -> float:
    light = np.array(list(bytes.fromhex(colour[1:]))) / 255
    linear = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
    return float(116 * np.cbrt(linear @ (0.2126, 0.7152, 0.0722)) - 16)


def test_the_first_two_classes_can_be_told_apart_in_grey() -> None:
    assert abs(lightness(CLASS_COLOURS[0]) - lightness(CLASS_COLOURS[1])) > 20


def test_no_two_classes_have_one_colour() -> None:
    assert len(set(CLASS_COLOURS)) == len(CLASS_COLOURS)
