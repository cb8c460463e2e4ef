"""The pen and the shapes that synthetic faces are drawn with, and the person that they make."""

import numpy as np
import pytest

from maskcls.data.drawing import Pen, arc, cloth, draw_person, head_outline, oval, shade, tone

RED, BLUE = np.array((200, 0, 0)), np.array((0, 0, 200))
SQUARE = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])


@pytest.fixture
def pen() -> Pen:
    """A pen on a black image of 65 pixels a side; the head's centre is pixel (32, 32), and 1 is 20 pixels."""
    return Pen(np.zeros((65, 65, 3), np.uint8), np.array([[20.0, 0, 32], [0, 20, 32]]), radius=1.0)


def test_face_coordinates_become_sixteenths_of_a_pixel(pen: Pen) -> None:
    np.testing.assert_array_equal(pen.place(np.array([(0.0, 0.0), (1.0, -1.0)])), [(32 * 16,) * 2, (52 * 16, 12 * 16)])


def test_a_turned_pen_moves_the_middle_and_keeps_the_height(pen: Pen) -> None:
    turned = Pen(pen.image, pen.frame, pen.radius, yaw=0.5)
    (middle, edge) = turned.place(np.array([(0.0, 0.3), (1.0, 0.3)])) - pen.place(np.array([(0.0, 0.3), (1.0, 0.3)]))
    assert middle.tolist() == [round(np.sin(0.5) * 20 * 16), 0]
    assert edge.tolist() == [0, 0]  # a point on the cylinder's edge cannot move any further


def test_a_filled_polygon_has_its_colour(pen: Pen) -> None:
    pen.fill(SQUARE, RED)
    assert (pen.image[23:42, 23:42] == RED).all()
    assert not pen.image[:20].any()
    assert not pen.image[:, 45:].any()


def test_a_line_is_as_wide_as_asked_for(pen: Pen) -> None:
    pen.stroke(np.array([(-1.0, 0.0), (1.0, 0.0)]), RED, 0.5)
    assert 9 <= (pen.image[:, 32] == RED).all(axis=1).sum() <= 11


def test_a_texture_is_painted_inside_the_polygon_only(pen: Pen) -> None:
    texture = np.random.default_rng(0).integers(1, 256, pen.image.shape, dtype=np.uint8)
    pen.paint(SQUARE, texture)
    np.testing.assert_array_equal(pen.image[23:42, 23:42], texture[23:42, 23:42])
    painted = pen.image.any(axis=2)
    assert painted.sum() == 21 * 21


def test_an_oval_lies_on_its_ellipse() -> None:
    points = oval(1, 2, 3, 4)
    np.testing.assert_allclose(((points - (1, 2)) / (3, 4)) ** 2 @ (1, 1), 1)
    np.testing.assert_allclose(points[[0, -1]], [(4, 2)] * 2, atol=1e-9)
    np.testing.assert_allclose(oval(1, 2, 3, 4, 0, 180)[[0, 12, 24]], [(4, 2), (1, 6), (-2, 2)], atol=1e-9)


def test_an_arc_hangs_in_its_middle() -> None:
    points = arc(-1, 3, 2, 0.5)
    assert points.shape == (9, 2)
    np.testing.assert_allclose(points[[0, 4, 8]], [(-1, 2), (1, 2.5), (3, 2)])


def test_a_head_narrows_towards_the_chin_only() -> None:
    outline = head_outline(0.8, jaw=0.4)
    plain = head_outline(0.8, jaw=0)
    above = outline[:, 1] <= 1e-9
    np.testing.assert_allclose(outline[above], plain[above])
    assert (np.abs(outline[~above, 0]) <= np.abs(plain[~above, 0]) + 1e-9).all()
    np.testing.assert_allclose(head_outline(0.8, jaw=0, grow=2), 2 * plain)


def test_colours_stay_in_their_range() -> None:
    np.testing.assert_array_equal(shade(np.array((100, 200, 0)), 1.5), (150, 255, 0))
    rng = np.random.default_rng(0)
    drawn = np.stack([tone(rng, np.array([RED, BLUE])) for _ in range(500)])
    assert drawn.min() >= 0
    assert drawn.max() <= 255
    assert np.abs(drawn[:, 0] + drawn[:, 2] - 200).mean() < 15  # between the two, give or take some noise


def test_cloth_without_contrast_has_the_colour_of_its_ground() -> None:
    rng = np.random.default_rng(0)
    for _ in range(8):
        assert (cloth(rng, 40, RED, contrast=0) == RED).all()
        assert (cloth(rng, 40, RED, contrast=1) != RED).any()


def test_the_mask_changes_nothing_else_that_is_drawn() -> None:
    bare, masked = (np.zeros((80, 80, 3), np.uint8) for _ in range(2))
    first, second = (np.random.default_rng(3) for _ in range(2))
    draw_person(first, bare, mask_rng=None)
    draw_person(second, masked, mask_rng=np.random.default_rng(4))
    assert first.bit_generator.state == second.bit_generator.state
    assert (bare != masked).any()
