import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.drawing.pigments import ABSORBANCE, PIGMENTS, RGB, Pigment


YELLOW, BLUE = np.array([1.0, 0.9, 0.1]), np.array([0.1, 0.2, 0.9])

every_pigment = pytest.mark.parametrize(
    "pigment", PIGMENTS.values(), ids=PIGMENTS.keys()
)


def mixed(pigment: Pigment, one, other, share=0.5) -> np.ndarray:
    below, above = pigment.to_paint(one), pigment.to_paint(other)
    return np.asarray(pigment.to_srgb(below + share * (above - below)))


@every_pigment
def test_the_functions_are_inverse(pigment: Pigment):
    srgb = jnp.broadcast_to(jnp.linspace(0, 1, 257), (3, 257))
    np.testing.assert_allclose(pigment.to_srgb(pigment.to_paint(srgb)), srgb, atol=2e-6)
    np.testing.assert_allclose(pigment.to_paint(pigment.to_srgb(srgb)), srgb, atol=1e-4)


def gradients(function, srgb) -> np.ndarray:
    return np.asarray(jax.grad(lambda srgb: function(srgb).sum())(srgb))


@every_pigment
def test_gradients_are_finite_from_black_to_white(pigment: Pigment):
    ends = jnp.broadcast_to(jnp.array([0.0, 0.5, 1.0]), (3, 3))
    for function in pigment:
        grads = gradients(function, ends)
        assert np.isfinite(grads).all()
        assert (abs(grads) > 1e-3).all()


@every_pigment
def test_gradients_at_the_ends_are_those_just_inside(pigment: Pigment):
    ends, inside = (
        jnp.broadcast_to(jnp.array(levels), (3, 2))
        for levels in ([0.0, 1.0], [1e-5, 1 - 1e-5])
    )
    for function in pigment:
        np.testing.assert_allclose(
            gradients(function, ends), gradients(function, inside), rtol=0.05
        )


@every_pigment
def test_gradients_are_finite_outside_too(pigment: Pigment):
    outside = jnp.broadcast_to(jnp.array([-9.0, -0.1, 1.1, 9.0]), (3, 4))
    for function in pigment:
        assert np.isfinite(function(outside)).all()
        assert np.isfinite(gradients(function, outside)).all()


@every_pigment
def test_a_colour_mixed_with_itself_stays(pigment: Pigment):
    np.testing.assert_allclose(mixed(pigment, BLUE, BLUE, 0.3), BLUE, atol=1e-5)


@every_pigment
def test_opaque_paint_hides_what_is_below(pigment: Pigment):
    np.testing.assert_allclose(mixed(pigment, BLUE, YELLOW, 1.0), YELLOW, atol=1e-5)


def test_plain_rgb_is_the_colours_themselves():
    srgb = jnp.linspace(0, 1, 12).reshape(3, 2, 2)
    assert RGB.to_paint(srgb) is srgb
    assert RGB.to_srgb(srgb) is srgb


def test_yellow_over_blue_is_green_in_absorbance_and_grey_in_rgb():
    grey, green = mixed(RGB, BLUE, YELLOW), mixed(ABSORBANCE, BLUE, YELLOW)
    assert np.ptp(grey) < 0.1
    assert green[1] > 1.3 * max(green[0], green[2])


def test_absorbing_mixtures_are_darker_than_mixtures_of_light():
    colours = np.random.default_rng(0).uniform(0, 1, (2, 3, 100))
    assert (mixed(ABSORBANCE, *colours) <= mixed(RGB, *colours) + 1e-5).all()


def test_absorbance_is_the_authors_curve_but_for_the_darkest_colours():
    found = ABSORBANCE.to_paint(np.full(3, 0.5))
    powers = 2.2 / np.array([7, 3, 13])
    # Mixtures depend on how far apart colours are in paint space, on nothing else.
    quarter = ABSORBANCE.to_paint(np.full(3, 0.25))
    white = ABSORBANCE.to_paint(np.ones(3))
    np.testing.assert_allclose(
        (quarter - white) / (found - white),
        (1 - 0.25**powers) / (1 - 0.5**powers),
        rtol=2e-3,
    )


def test_pigments_work_on_pictures_inside_jit():
    picture = jnp.asarray(
        np.random.default_rng(1).uniform(0, 1, (3, 5, 4)), jnp.float32
    )
    paint = jax.jit(ABSORBANCE.to_paint)(picture)
    assert paint.shape == picture.shape
    np.testing.assert_allclose(jax.jit(ABSORBANCE.to_srgb)(paint), picture, atol=2e-6)
