from typing import get_args

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxart.gan import latents
from jaxart.gan.networks import Generator
from jaxart.gan.update import network_state


def angle(a, b):
    """Angle between two vectors, by the arc cosine in double precision."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.arccos(a @ b / np.sqrt((a @ a) * (b @ b)))


def points(count, latent=50, seed=3):
    return latents.sample_latents(seed, range(count), latent)


def test_a_point_depends_on_its_number_and_seed_alone():
    points = np.asarray(latents.sample_latents(5, range(10), latent_dim=7))
    np.testing.assert_array_equal(
        latents.sample_latents(5, [9, 0, 4, 4], 7), points[[9, 0, 4, 4]]
    )
    assert not np.array_equal(
        latents.sample_latents(6, range(10), latent_dim=7), points
    )


def test_points_are_normal_and_all_different():
    points = np.asarray(latents.sample_latents(0, range(1000), latent_dim=100))
    assert abs(points.mean()) < 0.02
    assert abs(points.std() - 1) < 0.02
    assert len(np.unique(points)) > 99_000


@pytest.mark.parametrize("numbers", [[], [3, -1]])
def test_no_numbers_and_negative_ones_are_refused(numbers):
    with pytest.raises(ValueError, match="none negative; got"):
        latents.sample_latents(0, numbers, latent_dim=3)


@pytest.mark.parametrize("method", get_args(latents.Method))
def test_a_closed_path_joins_each_point_to_the_next(method):
    ends = points(4)
    segments = latents.interpolate(ends, jnp.linspace(0, 1, 5), method, closed=True)
    assert segments.shape == (4, 5, 50)
    np.testing.assert_allclose(segments[:, 0], ends, atol=1e-5)
    np.testing.assert_allclose(segments[:, -1], np.roll(ends, -1, 0), atol=1e-5)


@pytest.mark.parametrize("method", get_args(latents.Method))
def test_an_open_path_lacks_the_last_segment(method):
    t = jnp.linspace(0, 1, 5)
    closed = latents.interpolate(points(3), t, method, closed=True)
    np.testing.assert_array_equal(
        latents.interpolate(points(3), t, method, closed=False), closed[:2]
    )


def test_a_linear_segment_is_straight_and_its_middle_the_mean():
    a, b = np.asarray(points(2))
    (segment,) = latents.interpolate(
        points(2), jnp.array([0.25, 0.5]), "linear", closed=False
    )
    np.testing.assert_allclose(segment[0], a + 0.25 * (b - a), atol=1e-6)
    np.testing.assert_allclose(segment[1], np.mean([a, b], axis=0), atol=1e-6)


def test_angle_and_length_of_a_spherical_segment_grow_at_a_constant_rate():
    ends = points(2) * jnp.array([[1.0], [3.0]])
    t = jnp.linspace(0, 1, 7)
    (segment,) = latents.interpolate(ends, t, "spherical", closed=False)
    angles = [angle(ends[0], point) for point in segment]
    np.testing.assert_allclose(angles, angle(*ends) * t, atol=1e-3)
    lengths = np.linalg.norm(ends, axis=1)
    expected = lengths[0] + (lengths[1] - lengths[0]) * t
    np.testing.assert_allclose(np.linalg.norm(segment, axis=1), expected, rtol=1e-5)


@pytest.mark.parametrize("factor", [1.0, -1.0, 1 + 1e-7])
def test_spherical_segments_between_equal_or_opposite_points_are_finite(factor):
    ends = jnp.concatenate([points(1), factor * points(1)])
    t = jnp.linspace(0, 1, 5)
    (segment,) = latents.interpolate(ends, t, "spherical", closed=False)
    assert np.isfinite(segment).all()
    np.testing.assert_allclose(np.asarray(segment)[[0, -1]], ends, atol=1e-5)


def test_invalid_interpolations_are_refused():
    t = jnp.array([0.5])
    with pytest.raises(ValueError, match="points must be at least two; got 1"):
        latents.interpolate(points(1), t, "linear", closed=True)
    with pytest.raises(ValueError, match=r"method must be one of .*; got 'zigzag'"):
        latents.interpolate(points(2), t, "zigzag", closed=True)


def test_arithmetic_adds_and_subtracts_averages():
    plus, minus, to = jnp.split(points(6), [3, 5])
    expected = [
        (a + b + c) / 3 - (d + e) / 2 + f
        for a, b, c, d, e, f in zip(*plus, *minus, *to, strict=True)
    ]
    np.testing.assert_allclose(latents.arithmetic(plus, minus, to), expected, atol=1e-6)


def test_a_picture_is_the_same_for_any_number_of_points(monkeypatch):
    monkeypatch.setattr(latents, "BATCH_SIZE", 8)
    generator = Generator(32, 4, 10, dtype="float32", rngs=nnx.Rngs(0))
    sampler, state = latents.make_sampler(generator), network_state(generator)

    def sampled(count: int) -> np.ndarray:
        drawn = latents.sample_latents(5, range(count), 10)
        return np.concatenate([*latents.sample_pictures(sampler, state, drawn)])

    many = sampled(10)
    assert many.shape == (10, 32, 32, 3)
    np.testing.assert_array_equal(many[:3], sampled(3))
    np.testing.assert_array_equal(sampled(17)[:10], many)
    last = sampler(state, latents.sample_latents(5, [9], 10))
    np.testing.assert_allclose(many[-1:].astype(int), np.asarray(last), atol=1)
