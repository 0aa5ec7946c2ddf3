import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import vgg
from jaxart.painter.distances import (
    AROUND,
    BLUR,
    EMPHASIS,
    HALF,
    WHOLE,
    Distance,
    Look,
    Perceptual,
    SquaredError,
)


LOOKS = {
    "one layer": (Look(WHOLE, ("relu1_2",), 1.0),),
    "half": (Look(HALF, ("relu1_2", "relu2_2"), 0.5),),
    "both sizes": (Look(HALF, ("relu2_2",), 0.5), Look(WHOLE, ("relu1_1",), 2.0)),
    "overlapping pool": (Look(vgg.Window(4, 2, 1), ("relu2_1",), 1.0),),
}
KINDS = ["plain", "emphasis", *LOOKS]


@pytest.fixture(params=KINDS)
def distance(request: pytest.FixtureRequest, vgg_weights: vgg.Weights) -> Distance:
    if request.param in ("plain", "emphasis"):
        return SquaredError(emphasis=request.param == "emphasis")
    return Perceptual(vgg_weights, LOOKS[request.param], 0.3, directions=True)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


@jax.jit
def between(distance: Distance, one, other, weights):
    return distance.between(distance.see(one), distance.see(other), weights)


def boxed(plane: np.ndarray, side: int) -> np.ndarray:
    """The average over a square around each place, where outside there is nothing."""
    wide = np.pad(plane, side // 2)
    h, w = plane.shape
    shifts = [wide[i : i + h, j : j + w] for i in range(side) for j in range(side)]
    return np.sum(shifts, axis=0) / side**2


def test_squared_error_is_numpys():
    one, other = random(2, 3, 9, 13), random(2, 3, 9, 13, seed=1)
    found = between(SquaredError(), one, other, jnp.full((2, 9, 13), 1 / (9 * 13)))
    np.testing.assert_allclose(found, ((one - other) ** 2).mean((1, 2, 3)), rtol=1e-5)


def test_emphasis_is_the_authors():
    one, other = random(1, 3, 21, 17), random(1, 3, 21, 17, seed=1)
    one[:, :, 4:9] = other[:, :, 4:9]  # errors stand out beside none
    weights = random(1, 21, 17, seed=2)
    error = ((one - other)[0].astype(float) ** 2).mean(0)
    sharp = np.maximum(error, error + EMPHASIS * (error - boxed(error, AROUND)))
    expected = (boxed(sharp, BLUR) * weights[0]).sum()
    found = between(SquaredError(emphasis=True), one, other, jnp.array(weights))
    assert float(found[0]) == pytest.approx(expected, rel=1e-5)
    plainly = between(SquaredError(), one, other, jnp.array(weights))
    assert found[0] > 1.2 * plainly[0]


@pytest.mark.parametrize("directions", [True, False])
def test_layers_are_compared_place_by_place(vgg_weights: vgg.Weights, directions: bool):
    looks = (Look(HALF, ("relu1_2", "relu2_1"), 0.7),)
    distance = Perceptual(vgg_weights, looks, 0.3, directions)
    one, other = random(1, 3, 8, 16), random(1, 3, 8, 16, seed=1)
    weights = random(1, 8, 16, seed=2)

    def pooled(planes: np.ndarray, by: int) -> np.ndarray:
        h, w = planes.shape[-2:]
        cells = planes.reshape(*planes.shape[:-2], h // by, by, w // by, by)
        return cells.mean((-3, -1))

    def seen(images: np.ndarray) -> list[np.ndarray]:
        small = np.moveaxis(pooled(images, 2), 1, 3)
        maps = vgg.features(vgg_weights, jnp.array(small), ("relu1_2", "relu2_1"))
        return [np.asarray(layer[0], float) for layer in maps]

    expected = 0.3 * (((one - other) ** 2).mean(1) * weights).sum()
    for a, b, by, layer in zip(
        seen(one), seen(other), (2, 4), ("relu1_2", "relu2_1"), strict=True
    ):
        if directions:
            a, b = (
                maps / np.maximum(np.linalg.norm(maps, axis=2, keepdims=True), 1e-9)
                for maps in (a, b)
            )
            heads = vgg_weights.heads
            minds = np.asarray(heads[layer]) if layer in heads else np.ones(a.shape[2])
            apart = ((a - b) ** 2) @ minds
        else:
            apart = ((a - b) ** 2).mean(2)
        expected += 0.7 * (apart * pooled(weights[0], by) * by**2).sum()
    found = between(distance, one, other, jnp.array(weights))
    assert float(found[0]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("h", "w"), [(16, 24), (17, 23)])
def test_a_picture_is_at_no_distance_from_itself(distance: Distance, h: int, w: int):
    one, other = random(2, 3, h, w), random(2, 3, h, w, seed=1)
    weights = jnp.full((2, h, w), 1 / (h * w))
    # A compiler may round the two not quite alike.
    np.testing.assert_allclose(between(distance, one, one, weights), 0, atol=1e-12)
    assert between(distance, one, other, weights).min() > 1e-3


def test_an_error_counts_as_its_weight_says(distance: Distance):
    # A place far enough from the middle does not know of an error on the other side.
    far = 2 * (distance.reach + distance.stride)
    side = 2 * far + 8
    one = random(1, 3, side, side)
    left, both = one.copy(), one.copy()
    left[..., :4] = 1 - left[..., :4]
    both[..., :4], both[..., -4:] = left[..., :4], 1 - both[..., -4:]
    weights = np.ones((1, side, side), np.float32)
    weights[..., side // 2 :] = 0
    weights = jnp.array(weights)
    half, whole = (between(distance, one, other, weights) for other in (left, both))
    np.testing.assert_array_equal(half, whole)
    assert half[0] > 0
    np.testing.assert_allclose(
        between(distance, one, left, 3 * weights), 3 * half, rtol=1e-5
    )


def test_a_place_sees_no_further_than_it_says(distance: Distance):
    reach, stride = distance.reach, distance.stride
    side = 4 * stride + 2 * reach
    cell = (side // 2 // stride) * stride
    one, other = random(1, 3, side, side), random(1, 3, side, side, seed=1)
    weights = np.zeros((1, side, side), np.float32)
    weights[:, cell, cell + stride - 1] = 1
    slopes = jax.grad(lambda one: between(distance, one, other, jnp.array(weights))[0])
    seen = np.nonzero(np.asarray(slopes(jnp.array(one)))[0].any(0))
    assert min(map(len, seen)) > 0
    for places in seen:
        assert places.min() >= cell - reach
        assert places.max() < cell + stride + reach


def test_reaches_and_strides_are_the_known_ones(vgg_weights: vgg.Weights):
    def known(look: Look) -> tuple[int, int]:
        distance = Perceptual(vgg_weights, (look,), 1.0, directions=True)
        return distance.reach, distance.stride

    assert (SquaredError().reach, SquaredError().stride) == (0, 1)
    assert SquaredError(emphasis=True).reach == 3
    # Two convolutions see two pixels further; pooled by two, four.
    assert known(Look(WHOLE, ("relu1_2",), 1.0)) == (2, 1)
    assert known(Look(HALF, ("relu1_2",), 1.0)) == (4, 2)
    # Two more after a max-pool: 2 + 2 * 2, of which the cell of two has its share.
    assert known(Look(WHOLE, ("relu2_2",), 1.0)) == (6, 2)
