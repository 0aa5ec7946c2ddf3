"""Generator and Discriminator: sizes, ranges, initial values, independence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxart.gan import networks
from jaxart.gan.networks import Discriminator, Generator


def generator(size=32, width=4, latent=16, dtype="float32", seed=0):
    return Generator(size, width, latent, dtype=dtype, rngs=nnx.Rngs(seed))


def discriminator(size=32, width=4, dtype="float32", seed=0):
    return Discriminator(size, width, dtype=dtype, rngs=nnx.Rngs(seed))


@nnx.jit
def answer(network, x):
    return network(x)


def parameters(network):
    """All parameters by their paths."""
    return nnx.to_flat_state(nnx.state(network, nnx.Param))


def arrays(network):
    """Their values by their names."""
    return {
        "/".join(map(str, path)): np.asarray(variable[...])
        for path, variable in parameters(network)
    }


def statistics(network):
    """A copy of what batch norm has gathered."""
    return jax.tree.map(np.array, nnx.as_pure(nnx.state(network, nnx.BatchStat)))


def noise(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("make", "millions"),
    [
        (lambda: generator(64, 128, 100), 12.66),
        (lambda: discriminator(64, 128), 11.04),
    ],
)
def test_the_papers_networks_have_the_papers_size(make, millions):
    network = nnx.eval_shape(make)
    count = sum(variable.size for _, variable in parameters(network))
    assert round(count / 1e6, 2) == millions


@pytest.mark.parametrize("size", networks.SIZES)
def test_each_row_of_numbers_becomes_an_image_of_the_size_asked_for(size):
    images = nnx.eval_shape(lambda: generator(size)(jnp.zeros((2, 16))))
    assert images.shape == (2, size, size, 3)
    assert images.dtype == jnp.float32


@pytest.mark.parametrize("size", networks.SIZES)
def test_there_is_one_logit_for_an_image_of_every_size(size):
    logits = nnx.eval_shape(lambda: discriminator(size)(jnp.zeros((3, size, size, 3))))
    assert logits.shape == (3,)
    assert logits.dtype == jnp.float32


@pytest.mark.parametrize("size", networks.SIZES)
@pytest.mark.parametrize("make", [generator, discriminator])
def test_the_smallest_map_inside_is_four_by_four_with_at_most_eight_widths(make, size):
    network = nnx.eval_shape(lambda: make(size))
    kernels = [x.shape for _, x in parameters(network) if len(x.shape) == 4]
    assert max(max(shape[2:]) for shape in kernels) == 4 * min(size // 8, 8)
    stages = sum(shape[:2] == (4, 4) for shape in kernels)
    assert 4 << stages == size


def test_images_lie_between_minus_one_and_one_and_use_both_signs():
    network = generator()
    network.stages[-1].kernel[...] *= 100
    images = answer(network, noise(8, 16))
    assert -1 <= images.min() < -0.9
    assert 0.9 < images.max() <= 1


@pytest.mark.parametrize("make", [generator, discriminator])
def test_weights_begin_as_dcgan_has_them(make):
    for path, values in arrays(make()).items():
        if path.endswith("bias"):
            np.testing.assert_array_equal(values, 0)
            continue
        centre = 1.0 if path.endswith("scale") else 0.0
        # Five standard errors of a mean, and of a standard deviation, of so many draws.
        tolerance = 5 * 0.02 / np.sqrt(values.size)
        assert abs(values.mean() - centre) < tolerance, path
        assert abs(values.std() - 0.02) < tolerance, path


@pytest.mark.parametrize("make", [generator, discriminator])
def test_no_two_kernels_begin_alike_and_another_seed_has_others(make):
    kernels = [
        values.ravel()[:48]
        for seed in (0, 1)
        for values in arrays(make(seed=seed)).values()
        if values.ndim == 4
    ]
    assert len({values.tobytes() for values in kernels}) == len(kernels)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (generator, [0.02327, 0.9796, 0.001442]),
        (discriminator, [-0.048849, 1.0259, -0.020418]),
    ],
)
def test_a_seed_gives_the_networks_of_the_first_version(make, expected):
    _, second, third, *_ = make().stages
    values = second.kernel[...], second.norm.scale[...], third.kernel[...]
    first_values = [float(array.ravel()[0]) for array in values]
    np.testing.assert_allclose(first_values, expected, rtol=1e-3)


def test_only_the_first_stage_of_the_discriminator_goes_without_batch_norm():
    paths = arrays(discriminator())
    normalised = [
        any(f"stages/{stage}/norm" in path for path in paths) for stage in range(3)
    ]
    assert normalised == [False, True, True]


def first_pictures(network):
    """What becomes of the same first row beside two different sets of neighbours."""
    z = noise(4, 16)
    return (
        np.asarray(answer(network, np.concatenate([z[:1], others])))[0]
        for others in (z[1:], 3 + noise(3, 16, seed=2))
    )


def test_a_sampled_picture_does_not_depend_on_its_neighbours():
    alone, among_others = first_pictures(
        nnx.view(generator(), use_running_average=True)
    )
    np.testing.assert_allclose(alone, among_others, atol=1e-6)


def test_a_picture_of_a_training_batch_does_depend_on_its_neighbours():
    alone, among_others = first_pictures(generator())
    assert np.abs(alone - among_others).max() > 1e-3


def test_sampling_leaves_the_running_statistics_alone_and_training_moves_them():
    network = generator()
    before = statistics(network)
    answer(nnx.view(network, use_running_average=True), noise(4, 16))
    assert jax.tree.all(jax.tree.map(np.array_equal, statistics(network), before))
    answer(network, noise(4, 16))
    for old, new in zip(
        jax.tree.leaves(before), jax.tree.leaves(statistics(network)), strict=True
    ):
        # At most a tenth of the way from a variance of 1 to one near nothing.
        assert 0 < np.abs(new - old).max() < 0.101


@pytest.mark.parametrize(
    ("make", "shape"), [(generator, (8, 16)), (discriminator, (8, 32, 32, 3))]
)
def test_bfloat16_is_close_to_float32_and_what_is_learned_stays_float32(make, shape):
    exact, rough = make(), make(dtype="bfloat16")
    expected, ours = (answer(network, noise(*shape)) for network in (exact, rough))
    assert ours.dtype == jnp.float32
    assert 0 < np.abs(ours - expected).max() < 0.05 * np.abs(expected).max()
    kept = [*arrays(rough).values(), *jax.tree.leaves(statistics(rough))]
    assert {values.dtype for values in kept} == {np.dtype(np.float32)}


OPTIONS = {"dtype": "float32", "rngs": nnx.Rngs(0)}


def test_a_smooth_stage_is_nearest_upsampling_and_a_3_by_3_convolution():
    block = networks.UpBlock(5, 4, normalisation="none", resampling="smooth", **OPTIONS)
    x = jnp.asarray(noise(2, 6, 6, 5))
    upsampled = jnp.repeat(jnp.repeat(nnx.leaky_relu(x, 0.2), 2, 1), 2, 2)
    expected = jax.lax.conv_general_dilated(
        upsampled,
        # `double` is a transpose: its kernel is turned, and its channels are exchanged.
        block.kernel[...][::-1, ::-1].swapaxes(2, 3),
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )
    np.testing.assert_allclose(block(x), expected, rtol=0, atol=1e-4)


def test_a_smooth_stage_of_the_discriminator_averages_a_3_by_3_convolution():
    block = networks.DownBlock(
        5, 4, first=False, normalisation="none", resampling="smooth", **OPTIONS
    )
    x = jnp.asarray(noise(2, 8, 8, 5))
    convolved = jax.lax.conv_general_dilated(
        x,
        block.kernel[...],
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )
    means = convolved.reshape(2, 4, 2, 4, 2, 4).mean((2, 4))
    expected = nnx.leaky_relu(means, 0.2)
    np.testing.assert_allclose(block(x), expected, rtol=0, atol=1e-4)


def test_spectral_normalisation_finds_the_largest_singular_value():
    block = networks.DownBlock(
        6, 8, first=True, normalisation="spectral", resampling="strided", **OPTIONS
    )
    for _ in range(100):
        block.filters()
    filters = block.filters()
    matrix = np.asarray(block.kernel[...]).reshape(-1, 8)
    largest = np.linalg.svd(matrix, compute_uv=False)[0]
    np.testing.assert_allclose(filters, block.kernel[...] / largest, rtol=1e-3)


@pytest.mark.parametrize("normalisation", ["none", "spectral"])
def test_without_batch_norm_an_answer_does_not_depend_on_the_other_images(
    normalisation,
):
    network = Discriminator(
        32, 4, normalisation=normalisation, dtype="float32", rngs=nnx.Rngs(0)
    )
    images = jnp.asarray(noise(4, 32, 32, 3))
    for _ in range(40):  # until the power iteration has settled
        answer(network, images)
    together, alone = answer(network, images), answer(network, images[:1])
    np.testing.assert_allclose(together[0], alone[0], rtol=1e-3)


def test_initial_kernels_without_batch_norm_keep_the_size_of_signals():
    network = Discriminator(
        64, 16, normalisation="none", dtype="float32", rngs=nnx.Rngs(0)
    )
    for maps in network.maps(jnp.asarray(noise(8, 64, 64, 3))):
        assert 0.5 < np.sqrt(np.mean(np.square(maps))) < 2


def test_excitation_scales_the_channels_of_the_largest_map():
    block = networks.Excitation(6, 5, rngs=nnx.Rngs(0))
    x, smallest = jnp.asarray(noise(2, 8, 8, 5)), jnp.asarray(noise(2, 4, 4, 6))
    gates = block(x, smallest) / x
    assert 0 < gates.min() < gates.max() < 1
    spread = gates.max((1, 2)) - gates.min((1, 2))
    np.testing.assert_allclose(spread, 0, atol=1e-5)
    network = Generator(32, 4, 16, excitation=True, dtype="float32", rngs=nnx.Rngs(0))
    assert network(jnp.asarray(noise(2, 16))).shape == (2, 32, 32, 3)
