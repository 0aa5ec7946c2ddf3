"""Projections of features, against matrices made in NumPy and against gradients."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxart.gan import deconvnet
from jaxart.gan.networks import Discriminator
from jaxart.gan.update import NetworkState, network_state


SIZE, WIDTH = 32, 3


def discriminator(seed=0, dtype="float32"):
    return Discriminator(SIZE, WIDTH, dtype=dtype, rngs=nnx.Rngs(seed))


def noise(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def trained(network, seed=2, positive=False) -> NetworkState:
    """Its values, with statistics as if it had seen something.

    If positive, all values of maps are so, whatever goes in that is positive.
    """
    draw = np.random.default_rng(seed)

    def changed(path, value):
        name = path[-1].key
        if name in ("scale", "var"):
            return jnp.asarray(draw.uniform(0.5, 2, value.shape), jnp.float32)
        if name in ("bias", "mean"):
            sign = 1 if name == "bias" else -1
            shift = draw.uniform(0, 0.1, value.shape)
            return jnp.asarray(sign * shift, jnp.float32)
        return jnp.abs(value) if positive else value

    return NetworkState(
        *(jax.tree.map_with_path(changed, part) for part in network_state(network))
    )


def projected(network, values, images, layer, features, keep="map"):
    project = deconvnet.projector(network, layer, keep)
    return project(values, jnp.asarray(images), jnp.asarray(features))


def kernel(values, stage):
    return np.asarray(values.params["stages"][stage]["kernel"], np.float64)


def matrix(kernel, side):
    """The matrix of a convolution of stride 2 and padding 1, entry by entry."""
    half = side // 2
    _, _, i, o = kernel.shape
    entries = np.zeros((half, half, o, side, side, i))
    for row, column, r, s in np.ndindex(half, half, 4, 4):
        y, x = 2 * row + r - 1, 2 * column + s - 1
        if 0 <= y < side and 0 <= x < side:
            entries[row, column, :, y, x] = kernel[r, s].T
    return entries.reshape(half * half * o, side * side * i)


def kept(maps, feature, keep):
    """A map in which all features but one are zero; or all places but one, too."""
    only = np.zeros_like(maps)
    only[:, :, feature] = maps[:, :, feature]
    if keep == "place":
        only *= only == only.max()
    return only


@pytest.mark.parametrize("keep", get_args(deconvnet.Keep))
def test_a_linear_layer_goes_back_by_its_transposed_matrix(keep):
    network = discriminator()
    values, images = trained(network), noise(WIDTH, SIZE, SIZE, 3)
    forward = matrix(kernel(values, 0), SIZE)
    found = projected(network, values, images, 1, np.arange(WIDTH), keep)
    for feature, image in enumerate(images):
        maps = (forward @ image.ravel()).reshape(SIZE // 2, SIZE // 2, WIDTH)
        # Where the layer is linear: its rectifier lets pass what is positive.
        only = kept(np.maximum(maps, 0), feature, keep)
        expected = (forward.T @ only.ravel()).reshape(image.shape)
        np.testing.assert_allclose(found.pixels[feature], expected, atol=1e-5)


@pytest.mark.parametrize("keep", get_args(deconvnet.Keep))
def test_two_layers_go_back_by_both_matrices_with_a_rectifier_between(keep):
    network = discriminator()
    values, image = trained(network), noise(SIZE, SIZE, 3)
    first = matrix(kernel(values, 0), SIZE)
    second = matrix(kernel(values, 1), SIZE // 2)
    learned = values.params["stages"][1]["norm"]
    gathered = values.batch_stats["stages"][1]["norm"]
    slope = np.asarray(learned["scale"]) / np.sqrt(np.asarray(gathered["var"]) + 1e-5)
    shift = np.asarray(learned["bias"]) - slope * np.asarray(gathered["mean"])

    def leaky(x):
        return np.where(x > 0, x, 0.2 * x)

    middle = leaky(first @ image.ravel())
    maps = (second @ middle).reshape(SIZE // 4, SIZE // 4, 2 * WIDTH)
    maps = leaky(maps * slope + shift)
    features = np.arange(2 * WIDTH)
    images = np.repeat(image[None], len(features), axis=0)
    found = projected(network, values, images, 2, features, keep)
    for feature in features:
        only = np.maximum(kept(maps, feature, keep), 0) * slope
        back = np.maximum(second.T @ only.ravel(), 0)
        expected = (first.T @ back).reshape(image.shape)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            found.pixels[feature], expected, atol=1e-5 * max(scale, 1)
        )


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_it_is_the_gradient_where_no_rectifier_acts(layer):
    network = discriminator()
    values, image = trained(network, positive=True), np.abs(noise(1, SIZE, SIZE, 3))
    still = nnx.graphdef(nnx.view(network, use_running_average=True))

    def half_squared_length(image, feature):
        merged = nnx.merge(still, values.params, values.batch_stats)
        maps = image
        for stage in merged.stages[:layer]:
            maps = stage(maps)
        return jnp.sum(maps[..., feature] ** 2) / 2

    expected = jax.grad(half_squared_length)(jnp.asarray(image), 2)
    found = projected(network, values, image, layer, np.array([2]))
    np.testing.assert_allclose(found.pixels, expected, rtol=1e-4)


def test_it_is_not_the_gradient_where_rectifiers_act():
    network = discriminator()
    values, image = trained(network), noise(1, SIZE, SIZE, 3)
    still = nnx.graphdef(nnx.view(network, use_running_average=True))

    def half_squared_length(image):
        merged = nnx.merge(still, values.params, values.batch_stats)
        return jnp.sum(merged.stages[1](merged.stages[0](image))[..., 0] ** 2) / 2

    gradient = np.asarray(jax.grad(half_squared_length)(jnp.asarray(image)))
    found = np.asarray(projected(network, values, image, 2, np.array([0])).pixels)
    assert np.abs(found - gradient).max() > 0.1 * np.abs(gradient).max()


def test_batch_norm_counts_as_part_of_the_filters():
    network = discriminator()
    values, images = trained(network), noise(4, SIZE, SIZE, 3)
    folded = jax.tree.map(lambda x: x, values)
    for stage in (1, 2):
        learned = folded.params["stages"][stage]
        gathered = folded.batch_stats["stages"][stage]["norm"]
        slope = learned["norm"]["scale"] / jnp.sqrt(gathered["var"] + 1e-5)
        learned["kernel"] = learned["kernel"] * slope[None, None, None]
        learned["norm"]["bias"] -= slope * gathered["mean"]
        learned["norm"]["scale"] = jnp.ones_like(slope)
        gathered["var"] = jnp.ones_like(slope) - 1e-5
        gathered["mean"] = jnp.zeros_like(slope)
    features = np.array([5, 0, 7, 5])
    ours, theirs = (
        np.asarray(projected(network, those, images, 3, features).pixels)
        for those in (values, folded)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(ours).max())


def test_a_feature_that_nothing_excites_shows_nothing():
    network = discriminator()
    values = trained(network)
    first = values.params["stages"][0]
    first["kernel"] = -jnp.abs(first["kernel"])
    image = np.abs(noise(1, SIZE, SIZE, 3))
    found = projected(network, values, image, 1, np.array([1]))
    np.testing.assert_array_equal(found.pixels, 0)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_a_place_shows_no_more_than_the_pixels_that_it_sees(layer):
    network = discriminator()
    values = trained(network)
    features = np.arange(WIDTH)
    images = noise(len(features), SIZE, SIZE, 3)
    pixels, places = projected(network, values, images, layer, features, "place")
    for shown, place in zip(np.abs(pixels).sum(-1), np.asarray(places), strict=True):
        assert shown.max() > 0
        for axis, at in enumerate(place):
            first, size = deconvnet.window(layer, int(at))
            (lit,) = np.nonzero(shown.sum(1 - axis))
            assert first <= lit.min()
            assert lit.max() < first + size
    # Nor less: between the borders, all of them count.
    inside = SIZE // 2**layer // 2
    assert deconvnet.window(layer, inside).size == 3 * 2**layer - 2


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_what_lies_beyond_a_places_window_does_not_matter_to_it(layer):
    network = discriminator()
    values, image = trained(network), jnp.asarray(noise(1, SIZE, SIZE, 3))
    still = nnx.graphdef(nnx.view(network, use_running_average=True))
    at = SIZE // 2**layer // 2

    def answer(image):
        merged = nnx.merge(still, values.params, values.batch_stats)
        maps = image
        for stage in merged.stages[:layer]:
            maps = stage(maps)
        return maps[0, at, at].sum()

    reach = np.abs(np.asarray(jax.grad(answer)(image))[0]).sum(-1)
    first, size = deconvnet.window(layer, at)
    seen = np.zeros((SIZE, SIZE), bool)
    rows = slice(max(first, 0), first + size)
    seen[rows, rows] = True
    np.testing.assert_array_equal(reach > 0, seen)


def test_a_projection_does_not_depend_on_what_is_projected_beside_it():
    network = discriminator()
    values, images = trained(network), noise(3, SIZE, SIZE, 3)
    together = projected(network, values, images, 2, np.array([4, 1, 2]))
    alone = projected(network, values, images[1:2], 2, np.array([1]))
    np.testing.assert_allclose(together.pixels[1], alone.pixels[0], atol=1e-6)
    np.testing.assert_array_equal(together.places[1], alone.places[0])


def test_the_listener_hears_the_strongest_answer_of_each_feature():
    network = discriminator()
    values, images = trained(network), noise(2, SIZE, SIZE, 3)
    answers = deconvnet.listener(network)(values, jnp.asarray(images))
    assert [layer.shape for layer in answers] == [(2, 3), (2, 6), (2, 12)]
    forward = matrix(kernel(values, 0), SIZE)
    maps = (forward @ images.reshape(2, -1).T).T.reshape(2, -1, WIDTH)
    np.testing.assert_allclose(answers[0], maps.max(1), rtol=1e-4)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_products_of_less_precision_look_at_nearly_the_same(layer):
    rough, precise = discriminator(dtype="bfloat16"), discriminator()
    # Without rectifiers in the way, which a rounding could switch.
    values = trained(precise, positive=True)
    images = np.abs(noise(2, SIZE, SIZE, 3))
    found, expected = (
        projected(network, values, images, layer, np.array([0, 2])).pixels
        for network in (rough, precise)
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0.05)
    heard, exact = (
        deconvnet.listener(network)(values, jnp.asarray(images))[layer - 1]
        for network in (rough, precise)
    )
    assert heard.dtype == np.float32
    np.testing.assert_allclose(heard, exact, rtol=0.05)


def test_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match="layer must be from 1 to 3; got 4"):
        deconvnet.projector(discriminator(), 4, "map")
    with pytest.raises(ValueError, match="layer must be from 1 to 3; got 0"):
        deconvnet.projector(discriminator(), 0, "map")
    with pytest.raises(ValueError, match=r"keep must be one of .*; got 'all'"):
        deconvnet.projector(discriminator(), 1, "all")
