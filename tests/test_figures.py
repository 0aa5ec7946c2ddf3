import numpy as np
import pytest

from jaxart import figures


BLACK = np.zeros((3, 5, 3), np.uint8)


def test_words_are_dark_on_white_and_longer_ones_are_wider():
    short, long = figures.words("17"), figures.words("17 and 44")
    assert short.max() == 255
    assert short.min() < 100
    assert short.shape[0] == long.shape[0] == figures.words("gÅ|").shape[0]
    assert short.shape[1] < long.shape[1]


def test_larger_words_are_larger():
    small, large = (figures.words("17", size) for size in (12, 24))
    assert large.shape[0] > 1.5 * small.shape[0]
    assert large.shape[1] > 1.5 * small.shape[1]


def test_parts_lie_beside_each_other_with_their_middles_on_a_line():
    laid = figures.beside([BLACK, BLACK[:1]], gap=2)
    assert laid.shape == (3, 12, 3)
    dark = laid[..., 0] == 0
    np.testing.assert_array_equal(dark[:, :5], True)
    np.testing.assert_array_equal(dark[:, 5:7], False)
    np.testing.assert_array_equal(dark[:, 7:].all(1), [False, True, False])


def test_or_with_their_tops_on_a_line():
    laid = figures.beside([BLACK, BLACK[:1]], gap=0, centred=False)
    dark = (laid[:, 5:, 0] == 0).all(1)
    np.testing.assert_array_equal(dark, [True, False, False])


def test_parts_lie_above_each_other_from_the_left():
    laid = figures.above([BLACK[:, :2], BLACK], gap=1)
    assert laid.shape == (7, 5, 3)
    assert (laid[:3, :2] == 0).all()
    assert (laid[:3, 2:] == 255).all()
    assert (laid[3] == 255).all()
    assert (laid[4:] == 0).all()


def test_a_caption_stands_beneath_its_picture_and_takes_nothing_from_it():
    tiles = figures.captioned(np.stack([BLACK] * 2), ["1", "a long caption"])
    assert tiles.shape[0] == 2
    for tile in tiles:
        left = (tile.shape[1] - 5) // 2
        np.testing.assert_array_equal(tile[:3, left : left + 5], 0)
        np.testing.assert_array_equal(tile[:3, :left], 255)
        assert tile[4:].min() < 100


def test_enlarged_pictures_keep_their_colours():
    colours = np.array([[[[10, 200, 30]]], [[[250, 0, 90]]]], np.uint8)
    pictures = np.broadcast_to(colours, (2, 4, 4, 3))
    large = figures.enlarged(pictures, 9)
    np.testing.assert_array_equal(large, np.broadcast_to(colours, (2, 9, 9, 3)))


def test_a_column_has_a_row_for_each_text_in_step_with_a_grid():
    column = figures.column(["1", "22"], height=20, gap=3)
    assert column.shape[0] == 43
    rows, _ = np.nonzero(column.min(-1) < 128)
    assert np.abs(rows[rows < 20].mean() - 9.5) < 3
    assert np.abs(rows[rows >= 23].mean() - 32.5) < 3


@pytest.mark.parametrize("margin", [0, 4])
def test_a_frame_is_white_and_as_wide_as_asked_for(margin):
    framed = figures.framed(BLACK, margin)
    assert framed.shape == (3 + 2 * margin, 5 + 2 * margin, 3)
    assert (framed == 0).all(-1).sum() == 15
