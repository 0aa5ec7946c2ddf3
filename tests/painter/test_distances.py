import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxart import vgg
from jaxart.painter.distances import (
    HALF,
    SHARPEN,
    SHARPEN_SIDE,
    SMOOTH_SIDE,
    WHOLE,
    Distance,
    FeatureSpec,
    Perceptual,
    SquaredError,
)


SPECS = {
    "one layer": (FeatureSpec(WHOLE, ("relu1_2",), 1.0),),
    "both sizes": (
        FeatureSpec(HALF, ("relu2_1",), 0.5),
        FeatureSpec(WHOLE, ("relu1_1",), 2.0),
    ),
    "overlapping pool": (FeatureSpec(vgg.KernelShape(4, 2, 1), ("relu1_2",), 1.0),),
}
KINDS = ["plain", "emphasis", *SPECS]


@pytest.fixture(params=KINDS)
def distance(request: pytest.FixtureRequest, vgg_weights: vgg.Weights) -> Distance:
    if request.param in ("plain", "emphasis"):
        return SquaredError(emphasis=request.param == "emphasis")
    return Perceptual(vgg_weights, SPECS[request.param], 0.3, normalised=True)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


features = jax.jit(vgg.features, static_argnums=2)


@jax.jit
def loss_of(distance: Distance, images, target, weights):
    features = distance.features(images), distance.features(target)
    return distance.loss(*features, weights)


@jax.jit
def grad_of(distance: Distance, images, target, weights):
    return jax.grad(lambda images: loss_of(distance, images, target, weights)[0])(
        images
    )


def box_filter(plane: np.ndarray, side: int) -> np.ndarray:
    """The average over a square around each pixel, zeros outside."""
    return ndimage.uniform_filter(plane, side, mode="constant")


def test_squared_error_is_numpys():
    one, other = random(2, 3, 9, 13), random(2, 3, 9, 13, seed=1)
    found = loss_of(SquaredError(), one, other, jnp.full((2, 9, 13), 1 / (9 * 13)))
    np.testing.assert_allclose(found, ((one - other) ** 2).mean((1, 2, 3)), rtol=1e-5)


def test_emphasis_is_the_authors():
    one, other = random(1, 3, 21, 17), random(1, 3, 21, 17, seed=1)
    one[:, :, 4:9] = other[:, :, 4:9]  # errors stand out beside none
    weights = random(1, 21, 17, seed=2)
    error = ((one - other)[0].astype(float) ** 2).mean(0)
    sharp = np.maximum(
        error, error + SHARPEN * (error - box_filter(error, SHARPEN_SIDE))
    )
    expected = (box_filter(sharp, SMOOTH_SIDE) * weights[0]).sum()
    found = loss_of(SquaredError(emphasis=True), one, other, jnp.array(weights))
    assert float(found[0]) == pytest.approx(expected, rel=1e-5)
    plain = loss_of(SquaredError(), one, other, jnp.array(weights))
    assert found[0] > 1.2 * plain[0]


