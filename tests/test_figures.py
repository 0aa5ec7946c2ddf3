import numpy as np
import pytest

from jaxart import figures


BLACK = np.zeros((3, 5, 3), np.uint8)


def test_text_is_dark_on_white_and_longer_text_is_wider():
    short, long = figures.render_text("17"), figures.render_text("17 and 44")
    assert short.max() == 255
    assert short.min() < 100
    assert short.shape[0] == long.shape[0] == figures.render_text("gÅ|").shape[0]
    assert short.shape[1] < long.shape[1]


def test_a_larger_font_gives_larger_text():
    small, large = (figures.render_text("17", size) for size in (12, 24))
    assert large.shape[0] > 1.5 * small.shape[0]
    assert large.shape[1] > 1.5 * small.shape[1]


def test_a_horizontal_stack_aligns_the_middles():
    stack = figures.hstack([BLACK, BLACK[:1]], gap=2)
    assert stack.shape == (3, 12, 3)
    dark = stack[..., 0] == 0
    np.testing.assert_array_equal(dark[:, :5], True)
    np.testing.assert_array_equal(dark[:, 5:7], False)
    np.testing.assert_array_equal(dark[:, 7:].all(1), [False, True, False])


def test_a_horizontal_stack_can_align_the_tops():
    stack = figures.hstack([BLACK, BLACK[:1]], gap=0, centred=False)
    dark = (stack[:, 5:, 0] == 0).all(1)
    np.testing.assert_array_equal(dark, [True, False, False])


def test_a_vertical_stack_aligns_the_left_sides():
    stack = figures.vstack([BLACK[:, :2], BLACK], gap=1)
    assert stack.shape == (7, 5, 3)
    assert (stack[:3, :2] == 0).all()
    assert (stack[:3, 2:] == 255).all()
    assert (stack[3] == 255).all()
    assert (stack[4:] == 0).all()


def test_a_caption_is_below_its_picture_and_covers_none_of_it():
    tiles = figures.add_captions(np.stack([BLACK] * 2), ["1", "a long caption"])
    assert tiles.shape[0] == 2
    for tile in tiles:
        left = (tile.shape[1] - 5) // 2
        np.testing.assert_array_equal(tile[:3, left : left + 5], 0)
        np.testing.assert_array_equal(tile[:3, :left], 255)
        assert tile[4:].min() < 100


def test_enlarged_pictures_keep_their_colours():
    colours = np.array([[[[10, 200, 30]]], [[[250, 0, 90]]]], np.uint8)
    pictures = np.broadcast_to(colours, (2, 4, 4, 3))
    large = figures.enlarge(pictures, 9)
    np.testing.assert_array_equal(large, np.broadcast_to(colours, (2, 9, 9, 3)))


def test_row_labels_are_in_the_middle_of_the_rows_of_a_grid():
    labels = figures.row_labels(["1", "22"], height=20, gap=3)
    assert labels.shape[0] == 43
    rows, _ = np.nonzero(labels.min(-1) < 128)
    assert np.abs(rows[rows < 20].mean() - 9.5) < 3
    assert np.abs(rows[rows >= 23].mean() - 32.5) < 3


@pytest.mark.parametrize("margin", [0, 4])
def test_a_margin_is_white_and_as_wide_as_asked_for(margin):
    figure = figures.add_margin(BLACK, margin)
    assert figure.shape == (3 + 2 * margin, 5 + 2 * margin, 3)
    assert (figure == 0).all(-1).sum() == 15
