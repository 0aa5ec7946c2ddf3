import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxart import images
from jaxart.painter.saliency import read_weights, saliency


def spots(*places, size=(120, 160)) -> np.ndarray:
    """Grey, with a red spot at each place."""
    pixels = np.full((*size, 3), 120, np.uint8)
    for y, x in places:
        pixels[y - 8 : y + 8, x - 8 : x + 8] = (200, 60, 60)
    return pixels


def are_valid(weights: np.ndarray) -> bool:
    return (
        abs(weights.mean(dtype=float) - 1) < 1e-3
        and weights.min() >= 0.249
        and weights.max() <= 4.001
    )


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from(["noise", "flat", "spot"]),
)
def test_weights_have_mean_one_and_bounds(h, w, kind):
    pixels = np.full((h, w, 3), 90, np.uint8)
    if kind == "noise":
        pixels = np.random.default_rng(0).integers(0, 256, (h, w, 3), np.uint8)
    elif kind == "spot":
        pixels[h // 2, w // 2] = 255
    weights = saliency(pixels)
    assert weights.shape == (h, w)
    assert weights.dtype == np.float32
    assert are_valid(weights)


def test_what_is_red_among_grey_stands_out():
    weights = saliency(spots((40, 50)))
    assert weights[40, 50] > 2
    salient = np.argwhere(weights > 2)
    np.testing.assert_allclose(salient.mean(0), (40, 50), atol=3)
    assert np.median(weights) < 0.8


def test_all_pixels_of_a_flat_picture_count_alike():
    np.testing.assert_allclose(saliency(spots()), 1, atol=1e-4)


def test_the_centre_counts_more_than_the_edges():
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    weights = saliency(noise)
    assert weights[40:80, 60:100].mean() > 1.2 * weights[:20, :20].mean()


def test_a_bright_edge_does_not_stand_out_at_the_opposite_edge():
    pixels = spots()
    pixels[:, :4] = 255
    weights = saliency(pixels)
    assert weights[:, :4].min() > 2
    np.testing.assert_allclose(weights[:, -40:], weights.min(), atol=1e-3)


def test_a_mirrored_picture_has_mirrored_weights():
    pixels = spots((40, 50), (80, 130))
    np.testing.assert_allclose(
        saliency(pixels[:, ::-1].copy()), saliency(pixels)[:, ::-1], atol=1e-4
    )


def test_weights_do_not_depend_on_resolution():
    pixels = spots((40, 50), (80, 130))
    large = saliency(pixels.repeat(3, 0).repeat(3, 1))
    shrunk = large.reshape(120, 3, 160, 3).mean((1, 3))
    np.testing.assert_allclose(saliency(pixels), shrunk, atol=0.1)


def test_a_mask_is_read_as_weights(tmp_path):
    mask = np.zeros((4, 6), np.uint8)
    mask[:, 3:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    weights = read_weights(tmp_path / "mask.png", 4, 6)
    assert weights.dtype == np.float32
    assert weights.mean() == pytest.approx(1, abs=1e-6)
    assert weights.min() > 0
    np.testing.assert_allclose(weights[:, 3:] / weights[:, :3], 20, rtol=1e-5)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_mask_of_one_level_weighs_all_alike(tmp_path, level):
    Image.new("L", (6, 4), level).save(tmp_path / "mask.png")
    np.testing.assert_allclose(read_weights(tmp_path / "mask.png", 4, 6), 1, rtol=1e-6)


def test_a_mask_of_another_size_is_refused(tmp_path):
    Image.new("L", (6, 4)).save(tmp_path / "mask.png")
    with pytest.raises(
        ValueError, match=r"^weights must have .* 4 x 6 pixels; got 6 x 4$"
    ):
        read_weights(tmp_path / "mask.png", 6, 4)


def test_a_mask_that_is_no_picture_is_refused(tmp_path):
    (tmp_path / "mask.png").write_text("notes")
    with pytest.raises(images.PictureError, match="not a picture"):
        read_weights(tmp_path / "mask.png", 6, 4)