@pytest.mark.parametrize("normalised", [True, False])
def test_layers_are_compared_position_by_position(
    vgg_weights: vgg.Weights, normalised: bool
):
    specs = (FeatureSpec(HALF, ("relu1_2", "relu2_1"), 0.7),)
    distance = Perceptual(vgg_weights, specs, 0.3, normalised)
    one, other = random(1, 3, 8, 16), random(1, 3, 8, 16, seed=1)
    weights = random(1, 8, 16, seed=2)

    def pooled(planes: np.ndarray, by: int) -> np.ndarray:
        h, w = planes.shape[-2:]
        cells = planes.reshape(*planes.shape[:-2], h // by, by, w // by, by)
        return cells.mean((-3, -1))

    def layers(images: np.ndarray) -> list[np.ndarray]:
        small = np.moveaxis(pooled(images, 2), 1, 3)
        maps = features(vgg_weights, jnp.array(small), ("relu1_2", "relu2_1"))
        return [np.asarray(layer[0], float) for layer in maps]

    expected = 0.3 * (((one - other) ** 2).mean(1) * weights).sum()
    for a, b, by, layer in zip(
        layers(one), layers(other), (2, 4), ("relu1_2", "relu2_1"), strict=True
    ):
        if normalised:
            a, b = (
                maps / np.maximum(np.linalg.norm(maps, axis=2, keepdims=True), 1e-9)
                for maps in (a, b)
            )
            heads = vgg_weights.heads
            head = np.asarray(heads[layer]) if layer in heads else np.ones(a.shape[2])
            error = ((a - b) ** 2) @ head
        else:
            error = ((a - b) ** 2).mean(2)
        expected += 0.7 * (error * pooled(weights[0], by) * by**2).sum()
    found = loss_of(distance, one, other, jnp.array(weights))
    assert float(found[0]) == pytest.approx(expected, rel=1e-4)


def test_the_loss_of_a_picture_against_itself_is_zero(distance: Distance):
    h, w = 17, 23  # no multiples of a stride
    one, other = random(2, 3, h, w), random(2, 3, h, w, seed=1)
    weights = jnp.full((2, h, w), 1 / (h * w))
    # A compiler may round the two not quite alike.
    np.testing.assert_allclose(loss_of(distance, one, one, weights), 0, atol=1e-12)
    assert loss_of(distance, one, other, weights).min() > 1e-3


def test_an_error_counts_as_its_weight_says(distance: Distance):
    # A pixel far enough from the middle does not depend on the other side.
    far = 2 * (distance.reach + distance.stride)
    side = 2 * far + 8
    one = random(1, 3, side, side)
    left, both = one.copy(), one.copy()
    left[..., :4] = 1 - left[..., :4]
    both[..., :4], both[..., -4:] = left[..., :4], 1 - both[..., -4:]
    weights = np.ones((1, side, side), np.float32)
    weights[..., side // 2 :] = 0
    weights = jnp.array(weights)
    half, whole = (loss_of(distance, one, other, weights) for other in (left, both))
    np.testing.assert_array_equal(half, whole)
    assert half[0] > 0
    np.testing.assert_allclose(
        loss_of(distance, one, left, 3 * weights), 3 * half, rtol=1e-5
    )


def test_a_position_depends_on_pixels_within_the_reach(distance: Distance):
    reach, stride = distance.reach, distance.stride
    side = 4 * stride + 2 * reach
    cell = (side // 2 // stride) * stride
    one, other = random(1, 3, side, side), random(1, 3, side, side, seed=1)
    weights = np.zeros((1, side, side), np.float32)
    weights[:, cell, cell + stride - 1] = 1
    grads = grad_of(distance, jnp.array(one), other, jnp.array(weights))
    pixels = np.nonzero(np.asarray(grads)[0].any(0))
    assert min(map(len, pixels)) > 0
    for indices in pixels:
        assert indices.min() >= cell - reach
        assert indices.max() < cell + stride + reach


def test_reach_and_stride_are_those_of_the_receptive_field(vgg_weights: vgg.Weights):
    def known(spec: FeatureSpec) -> tuple[int, int]:
        distance = Perceptual(vgg_weights, (spec,), 1.0, normalised=True)
        return distance.reach, distance.stride

    assert (SquaredError().reach, SquaredError().stride) == (0, 1)
    assert SquaredError(emphasis=True).reach == 3
    # Two convolutions reach two pixels further; pooled by two, four.
    assert known(FeatureSpec(WHOLE, ("relu1_2",), 1.0)) == (2, 1)
    assert known(FeatureSpec(HALF, ("relu1_2",), 1.0)) == (4, 2)
    # Two more after a max-pool: 2 + 2 * 2, of which the cell of two has its share.
    assert known(FeatureSpec(WHOLE, ("relu2_2",), 1.0)) == (6, 2)
