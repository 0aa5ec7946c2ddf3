"""Projections of features, against NumPy's matrices and against gradients."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxart.gan import convolution, deconvnet
from jaxart.gan.networks import Discriminator
from jaxart.gan.update import NetworkState, network_state


SIZE, WIDTH = 32, 3


def discriminator(seed=0, dtype="float32"):
    return Discriminator(SIZE, WIDTH, dtype=dtype, rngs=nnx.Rngs(seed))


def noise(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def trained(network, seed=2, positive=False) -> NetworkState:
    """Its state, with batch norms as if it had been trained.

    If positive, the activations of positive images are positive in all layers.
    """
    rng = np.random.default_rng(seed)

    def change(path, value):
        name = path[-1].key
        if name in ("scale", "var"):
            return jnp.asarray(rng.uniform(0.5, 2, value.shape), jnp.float32)
        if name in ("bias", "mean"):
            sign = 1 if name == "bias" else -1
            shift = rng.uniform(0, 0.1, value.shape)
            return jnp.asarray(sign * shift, jnp.float32)
        return jnp.abs(value) if positive else value

    return NetworkState(
        *(jax.tree.map_with_path(change, part) for part in network_state(network))
    )


def project(network, state, images, layer, features, keep="map"):
    projector = deconvnet.make_projector(network, layer, keep)
    return projector(state, jnp.asarray(images), jnp.asarray(features))


def kernel(state, stage):
    return np.asarray(state.params["stages"][stage]["kernel"], np.float64)


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
    """The map of one feature, zero elsewhere; or its strongest activation alone."""
    only = np.zeros_like(maps)
    only[:, :, feature] = maps[:, :, feature]
    if keep == "place":
        only *= only == only.max()
    return only


@pytest.mark.slow
@pytest.mark.parametrize("keep", get_args(deconvnet.Keep))
def test_a_linear_layer_is_projected_by_its_transposed_matrix(keep):
    network = discriminator()
    state, images = trained(network), noise(WIDTH, SIZE, SIZE, 3)
    forward = matrix(kernel(state, 0), SIZE)
    found = project(network, state, images, 1, np.arange(WIDTH), keep)
    for feature, image in enumerate(images):
        maps = (forward @ image.ravel()).reshape(SIZE // 2, SIZE // 2, WIDTH)
        # The layer is linear where it is positive.
        only = kept(np.maximum(maps, 0), feature, keep)
        expected = (forward.T @ only.ravel()).reshape(image.shape)
        np.testing.assert_allclose(found.images[feature], expected, atol=1e-5)


@pytest.mark.parametrize("keep", get_args(deconvnet.Keep))
def test_two_layers_are_projected_by_both_matrices_with_a_rectifier_between(keep):
    network = discriminator()
    state, image = trained(network), noise(SIZE, SIZE, 3)
    first = matrix(kernel(state, 0), SIZE)
    second = matrix(kernel(state, 1), SIZE // 2)
    params = state.params["stages"][1]["norm"]
    batch_stats = state.batch_stats["stages"][1]["norm"]
    slope = np.asarray(params["scale"]) / np.sqrt(np.asarray(batch_stats["var"]) + 1e-5)
    shift = np.asarray(params["bias"]) - slope * np.asarray(batch_stats["mean"])

    def leaky(x):
        return np.where(x > 0, x, 0.2 * x)

    middle = leaky(first @ image.ravel())
    maps = (second @ middle).reshape(SIZE // 4, SIZE // 4, 2 * WIDTH)
    maps = leaky(maps * slope + shift)
    features = np.arange(2 * WIDTH)
    images = np.repeat(image[None], len(features), axis=0)
    found = project(network, state, images, 2, features, keep)
    for feature in features:
        only = np.maximum(kept(maps, feature, keep), 0) * slope
        back = np.maximum(second.T @ only.ravel(), 0)
        expected = (first.T @ back).reshape(image.shape)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            found.images[feature], expected, atol=1e-5 * max(scale, 1)
        )


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_a_projection_is_the_gradient_where_no_rectifier_acts(layer):
    network = discriminator()
    state, image = trained(network, positive=True), np.abs(noise(1, SIZE, SIZE, 3))
    graphdef = nnx.graphdef(nnx.view(network, use_running_average=True))

    def half_squared_norm(image, feature):
        merged = nnx.merge(graphdef, state.params, state.batch_stats)
        maps = image
        for stage in merged.stages[:layer]:
            maps = stage(maps)
        return jnp.sum(maps[..., feature] ** 2) / 2

    expected = jax.jit(jax.grad(half_squared_norm))(jnp.asarray(image), 2)
    found = project(network, state, image, layer, np.array([2]))
    np.testing.assert_allclose(found.images, expected, rtol=1e-4)


def test_batch_norm_counts_as_part_of_the_filters():
    network = discriminator()
    state, images = trained(network), noise(4, SIZE, SIZE, 3)
    folded = jax.tree.map(lambda x: x, state)
    for stage in (1, 2):
        params = folded.params["stages"][stage]
        batch_stats = folded.batch_stats["stages"][stage]["norm"]
        slope = params["norm"]["scale"] / jnp.sqrt(batch_stats["var"] + 1e-5)
        params["kernel"] = params["kernel"] * slope[None, None, None]
        params["norm"]["bias"] -= slope * batch_stats["mean"]
        params["norm"]["scale"] = jnp.ones_like(slope)
        batch_stats["var"] = jnp.ones_like(slope) - 1e-5
        batch_stats["mean"] = jnp.zeros_like(slope)
    features = np.array([5, 0, 7, 5])
    ours, theirs = (
        np.asarray(project(network, state, images, 3, features).images)
        for state in (state, folded)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(ours).max())


@pytest.mark.parametrize("normalisation", ["none", "spectral"])
def test_without_batch_norm_a_layer_is_its_filters_alone(normalisation):
    network = Discriminator(
        SIZE, 4, normalisation=normalisation, dtype="float32", rngs=nnx.Rngs(0)
    )
    state = network_state(network)
    image = jnp.asarray(noise(1, SIZE, SIZE, 3))
    ours = project(network, state, image, 1, jnp.array([2])).images
    stage = nnx.view(network, use_running_average=True).stages[0]
    maps = stage(image)
    kept_map = jax.nn.relu(maps) * jax.nn.one_hot(2, maps.shape[3])[None, None, None]
    expected = convolution.double(kept_map, stage.filters())
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


def test_an_inactive_feature_has_an_empty_projection():
    network = discriminator()
    state = trained(network)
    first = state.params["stages"][0]
    first["kernel"] = -jnp.abs(first["kernel"])
    image = np.abs(noise(1, SIZE, SIZE, 3))
    found = project(network, state, image, 1, np.array([1]))
    np.testing.assert_array_equal(found.images, 0)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_an_activation_depends_on_exactly_its_receptive_field(layer):
    network = discriminator()
    state, image = trained(network), jnp.asarray(noise(1, SIZE, SIZE, 3))
    graphdef = nnx.graphdef(nnx.view(network, use_running_average=True))
    at = SIZE // 2**layer // 2

    def activation(image):
        merged = nnx.merge(graphdef, state.params, state.batch_stats)
        maps = image
        for stage in merged.stages[:layer]:
            maps = stage(maps)
        return maps[0, at, at].sum()

    influence = np.abs(np.asarray(jax.jit(jax.grad(activation))(image))[0]).sum(-1)
    start, size = deconvnet.receptive_field(layer, at)
    field = np.zeros((SIZE, SIZE), bool)
    rows = slice(max(start, 0), start + size)
    field[rows, rows] = True
    np.testing.assert_array_equal(influence > 0, field)


def test_a_projection_does_not_depend_on_its_batch():
    network = discriminator()
    state, images = trained(network), noise(3, SIZE, SIZE, 3)
    together = project(network, state, images, 2, np.array([4, 1, 2]))
    alone = project(network, state, images[1:2], 2, np.array([1]))
    np.testing.assert_allclose(together.images[1], alone.images[0], atol=1e-6)
    np.testing.assert_array_equal(together.positions[1], alone.positions[0])


def test_max_activations_are_the_maxima_of_the_feature_maps():
    network = discriminator()
    state = trained(network)
    pixels = np.random.default_rng(1).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    layers = deconvnet.max_activations(network, state, pixels)
    images = pixels / 127.5 - 1
    assert [layer.shape for layer in layers] == [(2, 3), (2, 6), (2, 12)]
    forward = matrix(kernel(state, 0), SIZE)
    maps = (forward @ images.reshape(2, -1).T).T.reshape(2, -1, WIDTH)
    np.testing.assert_allclose(layers[0], maps.max(1), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_bfloat16_gives_nearly_the_same_projections(layer):
    rough, precise = discriminator(dtype="bfloat16"), discriminator()
    # Positive, as rounding could change which rectifiers are active.
    state = trained(precise, positive=True)
    images = np.abs(noise(2, SIZE, SIZE, 3))
    found, expected = (
        project(network, state, images, layer, np.array([0, 2])).images
        for network in (rough, precise)
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0.05)


def test_invalid_layers_are_refused():
    with pytest.raises(ValueError, match="layer must be from 1 to 3; got 4"):
        deconvnet.make_projector(discriminator(), 4, "map")
    with pytest.raises(ValueError, match="layer must be from 1 to 3; got 0"):
        deconvnet.make_projector(discriminator(), 0, "map")
    with pytest.raises(ValueError, match=r"keep must be one of .*; got 'all'"):
        deconvnet.make_projector(discriminator(), 1, "all")
